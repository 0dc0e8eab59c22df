using System.Text.Json;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>Who says a message, in the words of chat templates.</summary>
internal enum ChatRole
{
    System,
    User,
    Assistant,
}

/// <summary>One message: its text is well-formed UTF-16.</summary>
internal readonly record struct ChatMessage(ChatRole Role, string Content);

/// <summary>A request for text that this engine can serve exactly as it was asked.</summary>
/// <remarks>
/// What the engine does not do is refused by name and never passed over: a caller that asks for JSON or tools must not get prose.
/// Members that the API does not know are ignored, and null is as good as absent.
/// </remarks>
internal abstract record GenerationRequest
{
    public required Sampling Sampling { get; init; }

    /// <summary>Null leaves it to the room there is.</summary>
    public long? MaxTokens { get; init; }

    /// <summary>Well-formed, none empty.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    public bool IncludeUsage { get; init; }
}

/// <summary>An OpenAI chat completion request.</summary>
internal sealed record ChatRequest : GenerationRequest
{
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <inheritdoc cref="RequestMembers.Read"/>
    public static ChatRequest? Read(ReadOnlyMemory<byte> body, int tokenCount, out string? field) =>
        RequestMembers.Read(body, tokenCount, Read, out field);

    private static ChatRequest Read(RequestMembers members)
    {
        RefuseWhatIsNotDone(members);
        return new ChatRequest
        {
            Messages = ReadMessages(members),
            MaxTokens = RequestMembers.Smaller(members.Integer("max_tokens", 1, long.MaxValue), members.Integer("max_completion_tokens", 1, long.MaxValue)),
            Stops = members.ReadStops(),
            IncludeUsage = members.ReadIncludeUsage(),
            Sampling = members.ReadSampling(),
        };
    }

    private static void RefuseWhatIsNotDone(RequestMembers members)
    {
        members.Integer("n", 1, 1);
        members.RefuseUnless("tools", RequestMembers.IsEmptyArray);
        members.RefuseUnless("functions", RequestMembers.IsEmptyArray);
        members.RefuseUnless("tool_choice", value => RequestMembers.IsText(value, "none"));
        members.RefuseUnless("function_call", value => RequestMembers.IsText(value, "none"));
        members.RefuseUnless("response_format", value =>
            value.ValueKind == JsonValueKind.Object && value.TryGetProperty("type", out var type) && RequestMembers.IsText(type, "text"));
        members.RefuseUnless("logprobs", value => value.ValueKind == JsonValueKind.False);
        members.RefuseUnless("top_logprobs", _ => false);
        members.RefuseUnless("audio", _ => false);
        members.RefuseUnless("modalities", value =>
            value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 && value.EnumerateArray().All(part => RequestMembers.IsText(part, "text")));
    }

    private static List<ChatMessage> ReadMessages(RequestMembers members)
    {
        const string Field = "messages";
        if (!members.TryMember(Field, out var list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
            throw new RefusedFieldException(Field);
        var messages = new List<ChatMessage>(list.GetArrayLength());
        foreach (var item in list.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Object)
                throw new RefusedFieldException(Field);
            string? role = null;
            string? content = null;
            foreach (var member in item.EnumerateObject())
            {
                switch (RequestMembers.TryName(member))
                {
                    case "role":
                        role = RequestMembers.Text(member.Value, Field);
                        break;
                    case "content":
                        content = Content(member.Value);
                        break;
                    case "tool_calls" when member.Value.ValueKind != JsonValueKind.Null && !RequestMembers.IsEmptyArray(member.Value):
                    case "function_call" or "audio" when member.Value.ValueKind != JsonValueKind.Null:
                        throw new RefusedFieldException(Field);
                }
            }

            messages.Add(new ChatMessage(
                role switch
                {
                    // OpenAI's newer name for the same thing; templates know the older one.
                    "system" or "developer" => ChatRole.System,
                    "user" => ChatRole.User,
                    "assistant" => ChatRole.Assistant,
                    _ => throw new RefusedFieldException(Field),
                },
                content ?? throw new RefusedFieldException(Field)));
        }

        return messages;

        // Several texts are one, on lines of their own.
        static string Content(JsonElement value)
        {
            if (value.ValueKind != JsonValueKind.Array)
                return RequestMembers.Text(value, Field);
            return string.Join('\n', value.EnumerateArray().Select(part =>
                part.ValueKind == JsonValueKind.Object && part.TryGetProperty("type", out var type) && RequestMembers.IsText(type, "text") &&
                part.TryGetProperty("text", out var text)
                    ? RequestMembers.Text(text, Field)
                    : throw new RefusedFieldException(Field)));
        }
    }
}
