// spec/envelope-v1.md section 8.
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport.V1;

/// <summary>Whether a stream has said all: every choice that began has a finish reason, and there was one.</summary>
internal sealed class StreamEnding
{
    private static readonly JsonReaderOptions Depth = new() { MaxDepth = InferenceJson.DepthMax };

    private readonly HashSet<int> open = [];
    private readonly HashSet<int> finished = [];

    public bool IsReached => open.Count == 0 && finished.Count > 0;

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
                var isChoices = reader.ValueTextEquals("choices"u8);
                reader.Read();
                if (isChoices && reader.TokenType == JsonTokenType.StartArray)
                    NoteChoices(ref reader);
                else
                    reader.Skip();
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // Whoever reads it will say so; a stream of nothing else does not end well.
        }
    }

    private void NoteChoices(ref Utf8JsonReader reader)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.StartObject)
        {
            var (index, isFinished) = (0, false);
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var (isIndex, isReason) = (reader.ValueTextEquals("index"u8), reader.ValueTextEquals("finish_reason"u8));
                reader.Read();
                if (isIndex && reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var number))
                    index = number;
                else if (isReason)
                    isFinished = reader.TokenType == JsonTokenType.String;
                reader.Skip();
            }

            Note(index, isFinished);
        }
    }

    private void Note(int index, bool isFinished)
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
}
