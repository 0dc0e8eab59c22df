// spec/binary-http.md section 3; RFC 9292 section 3.4, RFC 9113 section 8.3.1.
using System.Buffers;
using System.Text;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

// offset  name              size
// 0       method length     (i)
// …       method            a token
// …       scheme length     (i)
// …       scheme            lower case
// …       authority length  (i)
// …       authority         may be empty
// …       path length       (i)
// …       path              from its slash on, or *
/// <summary>What the four strings of a request may hold.</summary>
internal static class ControlData
{
    private static readonly SearchValues<byte> TokenBytes =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"u8);

    private static readonly SearchValues<byte> SchemeBytes = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789+-."u8);
    private static readonly SearchValues<byte> AuthorityBytes = SearchValues.Create(Visible("@/?#\\"));
    private static readonly SearchValues<byte> PathBytes = SearchValues.Create(Visible("#"));

    public static BinaryHttpError CheckMethod(ReadOnlySpan<byte> method) =>
        method.IsEmpty || method.ContainsAnyExcept(TokenBytes) || method.SequenceEqual("CONNECT"u8)
            ? BinaryHttpError.InvalidMethod
            : BinaryHttpError.None;

    public static BinaryHttpError CheckScheme(ReadOnlySpan<byte> scheme) =>
        scheme.IsEmpty || scheme.ContainsAnyExcept(SchemeBytes) || !char.IsAsciiLetterLower((char)scheme[0])
            ? BinaryHttpError.InvalidScheme
            : BinaryHttpError.None;

    public static BinaryHttpError CheckAuthority(ReadOnlySpan<byte> authority) =>
        authority.ContainsAnyExcept(AuthorityBytes) ? BinaryHttpError.InvalidAuthority : BinaryHttpError.None;

    public static BinaryHttpError CheckPath(ReadOnlySpan<byte> path, string method)
    {
        if (path.SequenceEqual("*"u8))
            return string.Equals(method, "OPTIONS", StringComparison.Ordinal) ? BinaryHttpError.None : BinaryHttpError.InvalidPath;
        return path.IsEmpty || path[0] != '/' || path.ContainsAnyExcept(PathBytes) ? BinaryHttpError.InvalidPath : BinaryHttpError.None;
    }

    /// <summary>One host at the most, and that of the authority where there is one.</summary>
    public static BinaryHttpError CheckHost(string authority, FieldSection fields)
    {
        if (!fields.Contains("host"))
            return BinaryHttpError.None;
        var isOne = fields.TryGetSingle("host", out var host);
        return isOne && (authority.Length == 0 || string.Equals(host, authority, StringComparison.Ordinal))
            ? BinaryHttpError.None
            : BinaryHttpError.HostMismatch;
    }

    /// <summary>One byte for each character; a character above U+00FF is the caller's mistake.</summary>
    public static byte[] Bytes(string text, string parameter)
    {
        var last = text.AsSpan().IndexOfAnyExceptInRange('\0', '\u00FF');
        return last < 0 ? Encoding.Latin1.GetBytes(text) : throw new ArgumentException("A character is above U+00FF.", parameter);
    }

    /// <summary>The length, then the bytes.</summary>
    public static void Write(IBufferWriter<byte> output, string text)
    {
        Varint.Write(output, text.Length);
        var written = Encoding.Latin1.GetBytes(text, output.GetSpan(text.Length));
        output.Advance(written);
    }

    private static byte[] Visible(string but) =>
        [.. Enumerable.Range('!', '~' - '!' + 1).Where(c => !but.Contains((char)c)).Select(c => (byte)c)];
}
