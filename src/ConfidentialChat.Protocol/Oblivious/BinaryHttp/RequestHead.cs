// spec/binary-http.md section 3; RFC 9292 section 3.4.
using System.Buffers;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>What is asked, and the header fields. Immutable, and valid by construction.</summary>
public sealed class RequestHead : IEquatable<RequestHead>
{
    /// <param name="method">A token in its case, such as <c>POST</c>; not <c>CONNECT</c>.</param>
    /// <param name="scheme">In lower case, such as <c>https</c>.</param>
    /// <param name="authority">Host and port, or empty.</param>
    /// <param name="path">Path and query, from the slash on.</param>
    /// <param name="fields">The header section.</param>
    /// <exception cref="ArgumentException">One of them is not so.</exception>
    public RequestHead(string method, string scheme, string authority, string path, FieldSection fields)
    {
        ArgumentNullException.ThrowIfNull(method);
        ArgumentNullException.ThrowIfNull(scheme);
        ArgumentNullException.ThrowIfNull(authority);
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(fields);
        Demand(ControlData.CheckMethod(ControlData.Bytes(method, nameof(method))), nameof(method));
        Demand(ControlData.CheckScheme(ControlData.Bytes(scheme, nameof(scheme))), nameof(scheme));
        Demand(ControlData.CheckAuthority(ControlData.Bytes(authority, nameof(authority))), nameof(authority));
        Demand(ControlData.CheckPath(ControlData.Bytes(path, nameof(path)), method), nameof(path));
        Demand(ControlData.CheckHost(authority, fields), nameof(fields));
        Demand(fields.TryGetContentLength(out _) ? BinaryHttpError.None : BinaryHttpError.InvalidContentLength, nameof(fields));
        Method = method;
        Scheme = scheme;
        Authority = authority;
        Path = path;
        Fields = fields;
    }

    // Only for what was checked.
    internal RequestHead(in CheckedControl control, FieldSection fields)
    {
        (Method, Scheme, Authority, Path) = control;
        Fields = fields;
    }

    public string Method { get; }

    public string Scheme { get; }

    public string Authority { get; }

    /// <summary>Path and query.</summary>
    public string Path { get; }

    public FieldSection Fields { get; }

    public bool Equals(RequestHead? other) =>
        other is not null
        && string.Equals(Method, other.Method, StringComparison.Ordinal)
        && string.Equals(Scheme, other.Scheme, StringComparison.Ordinal)
        && string.Equals(Authority, other.Authority, StringComparison.Ordinal)
        && string.Equals(Path, other.Path, StringComparison.Ordinal)
        && Fields.Equals(other.Fields);

    public override bool Equals(object? obj) => Equals(obj as RequestHead);

    public override int GetHashCode() => HashCode.Combine(Method, Scheme, Authority, Path, Fields);

    internal void WriteControl(IBufferWriter<byte> output)
    {
        ControlData.Write(output, Method);
        ControlData.Write(output, Scheme);
        ControlData.Write(output, Authority);
        ControlData.Write(output, Path);
    }

    private static void Demand(BinaryHttpError error, string parameter)
    {
        if (error != BinaryHttpError.None)
            throw new ArgumentException($"Not the head of a request: {error}.", parameter);
    }

    /// <summary>The four strings after their checks.</summary>
    internal readonly record struct CheckedControl(string Method, string Scheme, string Authority, string Path);
}
