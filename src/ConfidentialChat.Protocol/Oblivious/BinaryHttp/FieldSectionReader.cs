// spec/binary-http.md sections 4 and 6; RFC 9292 sections 3.1, 3.2 and 3.6.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

// Known length:                        Indeterminate length:
// offset  name         size            offset  name         size
// 0       length       (i)             0       field lines  any, each at least 3
// …       field lines  length          …       terminator   (i) = 0
/// <summary>Reads one field section that arrives in pieces, and can be used for the next one after.</summary>
internal sealed class FieldSectionReader(BinaryHttpLimits limits)
{
    private readonly List<Field> fields = [];
    private VarintReader varint;
    private ByteCollector bytes;
    private Step step;
    private bool knownLength;
    private long remaining; // bytes of the section that have not come; unbounded where its length is not known
    private int kept; // bytes of names and values
    private int length; // of the name or value that comes now
    private byte[] name = [];

    private enum Step
    {
        SectionLength,
        NameLength,
        Name,
        ValueLength,
        Value,
    }

    /// <summary>Whether nothing of the section has come: the one place where a message may end before it.</summary>
    public bool IsUntouched { get; private set; } = true;

    /// <summary>Gets ready for a section.</summary>
    public void Start(bool isKnownLength)
    {
        fields.Clear();
        knownLength = isKnownLength;
        step = isKnownLength ? Step.SectionLength : Step.NameLength;
        remaining = long.MaxValue;
        kept = 0;
        IsUntouched = true;
    }

    /// <summary>What has been read when <see cref="TryRead"/> says so; empty where the section was left out.</summary>
    public FieldSection Take()
    {
        var section = FieldSection.Create(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(fields));
        fields.Clear();
        return section;
    }

    /// <summary>Takes bytes until the section is whole. False: more has to come, or <paramref name="error"/> is set.</summary>
    public bool TryRead(ref ReadOnlySpan<byte> input, out BinaryHttpError error)
    {
        IsUntouched &= input.IsEmpty;
        if (step == Step.SectionLength && !TryReadSectionLength(ref input, out error))
            return false;

        // Within a section of known length, nothing is read beyond its end.
        var window = input[..(int)Math.Min(input.Length, remaining)];
        var before = window.Length;
        var done = TryReadFields(ref window, out error);
        remaining -= before - window.Length;
        input = input[(before - window.Length)..];
        if (!done && error == BinaryHttpError.None && remaining == 0)
            error = BinaryHttpError.FieldSectionOverrun;
        return done;
    }

    private bool TryReadSectionLength(ref ReadOnlySpan<byte> input, out BinaryHttpError error)
    {
        error = BinaryHttpError.None;
        if (!varint.TryRead(ref input, out remaining))
            return false;
        if (remaining > limits.MaxFieldSectionSize)
            error = BinaryHttpError.FieldSectionTooLarge;
        step = Step.NameLength;
        return error == BinaryHttpError.None;
    }

    private bool TryReadFields(ref ReadOnlySpan<byte> window, out BinaryHttpError error)
    {
        error = BinaryHttpError.None;
        var left = remaining - window.Length; // of the section, outside the window
        while (true)
        {
            ReadOnlySpan<byte> text;
            switch (step)
            {
                case Step.NameLength:
                    if (knownLength && left + window.Length == 0 && !varint.IsPending)
                        return true;
                    if (!varint.TryRead(ref window, out var nameLength))
                        return false;
                    if (nameLength == 0 && !knownLength)
                        return true;
                    if (fields.Count == limits.MaxFields)
                        error = BinaryHttpError.TooManyFields;
                    else
                        error = Announce(nameLength, left + window.Length);
                    step = Step.Name;
                    break;
                case Step.Name:
                    if (!bytes.TryRead(ref window, length, out text))
                        return false;
                    error = Field.CheckName(text);
                    name = text.ToArray();
                    step = Step.ValueLength;
                    break;
                case Step.ValueLength:
                    if (!varint.TryRead(ref window, out var valueLength))
                        return false;
                    error = Announce(valueLength, left + window.Length);
                    step = Step.Value;
                    break;
                default:
                    if (!bytes.TryRead(ref window, length, out text))
                        return false;
                    error = Field.CheckValue(text);
                    if (error == BinaryHttpError.None)
                        fields.Add(new Field(name, text));
                    step = Step.NameLength;
                    break;
            }

            if (error != BinaryHttpError.None)
                return false;
        }
    }

    // A length is checked against the section and the limit before anything of that size is kept.
    private BinaryHttpError Announce(long size, long leftInSection)
    {
        if (size > leftInSection)
            return BinaryHttpError.FieldSectionOverrun;
        if (size > limits.MaxFieldSectionSize - kept)
            return BinaryHttpError.FieldSectionTooLarge;
        length = (int)size;
        kept += length;
        return BinaryHttpError.None;
    }
}
