// spec/binary-http.md section 4; RFC 9292 sections 3.1, 3.2 and 3.6.
using System.Buffers;
using System.Collections;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>The fields of a header or trailer section in their order. Immutable; a name may stand more than once.</summary>
[CollectionBuilder(typeof(FieldSection), nameof(Create))]
public sealed class FieldSection : IReadOnlyList<Field>, IEquatable<FieldSection>
{
    internal const string ContentLength = "content-length";

    private readonly Field[] fields;

    private FieldSection(Field[] fields) => this.fields = fields;

    public static FieldSection Empty { get; } = new([]);

    public int Count => fields.Length;

    /// <summary>Bytes of all field lines, without the section's own length or terminator.</summary>
    internal int WireSize => fields.Sum(line => line.WireSize);

    public Field this[int index] => fields[index];

    /// <summary>The fields, copied.</summary>
    public static FieldSection Create(ReadOnlySpan<Field> fields) => fields.IsEmpty ? Empty : new(fields.ToArray());

    public bool Contains(string name) => Array.Exists(fields, field => string.Equals(field.Name, name, StringComparison.Ordinal));

    /// <summary>The value of a field that stands exactly once; false where it is absent or repeated.</summary>
    /// <param name="name">In lower case.</param>
    /// <param name="value">Empty where the answer is false.</param>
    public bool TryGetSingle(string name, out string value)
    {
        var found = Array.FindAll(fields, field => string.Equals(field.Name, name, StringComparison.Ordinal));
        value = found.Length == 1 ? found[0].Value : "";
        return found.Length == 1;
    }

    public bool Equals(FieldSection? other) => other is not null && fields.AsSpan().SequenceEqual(other.fields);

    public override bool Equals(object? obj) => Equals(obj as FieldSection);

    public override int GetHashCode() => fields.Aggregate(fields.Length, HashCode.Combine);

    public IEnumerator<Field> GetEnumerator() => ((IEnumerable<Field>)fields).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => fields.GetEnumerator();

    /// <summary>The size that a header section declares for the content, or null; false where it declares nonsense.</summary>
    internal bool TryGetContentLength(out long? length)
    {
        length = null;
        if (!Contains(ContentLength))
            return true;
        if (!TryGetSingle(ContentLength, out var text)
            || !long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return false;
        length = number;
        return true;
    }

    /// <summary>The length, then the field lines.</summary>
    internal void WriteKnownLength(IBufferWriter<byte> output)
    {
        Varint.Write(output, WireSize);
        foreach (var field in fields)
            field.Write(output);
    }

    /// <summary>The field lines, then the terminator.</summary>
    internal void WriteIndeterminateLength(IBufferWriter<byte> output)
    {
        foreach (var field in fields)
            field.Write(output);
        Varint.Write(output, 0);
    }
}
