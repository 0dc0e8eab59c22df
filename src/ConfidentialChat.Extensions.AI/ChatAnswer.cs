using System.Text.Json;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;

namespace ConfidentialChat.Extensions.AI;

/// <summary>What a node answered, in the words of Microsoft.Extensions.AI. Of several choices it is the first; all are in the raw representation.</summary>
internal static class ChatAnswer
{
    public static ChatResponse Of(ChatCompletion answer, ChatOptions? options, VerifiedNode? node)
    {
        var choice = answer.Choices.FirstOrDefault(choice => choice.Index == 0) ?? answer.Choices.FirstOrDefault();
        var message = new ChatMessage(ChatRole.Assistant, [])
        {
            MessageId = answer.Id,
            CreatedAt = TimeOf(answer.Created),
            RawRepresentation = choice?.Message,
            AdditionalProperties = NodeOf(node),
        };
        if (choice is not null)
        {
            AddText(message.Contents, ReasoningOf(choice.Message.Extra), choice.Message.Content?.Text, choice.Message.Refusal, options);
            foreach (var call in choice.Message.ToolCalls ?? [])
                message.Contents.Add(Call(call.Id, call.Function?.Name, call.Function?.Arguments, call));
        }

        return new ChatResponse(message)
        {
            ResponseId = answer.Id,
            ModelId = answer.Model,
            CreatedAt = TimeOf(answer.Created),
            FinishReason = ReasonOf(choice?.FinishReason),
            Usage = UsageOf(answer.Usage),
            RawRepresentation = answer,
            AdditionalProperties = NodeOf(node),
        };
    }

    /// <summary>In the order in which a model makes it: thoughts, then text.</summary>
    public static void AddText(IList<AIContent> contents, string? reasoning, string? text, string? refusal, ChatOptions? options)
    {
        if (!string.IsNullOrEmpty(reasoning) && options?.Reasoning?.Output is not ReasoningOutput.None)
            contents.Add(new TextReasoningContent(reasoning));
        if (!string.IsNullOrEmpty(text))
            contents.Add(new TextContent(text));
        if (!string.IsNullOrEmpty(refusal))
            contents.Add(new ErrorContent(refusal) { ErrorCode = nameof(ChatDelta.Refusal) });
    }

    /// <summary>A call that the model wants made. Arguments that are no JSON object are in its exception, without their text.</summary>
    public static FunctionCallContent Call(string? id, string? name, string? arguments, object? raw)
    {
        var call = new FunctionCallContent(id is { Length: > 0 } ? id : Guid.NewGuid().ToString("N"), name ?? "") { RawRepresentation = raw };
        try
        {
            call.Arguments = string.IsNullOrWhiteSpace(arguments)
                ? new Dictionary<string, object?>(StringComparer.Ordinal)
                : (IDictionary<string, object?>?)JsonSerializer.Deserialize(
                    arguments, AIJsonUtilities.DefaultOptions.GetTypeInfo(typeof(IDictionary<string, object?>)));
        }
        catch (JsonException)
        {
            call.Exception = new JsonException("The arguments that the model wrote are no JSON object.");
        }

        return call;
    }

    /// <summary>What a model thought, where its engine gives it apart from the text: the two names that engines have for it.</summary>
    public static string? ReasoningOf(IDictionary<string, JsonElement>? extra)
    {
        foreach (var name in (ReadOnlySpan<string>)["reasoning_content", "reasoning"])
        {
            if (extra is not null && extra.TryGetValue(name, out var value) && value.ValueKind == JsonValueKind.String)
                return value.GetString();
        }

        return null;
    }

    public static ChatFinishReason? ReasonOf(string? reason) => reason switch
    {
        null => null,
        "stop" => ChatFinishReason.Stop,
        "length" => ChatFinishReason.Length,
        "content_filter" => ChatFinishReason.ContentFilter,
        "tool_calls" or "function_call" => ChatFinishReason.ToolCalls,
        _ => new ChatFinishReason(reason),
    };

    public static UsageDetails? UsageOf(ChatUsage? usage) => usage is null ? null : new UsageDetails
    {
        InputTokenCount = usage.PromptTokens,
        OutputTokenCount = usage.CompletionTokens,
        TotalTokenCount = usage.TotalTokens,
        CachedInputTokenCount = usage.PromptTokensDetails?.CachedTokens,
        ReasoningTokenCount = usage.CompletionTokensDetails?.ReasoningTokens,
    };

    /// <summary>Seconds since 1970, on the engine's clock: it can say anything.</summary>
    public static DateTimeOffset? TimeOf(long? created) =>
        created is >= 0 and <= 253402300799 and var seconds ? DateTimeOffset.FromUnixTimeSeconds(seconds) : null;

    /// <summary>Who answered: texts, so that a response can be stored.</summary>
    public static AdditionalPropertiesDictionary? NodeOf(VerifiedNode? node) => node is null ? null : new()
    {
        [Telemetry.NodeId] = node.Id.ToString(),
        [Telemetry.NodeTee] = node.Tee,
    };
}
