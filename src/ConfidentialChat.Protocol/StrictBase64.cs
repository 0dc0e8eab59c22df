// Standard base64 with padding, RFC 4648 section 4, in its one canonical spelling (section 3.5): no blanks, no stray bits.
using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace ConfidentialChat.Protocol;

/// <summary>Decodes the one spelling that each byte string has, so that equal bytes are equal text.</summary>
public static class StrictBase64
{
    private static readonly SearchValues<byte> Alphabet =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="u8);

    public static bool TryDecode(string? text, out byte[] bytes)
    {
        bytes = [];
        return text is not null && TryDecode(Encoding.UTF8.GetBytes(text), out bytes);
    }

    public static bool TryDecode(ReadOnlySpan<byte> text, out byte[] bytes)
    {
        bytes = [];
        if (!TryMeasure(text, out var size))
            return false;
        if (size == 0)
            return true;
        bytes = new byte[size];
        return Base64.DecodeFromUtf8(text, bytes, out _, out var written) == OperationStatus.Done && written == size;
    }

    /// <summary>
    /// How many bytes a text stands for, without decoding it; false for a text that
    /// <see cref="TryDecode(ReadOnlySpan{byte}, out byte[])"/> refuses.
    /// </summary>
    public static bool TryMeasure(ReadOnlySpan<byte> text, out int size)
    {
        size = 0;
        if (text.Length % 4 != 0 || text.ContainsAnyExcept(Alphabet))
            return false;
        if (text.IsEmpty)
            return true;
        if (!Base64.IsValid(text, out var length))
            return false;

        // "YQ==" and "YR==" decode alike; only the first is canonical.
        Span<byte> tail = stackalloc byte[3], last = stackalloc byte[4];
        Base64.DecodeFromUtf8(text[^4..], tail, out _, out var tailSize);
        Base64.EncodeToUtf8(tail[..tailSize], last, out _, out _);
        if (!text[^4..].SequenceEqual(last))
            return false;
        size = length;
        return true;
    }

    /// <summary>Decodes into a buffer of <see cref="MaxSize"/> or of the exact size; what is in it after a failure means nothing.</summary>
    internal static bool TryDecode(ReadOnlySpan<byte> text, Span<byte> bytes, out int size) =>
        TryMeasure(text, out size)
        && (size == 0 || (Base64.DecodeFromUtf8(text, bytes[..size], out _, out var written) == OperationStatus.Done && written == size));

    /// <summary>Decodes into the text's own bytes, the first ones.</summary>
    internal static bool TryDecodeInPlace(Span<byte> text, out int size) =>
        TryMeasure(text, out size) && (size == 0 || (Base64.DecodeFromUtf8InPlace(text, out var written) == OperationStatus.Done && written == size));

    /// <summary>The most bytes that a text of this length decodes to.</summary>
    internal static int MaxSize(int textLength) => textLength / 4 * 3;
}
