using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// What is asked of a model: the OpenAI chat completion request. Null members are not sent, and the engine's defaults hold.
/// </summary>
public sealed class ChatCompletionRequest : OpenAIObject, IModelRequest
{
    /// <summary>A model of the gateway, 1 to 256 characters.</summary>
    public required string Model { get; set; }

    public required IList<ChatMessage> Messages { get; set; }

    /// <summary>
    /// Tokens of the completion at the most, reasoning included. Above 8192 this is what the call reserves, and pays for as used.
    /// </summary>
    public long? MaxCompletionTokens { get; set; }

    /// <summary>The older name of <see cref="MaxCompletionTokens"/>, which goes first.</summary>
    public long? MaxTokens { get; set; }

    /// <summary>How many choices; 1 by default.</summary>
    public int? N { get; set; }

    /// <summary>0 to 2.</summary>
    public double? Temperature { get; set; }

    /// <summary>0 to 1.</summary>
    public double? TopP { get; set; }

    /// <summary>−2 to 2.</summary>
    public double? FrequencyPenalty { get; set; }

    /// <summary>−2 to 2.</summary>
    public double? PresencePenalty { get; set; }

    /// <summary>From token ids to −100 … 100.</summary>
    public IDictionary<string, double>? LogitBias { get; set; }

    public bool? Logprobs { get; set; }

    /// <summary>0 to 20, with <see cref="Logprobs"/>.</summary>
    public int? TopLogprobs { get; set; }

    public long? Seed { get; set; }

    public StopSequences? Stop { get; set; }

    public IList<ChatTool>? Tools { get; set; }

    public ChatToolChoice? ToolChoice { get; set; }

    public bool? ParallelToolCalls { get; set; }

    public ChatResponseFormat? ResponseFormat { get; set; }

    /// <summary>Such as <c>low</c>, <c>medium</c>, <c>high</c>.</summary>
    public string? ReasoningEffort { get; set; }

    public ChatStreamOptions? StreamOptions { get; set; }

    /// <summary>The application's own name of its user. It is sealed: the gateway does not see it, the node does.</summary>
    public string? User { get; set; }

    /// <summary>
    /// Set by the method that sends: whoever reads a request from JSON keeps what stood there, and sends what the method says.
    /// </summary>
    [JsonInclude]
    internal bool? Stream { get; set; }

    ComputeUnits? IModelRequest.Units => NamedUnits.OfCompletion(MaxCompletionTokens ?? MaxTokens, N ?? 1);

    /// <summary>Reads a request from UTF-8 JSON, for instance one written for another client.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static ChatCompletionRequest Parse(ReadOnlySpan<byte> json) =>
        OpenAIJson.TryRead<ChatCompletionRequest>(json) ?? throw new JsonException("The JSON is no chat completion request.");

    byte[] IModelRequest.ToJson(bool stream)
    {
        var copy = (ChatCompletionRequest)MemberwiseClone();
        copy.Stream = stream;
        return copy.ToJson();
    }
}

/// <summary>What a stream is to carry beside the answer.</summary>
public sealed class ChatStreamOptions : OpenAIObject
{
    public bool? IncludeUsage { get; set; }
}
