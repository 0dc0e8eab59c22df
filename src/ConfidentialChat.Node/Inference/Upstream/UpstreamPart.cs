// spec/inference.md section 6.
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>One JSON object of an engine's answer, as the caller gets it.</summary>
internal sealed record UpstreamPart
{
    private static readonly System.Buffers.SearchValues<byte> LineBreaks = System.Buffers.SearchValues.Create("\r\n"u8);
    private const long TokensMax = 1L << 40; // what an engine claims beyond it is no count

    /// <summary>For the caller, an array of its own; empty where the object is for the node alone.</summary>
    public required byte[] Json { get; init; }

    /// <summary>The engine's count, where it said one.</summary>
    public Usage? Usage { get; init; }

    /// <summary>The choices that it goes on with.</summary>
    public IReadOnlyList<ChoiceProgress> Choices { get; init; } = [];

    /// <summary>Whether there is text, a tool call or the like in it.</summary>
    public bool HasContent { get; init; }

    /// <summary>Reads an object of an answer; null where it is none, or says <c>error</c>.</summary>
    /// <param name="json">Owned by the part from here on.</param>
    /// <param name="request">Whose answer it is.</param>
    public static UpstreamPart? Read(byte[] json, UpstreamRequest request)
    {
        // Between tokens a line break is a blank; within a string it cannot stand.
        json.AsSpan().ReplaceAny(LineBreaks, (byte)' ');
        if (JsonMembers.Read(json) is not { } members || (members.Find("error") is { } error && !JsonMembers.IsNull(error)))
            return null;
        var usage = members.Find("usage") is { } count ? ReadUsage(count) : null;
        var array = members.Find("choices");
        var (choices, hasContent) = ReadChoices(array);

        // The usage that the node asked for and the caller did not: gone, and with it a chunk that is there for nothing else.
        var hides = request.Stream && !(request.WantsUsage && (choices.Count == 0 || request.WantsContinuousUsage));
        if (hides && usage is not null && array is not null && choices.Count == 0)
            return new UpstreamPart { Json = [], Usage = usage };
        var edited = members.Write(
            (member, value) => member.Name switch
            {
                "model" => request.ModelJson,
                "usage" when hides && (usage is not null || !request.WantsUsage) => JsonMembers.Gone,
                _ => value,
            },
            []);
        return new UpstreamPart { Json = edited, Usage = usage, Choices = choices, HasContent = hasContent };
    }

    private static Usage? ReadUsage(ReadOnlyMemory<byte> json)
    {
        if (json.Span[0] != '{' || JsonMembers.Read(json) is not { } members)
            return null;
        var prompt = Count("prompt_tokens");
        var completion = Count("completion_tokens");
        var total = Count("total_tokens");
        if (prompt is null && total is null)
            return null;
        return new Usage(prompt ?? total!.Value, completion ?? 0);

        long? Count(string name) => members.Find(name) is { } value && JsonMembers.Integer(value) is { } count && count is >= 0 and <= TokensMax ? count : null;
    }

    private static (IReadOnlyList<ChoiceProgress> Choices, bool HasContent) ReadChoices(ReadOnlyMemory<byte>? json)
    {
        if (json is not { } text)
            return ([], false);
        var choices = new List<ChoiceProgress>();
        var (choice, hasContent) = (default(ChoiceProgress), false);
        var reader = new Utf8JsonReader(text.Span, new JsonReaderOptions { MaxDepth = JsonMembers.DepthMax });
        while (reader.Read())
        {
            var depth = reader.CurrentDepth; // 1: a choice; 2: its members; 3: those of its delta or message
            if (depth == 1 && reader.TokenType == JsonTokenType.StartObject)
                choice = default;
            else if (depth == 1 && reader.TokenType == JsonTokenType.EndObject)
                choices.Add(choice);
            if (reader.TokenType != JsonTokenType.PropertyName)
                continue;
            if (depth == 2 && reader.ValueTextEquals("index"u8))
            {
                reader.Read();
                if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var index))
                    choice = choice with { Index = index };
                reader.Skip();
            }
            else if (depth == 2 && reader.ValueTextEquals("finish_reason"u8))
            {
                reader.Read();
                choice = choice with { IsFinished = reader.TokenType == JsonTokenType.String };
                reader.Skip();
            }
            else if ((depth == 2 && reader.ValueTextEquals("text"u8)) || (depth == 3 && !reader.ValueTextEquals("role"u8)))
            {
                reader.Read();
                hasContent |= reader.TokenType switch
                {
                    JsonTokenType.String => reader.HasValueSequence || reader.ValueSpan.Length > 0,
                    JsonTokenType.StartArray or JsonTokenType.StartObject => true,
                    _ => false,
                };
                reader.Skip();
            }
        }

        return (choices, hasContent);
    }
}
