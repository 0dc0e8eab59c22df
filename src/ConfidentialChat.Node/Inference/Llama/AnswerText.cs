using System.Buffers;
using System.Text;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>Bytes of tokens made into text: whole characters only, and nothing of a stop string.</summary>
internal sealed class AnswerText
{
    private readonly Decoder decoder = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false).GetDecoder();
    private readonly StopString[] stops;
    private readonly StringBuilder held = new();

    public AnswerText(IReadOnlyList<string> stops) => this.stops = [.. stops.Select(stop => new StopString(stop))];

    /// <summary>Whether a stop string has been met. Text after it is dropped.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Takes a token's bytes; gives the text that is certain now, which may be none.</summary>
    public string Add(ReadOnlySpan<byte> bytes) => Decode(bytes, isEnd: false);

    /// <summary>The rest. Bytes that make no character become U+FFFD, and what only began as a stop string is text after all.</summary>
    public string End() => Decode([], isEnd: true);

    private string Decode(ReadOnlySpan<byte> bytes, bool isEnd)
    {
        var characters = ArrayPool<char>.Shared.Rent(bytes.Length + 4);
        try
        {
            var count = decoder.GetChars(bytes, characters, flush: isEnd);
            return Hold(characters.AsSpan(0, count), isEnd);
        }
        finally
        {
            ArrayPool<char>.Shared.Return(characters, clearArray: true);
        }
    }

    private string Hold(ReadOnlySpan<char> text, bool isEnd)
    {
        if (IsStopped)
            return "";
        foreach (var character in text)
        {
            this.held.Append(character);
            var matched = 0;
            foreach (var stop in stops)
                matched = Math.Max(matched, stop.Advance(character) ? stop.Length : 0);
            if (matched == 0)
                continue;
            IsStopped = true;
            this.held.Length -= matched;
            return Release(this.held.Length);
        }

        // As much is held as could still become a stop string: never half of a surrogate pair, for no stop string begins inside of one.
        var held = 0;
        foreach (var stop in stops)
            held = Math.Max(held, isEnd ? 0 : stop.Matched);
        return Release(this.held.Length - held);
    }

    private string Release(int length)
    {
        var text = held.ToString(0, length);
        held.Remove(0, length);
        return text;
    }

    /// <summary>One stop string and how much of it the text ends with. Knuth, Morris and Pratt: no text makes it slow.</summary>
    private sealed class StopString
    {
        private readonly string text;

        // At i: how much of the string its first i characters end with, they themselves apart.
        private readonly int[] fallback;

        public StopString(string text)
        {
            this.text = text;
            fallback = new int[text.Length + 1];
            for (int i = 1, matched = 0; i < text.Length; i++)
            {
                while (matched > 0 && text[i] != text[matched])
                    matched = fallback[matched];
                if (text[i] == text[matched])
                    matched++;
                fallback[i + 1] = matched;
            }
        }

        public int Length => text.Length;

        public int Matched { get; private set; }

        /// <summary>Whether the string is complete with this character.</summary>
        public bool Advance(char character)
        {
            while (Matched > 0 && text[Matched] != character)
                Matched = fallback[Matched];
            if (text[Matched] == character)
                Matched++;
            return Matched == text.Length;
        }
    }
}
