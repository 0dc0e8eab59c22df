using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Completions;

/// <summary>A text that a model is to go on with: the OpenAI completion request. Null members are not sent, and the engine's defaults hold.</summary>
public sealed class CompletionRequest : OpenAIObject, IModelRequest
{
    /// <summary>A model of the gateway, 1 to 256 characters.</summary>
    public required string Model { get; set; }

    public required TextInput Prompt { get; set; }

    /// <summary>What comes after the completion.</summary>
    public string? Suffix { get; set; }

    /// <summary>Tokens of each completion at the most. Above 8192 this is what the call reserves, and pays for as used.</summary>
    public long? MaxTokens { get; set; }

    /// <summary>How many choices for each prompt; 1 by default.</summary>
    public int? N { get; set; }

    /// <summary>How many are computed, of which <see cref="N"/> come back.</summary>
    public int? BestOf { get; set; }

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

    /// <summary>How many of the likeliest tokens to report at each place.</summary>
    public int? Logprobs { get; set; }

    /// <summary>Whether the prompt stands before the completion.</summary>
    public bool? Echo { get; set; }

    public long? Seed { get; set; }

    public StopSequences? Stop { get; set; }

    public ChatStreamOptions? StreamOptions { get; set; }

    /// <summary>The application's own name of its user. It is sealed: the gateway does not see it, the node does.</summary>
    public string? User { get; set; }

    /// <summary>Set by the method that sends.</summary>
    [JsonInclude]
    internal bool? Stream { get; set; }

    ComputeUnits? IModelRequest.Units => NamedUnits.OfCompletion(MaxTokens, Math.Max(N ?? 1, BestOf ?? 1));

    /// <summary>Reads a request from UTF-8 JSON, for instance one written for another client.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static CompletionRequest Parse(ReadOnlySpan<byte> json) =>
        OpenAIJson.TryRead<CompletionRequest>(json) ?? throw new JsonException("The JSON is no completion request.");

    byte[] IModelRequest.ToJson(bool stream)
    {
        var copy = (CompletionRequest)MemberwiseClone();
        copy.Stream = stream;
        return copy.ToJson();
    }
}
