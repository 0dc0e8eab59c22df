// spec/binary-http.md section 4; RFC 9292 section 3.6.
using System.Buffers;
using System.Collections.Frozen;
using System.Text;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

// offset  name          size
// 0       name length   (i), 1 or more
// …       name          a token in lower case
// …       value length  (i)
// …       value         any bytes but CR, LF and NUL, no blank at either end
/// <summary>One field line. Each character is one byte, U+0000 to U+00FF. Shown in no log: it has no <c>ToString</c> of its own.</summary>
public sealed class Field : IEquatable<Field>
{
    private static readonly SearchValues<byte> NameBytes = SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"u8);
    private static readonly SearchValues<byte> ForbiddenInValues = SearchValues.Create("\0\r\n"u8);

    private static readonly FrozenSet<string> ConnectionNames = FrozenSet.Create(
        StringComparer.Ordinal, "connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade");

    /// <param name="name">A token in lower case, neither a pseudo-field nor one about connections.</param>
    /// <param name="value">Neither CR, LF, NUL nor anything above U+00FF; no blank or tab at either end.</param>
    /// <exception cref="ArgumentException">One of them is not so.</exception>
    public Field(string name, string value)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(value);
        if (CheckName(ControlData.Bytes(name, nameof(name))) is not BinaryHttpError.None and var nameError)
            throw new ArgumentException($"Not the name of a field: {nameError}.", nameof(name));
        if (CheckValue(ControlData.Bytes(value, nameof(value))) is not BinaryHttpError.None and var valueError)
            throw new ArgumentException($"Not the value of a field: {valueError}.", nameof(value));
        Name = name;
        Value = value;
    }

    // Only for bytes that were checked.
    internal Field(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        Name = Encoding.Latin1.GetString(name);
        Value = Encoding.Latin1.GetString(value);
    }

    public string Name { get; }

    public string Value { get; }

    /// <summary>Bytes on the wire, both lengths included.</summary>
    internal int WireSize => Varint.Size(Name.Length) + Name.Length + Varint.Size(Value.Length) + Value.Length;

    public bool Equals(Field? other) =>
        other is not null
        && string.Equals(Name, other.Name, StringComparison.Ordinal)
        && string.Equals(Value, other.Value, StringComparison.Ordinal);

    public override bool Equals(object? obj) => Equals(obj as Field);

    public override int GetHashCode() => HashCode.Combine(Name, Value);

    internal static BinaryHttpError CheckName(ReadOnlySpan<byte> name)
    {
        if (name.IsEmpty)
            return BinaryHttpError.InvalidFieldName;
        if (name[0] == ':')
            return BinaryHttpError.PseudoField;
        if (name.ContainsAnyExcept(NameBytes))
            return BinaryHttpError.InvalidFieldName;
        return IsAboutConnections(name) ? BinaryHttpError.ConnectionField : BinaryHttpError.None;
    }

    internal static BinaryHttpError CheckValue(ReadOnlySpan<byte> value) =>
        value.ContainsAny(ForbiddenInValues) || (!value.IsEmpty && (IsBlank(value[0]) || IsBlank(value[^1])))
            ? BinaryHttpError.InvalidFieldValue
            : BinaryHttpError.None;

    internal void Write(IBufferWriter<byte> output)
    {
        ControlData.Write(output, Name);
        ControlData.Write(output, Value);
    }

    private static bool IsBlank(byte value) => value is (byte)' ' or (byte)'\t';

    private static bool IsAboutConnections(ReadOnlySpan<byte> name)
    {
        const int Longest = 17; // transfer-encoding
        if (name.Length > Longest)
            return false;
        Span<char> text = stackalloc char[Longest];
        var length = Encoding.Latin1.GetChars(name, text);
        return ConnectionNames.GetAlternateLookup<ReadOnlySpan<char>>().Contains(text[..length]);
    }
}
