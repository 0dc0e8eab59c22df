// spec/attestation.md section 2 rule 7.
using System.Globalization;

namespace ConfidentialChat.Attestation;

/// <summary>How values stand in factors: short printable ASCII, whoever wrote them.</summary>
public static class Shown
{
    private const int Longest = 100;

    /// <summary>A stranger's text: cut, and without characters that could forge a line or move a terminal's cursor.</summary>
    public static string Text(string? text)
    {
        if (text is null)
            return "nothing";
        var cut = text.Length <= Longest ? text : text[..Longest];
        return string.Create(cut.Length, cut, static (span, source) =>
        {
            for (var i = 0; i < span.Length; i++)
                span[i] = source[i] is >= ' ' and <= '~' ? source[i] : '?';
        });
    }

    public static string Hex(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(bytes);

    /// <summary>The numbers of the bits that are set, whatever the order of bytes: "bits 28, 63".</summary>
    public static string Bits(ulong bits) =>
        bits == 0 ? "no bit" : (ulong.IsPow2(bits) ? "bit " : "bits ") + string.Join(", ", Enumerable.Range(0, 64).Where(bit => ((bits >> bit) & 1) != 0));

    /// <summary>To the second, in UTC.</summary>
    public static string Date(DateTimeOffset date) => date.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    /// <summary>A short list; of a long one the beginning.</summary>
    public static string List(IEnumerable<string> items)
    {
        string[] first = [.. items.Take(9)];
        return first.Length == 0 ? "none" : string.Join(", ", first.Take(8).Select(Text)) + (first.Length > 8 ? ", ..." : "");
    }
}
