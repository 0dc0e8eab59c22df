// spec/inference.md section 4, the depth, the members, the values and the numbers of a request.
using System.Buffers.Text;
using System.Text.Json;

namespace ConfidentialChat.Protocol;

/// <summary>The JSON of a request for inference and of its answer, whichever envelope it came in and whichever engine reads it.</summary>
public static class InferenceJson
{
    /// <summary>Levels of objects and arrays, the outermost one too, of a body and of all that is read of it.</summary>
    /// <remarks>A parser's work is length times depth: without a bound, one deep body would keep whatever reads it busy for minutes.</remarks>
    public const int DepthMax = 256;

    /// <summary>
    /// Members of a request, and of an object in it that is taken apart. The API has
    /// some forty; each costs its reader more than its bytes say.
    /// </summary>
    public const int MembersMax = 1024;

    /// <summary>Names and values within the members, in all: the tokens of 2048 texts, the most that the API embeds at once, with 1024 each.</summary>
    public const int ValuesMax = 2048 * 1024;

    private const int NumberMax = 64; // bytes; longer ones are no count
    private const int EscapeSize = 6; // \u0061, the longest way to write a byte

    /// <summary>Whether the reader is at a member of this name, however it is written. Total: half a surrogate pair is no name that is looked for.</summary>
    public static bool IsNamed(ref readonly Utf8JsonReader reader, ReadOnlySpan<byte> name)
    {
        if (!reader.ValueIsEscaped)
            return reader.ValueSpan.SequenceEqual(name);
        if (reader.ValueSpan.Length > name.Length * EscapeSize)
            return false;
        Span<byte> unescaped = stackalloc byte[reader.ValueSpan.Length];
        try
        {
            return unescaped[..reader.CopyString(unescaped)].SequenceEqual(name);
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>A whole number, however it is written: 16, 16.0 and 1.6e1 are one number to JSON.</summary>
    /// <param name="value">A reader at the value; it stays there.</param>
    /// <param name="number">The number; 0 where it is none, or none of 64 bits.</param>
    public static bool TryGetInteger(ref readonly Utf8JsonReader value, out long number)
    {
        number = 0;
        return value.TokenType == JsonTokenType.Number && !value.HasValueSequence && TryParseInteger(value.ValueSpan, out number);
    }

    /// <summary>The same, of a number's own text.</summary>
    public static bool TryParseInteger(ReadOnlySpan<byte> text, out long number)
    {
        if (Utf8Parser.TryParse(text, out number, out var read) && read == text.Length)
            return true;
        if (text.Length <= NumberMax && Utf8Parser.TryParse(text, out decimal exact, out read) && read == text.Length
            && decimal.Truncate(exact) == exact && exact is >= long.MinValue and <= long.MaxValue)
        {
            number = (long)exact;
            return true;
        }

        number = 0;
        return false;
    }
}
