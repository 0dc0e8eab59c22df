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
        if (text.Length % 4 != 0 || text.ContainsAnyExcept(Alphabet))
            return false;
        if (text.IsEmpty)
            return true;
        var padding = text[^1] != '=' ? 0 : text[^2] != '=' ? 1 : 2;
        var decoded = new byte[(text.Length / 4 * 3) - padding];
        if (Base64.DecodeFromUtf8(text, decoded, out var consumed, out var written) != OperationStatus.Done
            || consumed != text.Length || written != decoded.Length)
            return false;

        // "YQ==" and "YR==" decode alike; only the first is canonical.
        Span<byte> last = stackalloc byte[4];
        Base64.EncodeToUtf8(decoded.AsSpan(decoded.Length - (3 - padding)), last, out _, out _);
        if (!text[^4..].SequenceEqual(last))
            return false;
        bytes = decoded;
        return true;
    }
}
