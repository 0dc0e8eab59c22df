// spec/inference.md sections 6 and 8.
using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>One JSON object of an engine's answer, as the caller gets it.</summary>
internal sealed record UpstreamPart
{
    private static readonly SearchValues<byte> LineBreaks = SearchValues.Create("\r\n"u8);
    private static ReadOnlySpan<byte> Null => "null"u8;
    private const long TokensMax = 1L << 40; // what an engine claims beyond it is no count
    private const int TypeMax = 128; // letters of an event's type

    private static readonly SearchValues<byte> TypeSigns = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"u8);

    /// <summary>For the caller, an array of its own; empty where the object is for the node alone.</summary>
    public required byte[] Json { get; init; }

    /// <summary>Of a named event its type, which is its name.</summary>
    public string? Name { get; init; }

    /// <summary>Of a named event whether it has a <c>stop_reason</c>.</summary>
    public bool Stops { get; init; }

    /// <summary>The engine's count, where it said one.</summary>
    public Usage? Usage { get; init; }

    /// <summary>Of a named event whether it counts the completion. <c>message_start</c> does not: nothing was computed yet.</summary>
    public bool IsFinalCount { get; init; }

    /// <summary>The choices that it goes on with.</summary>
    public IReadOnlyList<ChoiceProgress> Choices { get; init; } = [];

    /// <summary>Whether there is text, a tool call or the like in it.</summary>
    public bool HasContent { get; init; }

    /// <summary>Reads an object of an answer, in one pass because a stream is made of them; null where it is none, or says <c>error</c>.</summary>
    /// <param name="json">Owned by the part from here on.</param>
    /// <param name="request">Whose answer it is.</param>
    /// <param name="name">Of a named event the name that it came with; null where it came without.</param>
    public static UpstreamPart? Read(byte[] json, UpstreamRequest request, string? name = null)
    {
        if (!Utf8.IsValid(json))
            return null;
        // Between tokens a line break is a blank; within a string it cannot stand.
        json.AsSpan().ReplaceAny(LineBreaks, (byte)' ');
        try
        {
            var reading = new Reading(json, request);
            return !request.Row.HasNamedEvents ? reading.Read() : request.Stream ? reading.ReadEvent(name) : reading.ReadWhole();
        }
        catch (JsonException)
        {
            return WithoutOddNumbers(json) is { } mended ? Read(mended, request, name) : null;
        }
    }

    // Python writes NaN and infinities, mostly in logprobs, which are no JSON: null, as those write who noticed. Null where there are none.
    private static byte[]? WithoutOddNumbers(ReadOnlySpan<byte> json)
    {
        ArrayBufferWriter<byte>? mended = null;
        var (from, at) = (0, 0);
        while (json[at..].IndexOfAny("\"NI-"u8) is >= 0 and var next)
        {
            at += next;
            var rest = json[at..];
            if (rest[0] == '"')
            {
                at += StringLength(rest);
                continue;
            }

            var length = rest.StartsWith("NaN"u8) ? 3 : rest.StartsWith("Infinity"u8) ? 8 : rest.StartsWith("-Infinity"u8) ? 9 : 0;
            if (length > 0)
            {
                mended ??= new ArrayBufferWriter<byte>(json.Length);
                mended.Write(json[from..at]);
                mended.Write(Null);
                from = at + length;
            }

            at += Math.Max(length, 1);
        }

        if (mended is null)
            return null;
        mended.Write(json[from..]);
        var written = mended.WrittenSpan.ToArray();
        mended.Clear();
        return written;

        static int StringLength(ReadOnlySpan<byte> text)
        {
            for (var i = 1; i < text.Length; i++)
            {
                if (text[i] == '\\')
                    i++;
                else if (text[i] == '"')
                    return i + 1;
            }

            return text.Length;
        }
    }

