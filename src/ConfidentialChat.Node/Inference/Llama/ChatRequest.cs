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
    private const string Field = "messages";

    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <inheritdoc cref="RequestMembers.Read"/>
    public static ChatRequest? Read(ReadOnlyMemory<byte> body, RequestLimits limits, out InferenceStart.Refused? refused) =>
        RequestMembers.Read(body, limits, Read, out refused);

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
        members.RefuseUnless("response_format", RequestMembers.IsOfText);
        members.RefuseUnless("logprobs", JsonMembers.IsFalse);
        members.RefuseUnless("top_logprobs", _ => false);
        members.RefuseUnless("audio", _ => false);
        members.RefuseUnless("modalities", IsTextAlone);
    }

    private static bool IsTextAlone(ReadOnlyMemory<byte> modalities)
    {
        var reader = RequestMembers.Reader(modalities);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            return false;
        var isAny = false;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (!IsText(ref reader))
                return false;
            isAny = true;
        }

        return isAny;
    }

    private static List<ChatMessage> ReadMessages(RequestMembers members)
    {
        if (!members.TryMember(Field, out var list))
            throw new RefusedFieldException(Field);
        if (!members.Limits.Context.Admits(list.Span))
            throw RefusedFieldException.TooLarge(Field);
        var reader = RequestMembers.Reader(list);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            throw new RefusedFieldException(Field);
        var messages = new List<ChatMessage>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            messages.Add(ReadMessage(ref reader));
        return messages.Count > 0 ? messages : throw new RefusedFieldException(Field);
    }

    private static ChatMessage ReadMessage(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new RefusedFieldException(Field);
        string? role = null;
        string? content = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = Name(ref reader);
            reader.Read();
            switch (name)
            {
                case "role":
                    role = reader.TokenType == JsonTokenType.String ? Name(ref reader) : throw new RefusedFieldException(Field);
                    break;
                case "content":
                    content = Content(ref reader);
                    break;
                case "tool_calls" when reader.TokenType != JsonTokenType.Null && !IsEmptyArray(ref reader):
                case "function_call" or "audio" when reader.TokenType != JsonTokenType.Null:
                    throw new RefusedFieldException(Field);
                default:
                    reader.Skip();
                    break;
            }
        }

        return new ChatMessage(
            role switch
            {
                // OpenAI's newer name for the same thing; templates know the older one.
                "system" or "developer" => ChatRole.System,
                "user" => ChatRole.User,
                "assistant" => ChatRole.Assistant,
                _ => throw new RefusedFieldException(Field),
            },
            content ?? throw new RefusedFieldException(Field));
    }

    // Several texts are one, on lines of their own.
    private static string Content(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            return RequestMembers.Text(ref reader, Field);
        var lines = new List<string>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            lines.Add(Part(ref reader));
        return string.Join('\n', lines);
    }

    private static string Part(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new RefusedFieldException(Field);
        var isText = false;
        string? text = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = Name(ref reader);
            reader.Read();
            switch (name)
            {
                case "type":
                    isText = IsText(ref reader);
                    reader.Skip();
                    break;
                case "text":
                    text = RequestMembers.Text(ref reader, Field);
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return isText && text is not null ? text : throw new RefusedFieldException(Field);
    }

    private static bool IsText(ref Utf8JsonReader reader) => reader.TokenType == JsonTokenType.String && JsonMembers.Name(ref reader) == "text";

    private static bool IsEmptyArray(ref Utf8JsonReader reader) =>
        reader.TokenType == JsonTokenType.StartArray && reader.Read() && reader.TokenType == JsonTokenType.EndArray;

    private static string? Name(ref Utf8JsonReader reader)
    {
        var name = JsonMembers.Name(ref reader, out var isText);
        return isText ? name : throw new RefusedFieldException(Field);
    }
}
