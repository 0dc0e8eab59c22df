// spec/inference.md sections 6 and 8: the one rule of each API, for nodes and for clients.
using System.Text.Json;

namespace ConfidentialChat.Protocol;

/// <summary>
/// Whether a stream has said all. One of chunk objects: every choice that began has its finish reason, and there was one. One of named
/// events: its last event came, and of messages a <c>stop_reason</c> before it.
/// </summary>
/// <remarks>Nothing else is an end: engines write <c>[DONE]</c> after a fault too.</remarks>
/// <param name="api">Whose stream it is.</param>
public sealed class StreamEnding(InferenceApi api = InferenceApi.OpenAI)
{
    private static readonly JsonReaderOptions Depth = new() { MaxDepth = InferenceJson.DepthMax };

    private readonly HashSet<long> open = [];
    private readonly HashSet<long> finished = [];
    private bool hasStopReason;
    private bool isOver; // the last named event came

    /// <summary>Whether all was said.</summary>
    public bool IsReached => api is InferenceApi.OpenAI ? open.Count == 0 && finished.Count > 0 : isOver;

    /// <summary>
    /// Whether a <c>finish_reason</c> is one: a text that says something. Engines write
    /// an empty one, or the word null, where they have none yet.
    /// </summary>
    /// <param name="value">A reader at the value; it stays there.</param>
    public static bool IsReason(ref readonly Utf8JsonReader value) =>
        value.TokenType == JsonTokenType.String && !value.ValueSpan.IsEmpty && !value.ValueSpan.SequenceEqual("null"u8);

    /// <summary>An <c>index</c>: a whole number, also one that is written as a text. Anything else says none, and then it is the place in the list.</summary>
    /// <param name="value">A reader at the value; it stays there.</param>
    /// <param name="place">In the list, from 0.</param>
    public static long IndexOf(ref readonly Utf8JsonReader value, long place) =>
        value.TokenType is JsonTokenType.Number or JsonTokenType.String && InferenceJson.TryParseInteger(value.ValueSpan, out var index) ? index : place;

    /// <summary>Notes that a chunk goes on with a choice.</summary>
    public void Note(long index, bool isFinished)
    {
        if (isFinished)
        {
            finished.Add(index);
            open.Remove(index);
        }
        else if (!finished.Contains(index))
        {
            open.Add(index);
        }
    }

    /// <summary>Notes a named event.</summary>
    /// <param name="type">Its <c>type</c>.</param>
    /// <param name="stops">Whether its <c>delta</c> has a <c>stop_reason</c>.</param>
    public void Note(ReadOnlySpan<byte> type, bool stops)
    {
        if (api is InferenceApi.Responses)
            isOver |= type.SequenceEqual("response.completed"u8) || type.SequenceEqual("response.incomplete"u8) || type.SequenceEqual("response.failed"u8);
        else if (type.SequenceEqual("message_delta"u8))
            hasStopReason |= stops;
        else if (hasStopReason && type.SequenceEqual("message_stop"u8))
            isOver = true;
    }

    /// <summary>Notes what a chunk, or a named event, says, UTF-8 JSON. What is neither says nothing.</summary>
    public void Note(ReadOnlySpan<byte> data)
    {
        try
        {
            var reader = new Utf8JsonReader(data, Depth);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return;
            if (api is InferenceApi.OpenAI)
                NoteChunk(ref reader);
            else
                NoteEvent(ref reader);
        }
        catch (JsonException)
        {
            // Whoever reads it will say so; a stream of nothing else does not end well.
        }
    }

    private void NoteChunk(ref Utf8JsonReader reader)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isChoices = InferenceJson.IsNamed(in reader, "choices"u8);
            reader.Read();
            if (isChoices && reader.TokenType == JsonTokenType.StartArray)
                NoteChoices(ref reader);
            else
                reader.Skip();
        }
    }

    private void NoteEvent(ref Utf8JsonReader reader)
    {
        ReadOnlySpan<byte> type = [];
        var stops = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var (isType, isDelta) = (InferenceJson.IsNamed(in reader, "type"u8), InferenceJson.IsNamed(in reader, "delta"u8));
            reader.Read();
            if (isType)
                type = reader.TokenType == JsonTokenType.String ? reader.ValueSpan : [];
            else if (isDelta && reader.TokenType == JsonTokenType.StartObject)
                stops = Stops(ref reader);
            reader.Skip();
        }

        Note(type, stops);
    }

    /// <summary>Whether the <c>delta</c> of an event of messages has a <c>stop_reason</c>.</summary>
    /// <param name="delta">A reader at the object's beginning; at its end afterwards.</param>
    /// <exception cref="JsonException">It is no JSON.</exception>
    public static bool Stops(ref Utf8JsonReader delta)
    {
        var stops = false;
        while (delta.Read() && delta.TokenType == JsonTokenType.PropertyName)
        {
            var isReason = InferenceJson.IsNamed(in delta, "stop_reason"u8);
            delta.Read();
            if (isReason)
                stops = IsReason(in delta);
            delta.Skip();
        }

        return stops;
    }

    private void NoteChoices(ref Utf8JsonReader reader)
    {
        for (var place = 0L; reader.Read() && reader.TokenType == JsonTokenType.StartObject; place++)
        {
            var (index, isFinished) = (place, false);
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var (isIndex, isReason) = (InferenceJson.IsNamed(in reader, "index"u8), InferenceJson.IsNamed(in reader, "finish_reason"u8));
                reader.Read();
                if (isIndex)
                    index = IndexOf(in reader, place);
                else if (isReason)
                    isFinished = IsReason(in reader);
                reader.Skip();
            }

            Note(index, isFinished);
        }
    }
}
