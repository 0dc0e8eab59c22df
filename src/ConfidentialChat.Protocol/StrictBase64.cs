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
        var decoded = new byte[size];
        if (Base64.DecodeFromUtf8(text, decoded, out var consumed, out var written) != OperationStatus.Done
            || consumed != text.Length || written != decoded.Length)
            return false;
        bytes = decoded;
        return true;
    }

    /// <summary>How many bytes a text stands for, without decoding it; false for a text that <see cref="TryDecode(ReadOnlySpan{byte}, out byte[])"/> refuses.</summary>
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
        var padding = text[^1] != '=' ? 0 : text[^2] != '=' ? 1 : 2;
        Span<byte> tail = stackalloc byte[3], last = stackalloc byte[4];
        Base64.DecodeFromUtf8(text[^4..], tail, out _, out _);
        Base64.EncodeToUtf8(tail[..(3 - padding)], last, out _, out _);
        if (!text[^4..].SequenceEqual(last))
            return false;
        size = length;
        return true;
    }
}
