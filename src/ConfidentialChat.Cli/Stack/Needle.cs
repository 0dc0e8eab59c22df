using System.Text;

namespace ConfidentialChat.Cli.Stack;

/// <summary>Looks for a text in recorded bytes: as it is, and inside base64 at any of its three alignments.</summary>
internal static class Needle
{
    public static bool IsIn(ReadOnlySpan<byte> bytes, string text)
    {
        foreach (var form in Forms(text))
        {
            if (bytes.IndexOf(form) >= 0)
                return true;
        }

        return false;
    }

    // At alignment k the k bytes before the text are unknown: the characters that they touch, and the last ones, are left out.
    private static IEnumerable<byte[]> Forms(string text)
    {
        var plain = Encoding.UTF8.GetBytes(text);
        yield return plain;
        for (var before = 0; before < 3; before++)
        {
            var padded = new byte[before + plain.Length];
            plain.CopyTo(padded, before);
            var whole = padded.Length / 3 * 3;
            var first = before == 0 ? 0 : 4;
            var encoded = Convert.ToBase64String(padded.AsSpan(0, whole))[first..];
            yield return Encoding.ASCII.GetBytes(encoded);
            yield return Encoding.ASCII.GetBytes(encoded.Replace('+', '-').Replace('/', '_'));
        }
    }
}