    // Tokens that came from a cache, or went into one, are of the prompt.
    private static (Usage? Usage, bool HasCompletion) ReadNamedUsage(ReadOnlyMemory<byte> json)
    {
        if (json.IsEmpty || json.Span[0] != '{' || JsonMembers.Read(json) is not { } members)
            return (null, false);
        var (prompt, completion) = (Count("input_tokens"), Count("output_tokens"));
        if (prompt is null && completion is null)
            return (null, false);
        var cached = (Count("cache_creation_input_tokens") ?? 0) + (Count("cache_read_input_tokens") ?? 0);
        return (new Usage(Math.Min((prompt ?? 0) + cached, TokensMax), completion ?? 0), completion is not null);

        long? Count(string name) => members.Find(name) is { } value && JsonMembers.Integer(value) is { } count && count is >= 0 and <= TokensMax ? count : null;
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

    /// <summary>One object as it is read. Of a name that stands twice, the last counts.</summary>
    private ref struct Reading(byte[] json, UpstreamRequest request)
    {
        private Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = JsonMembers.DepthMax });
        private List<Edit>? edits;
        private List<ChoiceProgress>? choices;
        private ReadOnlyMemory<byte> usage;
        private bool hasContent, isError, isFirst = true;
        private int end; // of the member before
        private ReadOnlyMemory<byte> type, status; // of named events and of their whole answers; as they are written
        private bool stops;

