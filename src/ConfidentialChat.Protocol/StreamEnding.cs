// spec/inference.md section 6: the one rule, for nodes and for clients.
using System.Text.Json;

namespace ConfidentialChat.Protocol;

/// <summary>Whether a stream of chunk objects has said all: every choice that began has its finish reason, and there was one.</summary>
/// <remarks>Nothing else is an end: engines write <c>[DONE]</c> after a fault too.</remarks>
public sealed class StreamEnding
{
    private static readonly JsonReaderOptions Depth = new() { MaxDepth = InferenceJson.DepthMax };

    private readonly HashSet<long> open = [];
    private readonly HashSet<long> finished = [];

    /// <summary>Whether all was said.</summary>
    public bool IsReached => open.Count == 0 && finished.Count > 0;

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

    /// <summary>Notes what a chunk says, UTF-8 JSON. What is no chunk says nothing.</summary>
    public void Note(ReadOnlySpan<byte> chunk)
    {
        try
        {
            var reader = new Utf8JsonReader(chunk, Depth);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return;
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
        catch (JsonException)
        {
            // Whoever reads it will say so; a stream of nothing else does not end well.
        }
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
