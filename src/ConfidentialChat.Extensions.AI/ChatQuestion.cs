using System.Text.Json;
using ConfidentialChat.Client.Chat;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;
using SealedFormat = ConfidentialChat.Client.Chat.ChatResponseFormat;

namespace ConfidentialChat.Extensions.AI;

/// <summary>What Microsoft.Extensions.AI would have a model asked, as the request that is sealed.</summary>
internal static class ChatQuestion
{
    private const string Strict = "strict"; // by the custom of other providers, a member of AdditionalProperties

    /// <param name="client">Handed to the caller's <see cref="ChatOptions.RawRepresentationFactory"/>.</param>
    /// <param name="messages">The conversation; it is left as it is.</param>
    /// <param name="options">Likewise.</param>
    /// <param name="model">Where the options name none.</param>
    /// <exception cref="NotSupportedException">A node cannot be asked that.</exception>
    /// <exception cref="InvalidOperationException">Nobody names a model.</exception>
    public static ChatCompletionRequest Of(IChatClient client, IEnumerable<ChatMessage> messages, ChatOptions? options, string? model)
    {
        if (options?.ConversationId is not null)
            throw new NotSupportedException($"No node keeps conversations: leave {nameof(ChatOptions.ConversationId)} out and send all messages.");
        var given = options?.RawRepresentationFactory?.Invoke(client) as ChatCompletionRequest;
        var request = given ?? new ChatCompletionRequest { Model = "", Messages = [] };
        request.Model = options?.ModelId ?? (request.Model is { Length: > 0 } named ? named : model)
            ?? throw new InvalidOperationException($"There is no model.\nhint: name it where the client is made, or in {nameof(ChatOptions)}.{nameof(ChatOptions.ModelId)}.");
        var asked = new List<Client.Chat.ChatMessage>(request.Messages);
        if (options?.Instructions is { Length: > 0 } instructions)
            asked.Add(Client.Chat.ChatMessage.System(instructions));
        foreach (var message in messages)
            ChatTurn.Add(message, asked);
        request.Messages = asked;
        if (options is not null)
            Add(options, request);
        return request;
    }

    private static void Add(ChatOptions options, ChatCompletionRequest request)
    {
        request.MaxCompletionTokens ??= options.MaxOutputTokens;
        request.Temperature ??= Exactly(options.Temperature);
        request.TopP ??= Exactly(options.TopP);
        request.FrequencyPenalty ??= Exactly(options.FrequencyPenalty);
        request.PresencePenalty ??= Exactly(options.PresencePenalty);
        request.Seed ??= options.Seed;
        if (options.StopSequences is { Count: > 0 } stops)
            request.Stop ??= stops.ToArray();
        request.ReasoningEffort ??= options.Reasoning?.Effort switch
        {
            null => null,
            ReasoningEffort.None => "none",
            ReasoningEffort.Low => "low",
            ReasoningEffort.Medium => "medium",
            ReasoningEffort.High => "high",
            _ => "xhigh",
        };
        if (options.TopK is { } topK)
            (request.Extra ??= new Dictionary<string, JsonElement>(StringComparer.Ordinal)).TryAdd("top_k", JsonElement.Parse($"{topK}"));
        request.ResponseFormat ??= FormatOf(options);
        AddTools(options, request);
    }

    private static void AddTools(ChatOptions options, ChatCompletionRequest request)
    {
        if (options.Tools is not { Count: > 0 } tools)
            return;
        var offered = new List<ChatTool>(request.Tools ?? []);
        foreach (var tool in tools)
        {
            if (tool is not AIFunctionDeclaration function)
                throw new NotSupportedException($"A node has no tools of its own: of {tool.GetType().Name} only functions can be offered.");
            offered.Add(ChatTool.FromFunction(
                function.Name, function.Description is { Length: > 0 } description ? description : null, function.JsonSchema,
                IsStrict(function.AdditionalProperties) ?? IsStrict(options.AdditionalProperties)));
        }

        request.Tools = offered;
        request.ParallelToolCalls ??= options.AllowMultipleToolCalls;
        request.ToolChoice ??= options.ToolMode switch
        {
            null => null,
            NoneChatToolMode => ChatToolChoice.None,
            AutoChatToolMode => ChatToolChoice.Auto,
            RequiredChatToolMode { RequiredFunctionName: { } name } => ChatToolChoice.Function(name),
            RequiredChatToolMode => ChatToolChoice.Required,
            var mode => throw new NotSupportedException($"{mode.GetType().Name} is no mode that a node knows."),
        };
    }

    private static SealedFormat? FormatOf(ChatOptions options)
    {
        switch (options.ResponseFormat)
        {
            case null:
                return null;
            case ChatResponseFormatText:
                return new SealedFormat { Type = "text" };
            case ChatResponseFormatJson { Schema: { } schema } json:
                var format = SealedFormat.FromSchema(json.SchemaName ?? "answer", schema, IsStrict(options.AdditionalProperties));
                format.JsonSchema!.Description = json.SchemaDescription;
                return format;
            default:
                return SealedFormat.AnyJsonObject();
        }
    }

    private static bool? IsStrict(IReadOnlyDictionary<string, object?>? properties) =>
        properties is not null && properties.TryGetValue(Strict, out var value) && value is bool strict ? strict : null;

    private static bool? IsStrict(AdditionalPropertiesDictionary? properties) => IsStrict((IReadOnlyDictionary<string, object?>?)properties);

    // 0.7f is to be written 0.7, and not with all the digits of its neighbour.
    private static double? Exactly(float? number) => number is { } value ? Math.Round(value, 6) : null;
}