        public UpstreamPart? Read()
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return null;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                ReadMember();
                (isFirst, end) = (false, (int)reader.BytesConsumed);
            }

            if (reader.TokenType != JsonTokenType.EndObject || reader.Read() || isError)
                return null;

            // The usage that the node asked for and the caller did not: gone, and with it a chunk that is there for nothing else.
            var count = usage.IsEmpty ? null : ReadUsage(usage);
            var isUsageOnly = choices is not { Count: > 0 };
            var hides = request.Stream && !(request.WantsUsage && (isUsageOnly || request.WantsContinuousUsage));
            if (hides && isUsageOnly && !usage.IsEmpty && !usage.Span.SequenceEqual(Null))
                return new UpstreamPart { Json = [], Usage = count };
            return new UpstreamPart
            {
                Json = Write(hidesUsage: hides && (count is not null || !request.WantsUsage)),
                Usage = count,
                Choices = choices ?? (IReadOnlyList<ChoiceProgress>)[],
                HasContent = hasContent,
            };
        }

        /// <summary>One named event; null where it is none of its API.</summary>
        public UpstreamPart? ReadEvent(string? name)
        {
            var nested = request.Row.Api is InferenceApi.Responses ? "response"u8 : "message"u8;
            if (!ReadNamed(nested) || TypeOf(type.Span) is not { } said || (name is not null && name != said))
                return null;
            if (said is "ping" or "keepalive")
                return new UpstreamPart { Json = [] };
            if (said is "error" || said.StartsWith("response.", StringComparison.Ordinal) != request.Row.Api is InferenceApi.Responses)
                return null;
            var (count, hasCompletion) = ReadNamedUsage(usage);
            return new UpstreamPart
            {
                Json = Write(hidesUsage: false),
                Name = said,
                Stops = stops,
                Usage = count,
                IsFinalCount = hasCompletion && said is not "message_start",
                HasContent = said is not "message_delta" && said.EndsWith("delta", StringComparison.Ordinal),
            };
        }

        /// <summary>The whole answer of an endpoint with named events; null where it is none.</summary>
        public UpstreamPart? ReadWhole()
        {
            if (!ReadNamed([]) || type.Span.SequenceEqual("\"error\""u8))
                return null;
            var isFailed = status.Span.SequenceEqual("\"failed\""u8);
            if (request.Endpoint == InferenceEndpoint.Responses
                ? !isFailed && (isError || !(status.Span.SequenceEqual("\"completed\""u8) || status.Span.SequenceEqual("\"incomplete\""u8)))
                : isError)
                return null;
            return new UpstreamPart { Json = Write(hidesUsage: false), Usage = ReadNamedUsage(usage).Usage };
        }

        // Those members that count stand outside, or in the object that an event carries.
        private bool ReadNamed(ReadOnlySpan<byte> nested)
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return false;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (IsNamed("type"u8))
                    type = Value();
                else if (!nested.IsEmpty && IsNamed(nested))
                    ReadNested();
                else if (IsNamed("delta"u8))
                    ReadDelta();
                else
                    ReadCounted();
            }

            return reader.TokenType == JsonTokenType.EndObject && !reader.Read();
        }

        private void ReadNested()
        {
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject)
            {
                reader.Skip();
                return;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                ReadCounted();
        }

        private void ReadDelta()
        {
            reader.Read();
            if (reader.TokenType == JsonTokenType.StartObject)
                stops = StreamEnding.Stops(ref reader);
        }

        private void ReadCounted()
        {
            if (IsNamed("model"u8))
            {
                var (from, to) = SkipValue();
                (edits ??= []).Add(new Edit(EditKind.Model, 0, 0, from, to, IsFirst: false));
            }
            else if (IsNamed("usage"u8))
            {
                usage = Value();
            }
            else if (IsNamed("status"u8))
            {
                status = Value();
            }
            else if (IsNamed("error"u8))
            {
                var value = Value().Span;
                isError = !value.SequenceEqual(Null) && !value.SequenceEqual("false"u8) && !value.SequenceEqual("\"\""u8);
            }
            else
            {
                SkipValue();
            }
        }

        private ReadOnlyMemory<byte> Value()
        {
            var (from, to) = SkipValue();
            return json.AsMemory(from, to - from);
        }

        // With an escape in it a type is none: what reads events looks for it as it stands.
        private static string? TypeOf(ReadOnlySpan<byte> value) =>
            value is [(byte)'"', .. var text, (byte)'"'] && text.Length is > 0 and <= TypeMax && !text.ContainsAnyExcept(TypeSigns)
                ? Encoding.UTF8.GetString(text)
                : null;

        private void ReadMember()
        {
            var start = (int)reader.TokenStartIndex;
            if (IsNamed("model"u8))
            {
                var value = SkipValue();
                (edits ??= []).Add(new Edit(EditKind.Model, end, start, value.Start, value.End, isFirst));
            }
            else if (IsNamed("usage"u8))
            {
                var value = SkipValue();
                usage = json.AsMemory(value.Start, value.End - value.Start);
                (edits ??= []).Add(new Edit(EditKind.Usage, end, start, value.Start, value.End, isFirst));
            }
            else if (IsNamed("choices"u8))
            {
                ReadChoices();
            }
            else if (IsNamed("error"u8))
            {
                reader.Read();
                isError = reader.TokenType is not (JsonTokenType.Null or JsonTokenType.False)
                    && !(reader.TokenType == JsonTokenType.String && reader.ValueSpan.IsEmpty);
                reader.Skip();
            }
            else
            {
                SkipValue();
            }
        }

        private (int Start, int End) SkipValue()
        {
            reader.Read();
            var start = (int)reader.TokenStartIndex;
            reader.Skip();
            return (start, (int)reader.BytesConsumed);
        }

        // Written with escapes a name is rare; one that is no text is none that is looked for.
        private bool IsNamed(ReadOnlySpan<byte> name) => reader.ValueIsEscaped
            ? JsonMembers.Name(ref reader) is { } text && Encoding.UTF8.GetBytes(text).AsSpan().SequenceEqual(name)
            : reader.ValueSpan.SequenceEqual(name);

        private void ReadChoices()
        {
            (choices, hasContent) = ([], false);
            reader.Read();
            if (reader.TokenType is not (JsonTokenType.StartArray or JsonTokenType.StartObject))
                return;
            var outside = reader.CurrentDepth;
            var choice = default(ChoiceProgress);
            while (reader.Read() && reader.CurrentDepth > outside)
            {
                var depth = reader.CurrentDepth - outside; // 1: a choice; 2: its members; 3: those of its delta or message
                if (depth == 1 && reader.TokenType == JsonTokenType.StartObject)
                    choice = new ChoiceProgress(choices.Count, IsFinished: false);
                else if (depth == 1 && reader.TokenType == JsonTokenType.EndObject)
                    choices.Add(choice);
                if (reader.TokenType != JsonTokenType.PropertyName)
                    continue;
                if (depth == 2 && IsNamed("index"u8))
                {
                    reader.Read();
                    choice = choice with { Index = StreamEnding.IndexOf(in reader, choices.Count) };
                    reader.Skip();
                }
                else if (depth == 2 && IsNamed("finish_reason"u8))
                {
                    reader.Read();
                    choice = choice with { IsFinished = StreamEnding.IsReason(in reader) };

                    // Its reader is to see what the node saw.
                    if (reader.TokenType == JsonTokenType.String && !choice.IsFinished)
                        (edits ??= []).Add(new Edit(EditKind.Reason, 0, 0, (int)reader.TokenStartIndex, (int)reader.BytesConsumed, IsFirst: false));
                    reader.Skip();
                }
                else if ((depth == 2 && IsNamed("text"u8)) || (depth == 3 && !IsNamed("role"u8)))
                {
                    reader.Read();
                    hasContent |= reader.TokenType switch
                    {
                        JsonTokenType.String => reader.ValueSpan.Length > 0,
                        JsonTokenType.StartArray or JsonTokenType.StartObject => true,
                        _ => false,
                    };
                    reader.Skip();
                }
            }
        }

        // The same bytes, with the caller's own name of the model, without reasons that are none, and without the usage where it is hidden.
        private readonly byte[] Write(bool hidesUsage)
        {
            if (edits is null)
                return json;
            if (hidesUsage && edits.Count(edit => edit.Kind == EditKind.Usage) > 1)
            {
                return JsonMembers.Join(JsonMembers.Read(Write(hidesUsage: false))!.Write(
                    (member, value) => member.Name == "usage" ? JsonMembers.Gone : value, []));
            }

            var name = request.ModelJson.Span;
            var output = new ArrayBufferWriter<byte>(json.Length + (edits.Count * Math.Max(name.Length, Null.Length)));
            var from = 0;
            foreach (var edit in edits)
            {
                if (edit.Kind == EditKind.Usage && !hidesUsage)
                    continue;
                if (edit.Kind != EditKind.Usage)
                {
                    output.Write(json.AsSpan(from, edit.ValueStart - from));
                    output.Write(edit.Kind == EditKind.Model ? name : Null);
                    from = edit.End;
                    continue;
                }

                // With its comma: the one before it, or, of the first member, the one behind it.
                var cut = edit.IsFirst ? edit.Start : edit.Before;
                output.Write(json.AsSpan(from, cut - from));
                from = edit.End;
                if (edit.IsFirst && json.AsSpan(from).IndexOfAnyExcept((byte)' ', (byte)'\t') is var blanks && json[from + blanks] == ',')
                    from += blanks + 1;
            }

            output.Write(json.AsSpan(from));
            var written = output.WrittenSpan.ToArray();
            output.Clear();
            return written;
        }
    }

    private enum EditKind
    {
        Model,
        Usage,
        Reason,
    }

    private readonly record struct Edit(EditKind Kind, int Before, int Start, int ValueStart, int End, bool IsFirst);
}

/// <summary>A choice that a chunk goes on with.</summary>
/// <param name="Index">Its <c>index</c>; its place in the list where it says none.</param>
/// <param name="IsFinished">Whether it has its <c>finish_reason</c>.</param>
internal readonly record struct ChoiceProgress(long Index, bool IsFinished);
