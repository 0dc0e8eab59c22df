// docs/operating.md, "Secrets".
namespace ConfidentialChat.Protocol;

/// <summary>A secret that goes into a header: an API key or a token, as a variable or a file hands it over.</summary>
public static class SecretText
{
    /// <summary>Takes off one line break at the end, LF or CR LF, with which editors and <c>echo</c> end a file. Nothing else is forgiven.</summary>
    public static string WithoutLineEnd(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.EndsWith("\r\n", StringComparison.Ordinal) ? text[..^2] : text.EndsWith('\n') ? text[..^1] : text;
    }

    /// <summary>Whether it is one or more signs of visible ASCII: anything else could split a header, and is in no secret of ours.</summary>
    public static bool IsPlain(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.Length > 0 && !text.AsSpan().ContainsAnyExceptInRange('!', '~');
    }
}
