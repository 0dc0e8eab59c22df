using System.Globalization;
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

/// <summary>An OpenAI chat completion request that this engine can serve exactly as it was asked.</summary>
/// <remarks>
/// What the engine does not do is refused by name and never passed over: a caller that asks for JSON or tools must not get prose.
/// Members that the API does not know are ignored, and null is as good as absent.
/// </remarks>
internal sealed record ChatRequest
{
    private const int StopsMax = 4; // as the API has it

    // Also of members that are ignored. The parser's work is length times depth, so a deep body would keep a thread busy for minutes.
    private const int DepthMax = 256;

    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    public required Sampling Sampling { get; init; }

    /// <summary>Null leaves it to the room there is.</summary>
    public long? MaxTokens { get; init; }

    /// <summary>Well-formed, none empty.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    public bool IncludeUsage { get; init; }

    /// <summary>Reads a request; total over all byte strings.</summary>
    /// <param name="body">UTF-8 JSON.</param>
    /// <param name="tokenCount">Token ids are below this.</param>
    /// <param name="field">The member at fault where the result is null; null itself where the whole is no JSON object, or too deep a one.</param>
    public static ChatRequest? Read(ReadOnlyMemory<byte> body, int tokenCount, out string? field)
    {
        field = null;
        try
        {
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = DepthMax });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                return null;
            return new Reader(tokenCount).Read(document.RootElement);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null; // InvalidOperationException: half a surrogate in a member's name
        }
        catch (RefusedFieldException refused)
        {
            field = refused.Field;
            return null;
        }
    }

    // Private to the reader: each of some thirty members can be at fault, at any depth.
    private sealed class RefusedFieldException(string field) : Exception
    {
        public string Field { get; } = field;
    }

    private sealed class Reader(int tokenCount)
    {
        private readonly Dictionary<string, JsonElement> members = new(StringComparer.Ordinal);

        public ChatRequest Read(JsonElement root)
        {
            foreach (var member in root.EnumerateObject())
            {
                // The last of two members of one name counts.
                if (TryName(member) is { } name)
                    members[name] = member.Value;
            }

            RefuseWhatIsNotDone();
            return new ChatRequest
            {
                Messages = ReadMessages(),
                MaxTokens = Smaller(Integer("max_tokens", 1, long.MaxValue), Integer("max_completion_tokens", 1, long.MaxValue)),
                Stops = ReadStops(),
                IncludeUsage = ReadIncludeUsage(),
                Sampling = new Sampling
                {
                    Temperature = Number("temperature", 0, 2) ?? 1f,
                    TopP = Number("top_p", 0, 1, aboveMinimum: true) ?? 1f,
                    TopK = (int)(Integer("top_k", -1, int.MaxValue) ?? 0),
                    MinP = Number("min_p", 0, 1) ?? 0f,
                    FrequencyPenalty = Number("frequency_penalty", -2, 2) ?? 0f,
                    PresencePenalty = Number("presence_penalty", -2, 2) ?? 0f,
                    Seed = Integer("seed", long.MinValue, long.MaxValue),
                    Bias = ReadBias(),
                },
            };
        }

        private void RefuseWhatIsNotDone()
        {
            Integer("n", 1, 1);
            RefuseUnless("tools", IsEmptyArray);
            RefuseUnless("functions", IsEmptyArray);
            RefuseUnless("tool_choice", value => IsText(value, "none"));
            RefuseUnless("function_call", value => IsText(value, "none"));
            RefuseUnless("response_format", value =>
                value.ValueKind == JsonValueKind.Object && value.TryGetProperty("type", out var type) && IsText(type, "text"));
            RefuseUnless("logprobs", value => value.ValueKind == JsonValueKind.False);
            RefuseUnless("top_logprobs", _ => false);
            RefuseUnless("audio", _ => false);
            RefuseUnless("modalities", value =>
                value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 && value.EnumerateArray().All(part => IsText(part, "text")));
        }

        private List<ChatMessage> ReadMessages()
        {
            const string Field = "messages";
            if (!TryMember(Field, out var list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
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
                    switch (TryName(member))
                    {
                        case "role":
                            role = Text(member.Value, Field);
                            break;
                        case "content":
                            content = Content(member.Value);
                            break;
                        case "tool_calls" when member.Value.ValueKind != JsonValueKind.Null && !IsEmptyArray(member.Value):
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
                    return Text(value, Field);
                return string.Join('\n', value.EnumerateArray().Select(part =>
                    part.ValueKind == JsonValueKind.Object && part.TryGetProperty("type", out var type) && IsText(type, "text") &&
                    part.TryGetProperty("text", out var text)
                        ? Text(text, Field)
                        : throw new RefusedFieldException(Field)));
            }
        }

        private List<string> ReadStops()
        {
            const string Field = "stop";
            if (!TryMember(Field, out var value))
                return [];
            List<string> stops = value.ValueKind == JsonValueKind.Array
                ? value.GetArrayLength() <= StopsMax
                    ? [.. value.EnumerateArray().Select(stop => Text(stop, Field))]
                    : throw new RefusedFieldException(Field)
                : [Text(value, Field)];
            return stops.TrueForAll(stop => stop.Length > 0) ? stops : throw new RefusedFieldException(Field);
        }

        private List<LlamaNative.LogitBias> ReadBias()
        {
            const string Field = "logit_bias";
            if (!TryMember(Field, out var value))
                return [];
            if (value.ValueKind != JsonValueKind.Object)
                throw new RefusedFieldException(Field);
            var biases = new SortedDictionary<int, float>();
            foreach (var member in value.EnumerateObject())
            {
                if (!int.TryParse(TryName(member), NumberStyles.None, CultureInfo.InvariantCulture, out var token) || token >= tokenCount)
                    throw new RefusedFieldException(Field);
                biases[token] = Number(member.Value, Field, -100, 100);
            }

            return [.. biases.Select(bias => new LlamaNative.LogitBias(bias.Key, bias.Value))];
        }

        private bool ReadIncludeUsage()
        {
            const string Field = "stream_options";
            if (!TryMember(Field, out var value))
                return false;
            if (value.ValueKind != JsonValueKind.Object)
                throw new RefusedFieldException(Field);
            if (!value.TryGetProperty("include_usage", out var include))
                return false;
            return include.ValueKind switch
            {
                JsonValueKind.True => true,
                JsonValueKind.False or JsonValueKind.Null => false,
                _ => throw new RefusedFieldException(Field),
            };
        }

        private bool TryMember(string field, out JsonElement value) =>
            members.TryGetValue(field, out value) && value.ValueKind != JsonValueKind.Null;

        private void RefuseUnless(string field, Func<JsonElement, bool> isHarmless)
        {
            if (TryMember(field, out var value) && !isHarmless(value))
                throw new RefusedFieldException(field);
        }

        private long? Integer(string field, long minimum, long maximum)
        {
            if (!TryMember(field, out var value))
                return null;
            return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) && number >= minimum && number <= maximum
                ? number
                : throw new RefusedFieldException(field);
        }

        private float? Number(string field, double minimum, double maximum, bool aboveMinimum = false)
        {
            if (!TryMember(field, out var value))
                return null;
            var number = Number(value, field, minimum, maximum);
            // A number so small that it is no float is none.
            return aboveMinimum && number <= minimum ? throw new RefusedFieldException(field) : number;
        }

        private static float Number(JsonElement value, string field, double minimum, double maximum) =>
            value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number >= minimum && number <= maximum
                ? (float)number
                : throw new RefusedFieldException(field);

        private static string Text(JsonElement value, string field)
        {
            if (value.ValueKind != JsonValueKind.String)
                throw new RefusedFieldException(field);
            try
            {
                return value.GetString()!;
            }
            catch (InvalidOperationException)
            {
                // Half of a surrogate pair is no character: JSON can write it, UTF-8 cannot.
                throw new RefusedFieldException(field);
            }
        }

        private static string? TryName(JsonProperty member)
        {
            try
            {
                return member.Name;
            }
            catch (InvalidOperationException)
            {
                return null;
            }
        }

        private static bool IsText(JsonElement value, string text)
        {
            try
            {
                return value.ValueKind == JsonValueKind.String && value.ValueEquals(text);
            }
            catch (InvalidOperationException)
            {
                return false;
            }
        }

        private static bool IsEmptyArray(JsonElement value) => value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0;

        private static long? Smaller(long? one, long? other) => one is { } a && other is { } b ? Math.Min(a, b) : one ?? other;
    }
}
