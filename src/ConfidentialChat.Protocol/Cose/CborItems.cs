// spec/receipts.md section 1; RFC 8949 sections 3 and 4.2.1.
using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;

namespace ConfidentialChat.Protocol.Cose;

/// <summary>
/// Reads deterministic CBOR item by item, each of the type that is due: nothing is nested deeper than its reader asks. Of the types only those
/// that are signed here. Total: what is no such item is a <see cref="Fault"/>, and stays one.
/// </summary>
internal ref struct CborItems(ReadOnlySpan<byte> bytes)
{
    private const int Unsigned = 0, Negative = 1, ByteString = 2, TextString = 3, Array = 4, Map = 5, Tag = 6;
    private const byte Null = 0xF6;

    private ReadOnlySpan<byte> rest = bytes;

    /// <summary>The first; None before.</summary>
    public CoseError Fault { get; private set; }

    /// <summary>Whether nothing is left; else <see cref="CoseError.TrailingBytes"/>.</summary>
    public bool TryEnd() => Fault == CoseError.None && (rest.IsEmpty || Fail(CoseError.TrailingBytes));

    public bool TryReadTag(ulong tag) => TryReadHead(Tag, out var read) && (read == tag || Fail(CoseError.WrongType));

    /// <summary>An array of so many items.</summary>
    public bool TryReadArray(int count) => TryReadHead(Array, out var read) && (read == (ulong)count || Fail(CoseError.WrongType));

    /// <summary>An array of at most so many items.</summary>
    public bool TryReadArray(int most, out int count)
    {
        count = 0;
        if (!TryReadHead(Array, out var read))
            return false;
        if (read > (ulong)most)
            return Fail(CoseError.WrongValue);
        count = (int)read;
        return true;
    }

    public bool TryReadMap(out int count)
    {
        count = 0;
        if (!TryReadHead(Map, out var pairs))
            return false;
        if (pairs > (ulong)rest.Length / 2) // a pair has two bytes at least
            return Fail(CoseError.Truncated);
        count = (int)pairs;
        return true;
    }

    /// <summary>The next label of a map, each later in the bytes' order than the one before.</summary>
    /// <param name="last">The one before; null before the first.</param>
    public bool TryReadLabel(ref long? last)
    {
        if (!rest.IsEmpty && rest[0] >> 5 == TextString)
            return Fail(CoseError.UnknownLabel); // labels in text: there are none
        if (!TryReadInteger(out var label))
            return false;
        if (label == last)
            return Fail(CoseError.RepeatedLabel);
        if (last is { } before && Order(label) < Order(before))
            return Fail(CoseError.NotDeterministic);
        last = label;
        return true;
    }

    /// <summary>64 bits with their sign.</summary>
    public bool TryReadInteger(out long value)
    {
        value = 0;
        if (!TryReadHead(out var major, out var argument))
            return false;
        if (major is not (Unsigned or Negative))
            return Fail(CoseError.WrongType);
        if (argument > long.MaxValue)
            return Fail(CoseError.WrongValue);
        value = major == Unsigned ? (long)argument : -1 - (long)argument;
        return true;
    }

    public bool TryReadBytes(out ReadOnlySpan<byte> value)
    {
        value = default;
        return TryReadHead(ByteString, out var length) && TryTake(length, out value);
    }

    /// <summary>Of so many bytes.</summary>
    public bool TryReadBytes(int size, out ReadOnlySpan<byte> value) => TryReadBytes(out value) && (value.Length == size || Fail(CoseError.WrongValue));

    public bool TryReadText(out string value)
    {
        value = "";
        if (!TryReadHead(TextString, out var length) || !TryTake(length, out var text))
            return false;
        if (!Utf8.IsValid(text))
            return Fail(CoseError.Malformed);
        value = Encoding.UTF8.GetString(text);
        return true;
    }

    /// <summary>Takes a null where one stands; false, and nothing taken, where something else does.</summary>
    public bool TryReadNull()
    {
        if (Fault != CoseError.None || rest.IsEmpty || rest[0] != Null)
            return false;
        rest = rest[1..];
        return true;
    }

    /// <summary>A null, and nothing else.</summary>
    public bool TryPassNull() => TryReadNull() || Fail(rest.IsEmpty ? CoseError.Truncated : CoseError.WrongType);

    /// <summary>For what is read but cannot be.</summary>
    /// <returns>False.</returns>
    public bool Fail(CoseError fault)
    {
        if (Fault == CoseError.None)
            Fault = fault;
        return false;
    }

    // Bytewise, what is below zero comes after what is not.
    private static ulong Order(long label) => label >= 0 ? (ulong)label : (1UL << 63) + (ulong)(-1 - label);

    private bool TryTake(ulong length, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (length > (ulong)rest.Length)
            return Fail(CoseError.Truncated);
        value = rest[..(int)length];
        rest = rest[(int)length..];
        return true;
    }

    private bool TryReadHead(int type, out ulong argument) => TryReadHead(out var major, out argument) && (major == type || Fail(CoseError.WrongType));

    // initial byte: major type (3 bits), information (5 bits): the argument itself below 24; 24 to 27: it follows in 1, 2, 4 or 8 bytes
    private bool TryReadHead(out int major, out ulong argument)
    {
        (major, argument) = (-1, 0);
        if (Fault != CoseError.None)
            return false;
        if (rest.IsEmpty)
            return Fail(CoseError.Truncated);
        major = rest[0] >> 5;
        var information = rest[0] & 0x1F;
        if (information < 24)
        {
            argument = (ulong)information;
            rest = rest[1..];
            return true;
        }

        if (information > 27)
            return Fail(information == 31 && major is >= ByteString and <= Map ? CoseError.NotDeterministic : CoseError.Malformed);
        var size = 1 << (information - 24);
        if (rest.Length <= size)
            return Fail(CoseError.Truncated);
        Span<byte> wide = stackalloc byte[sizeof(ulong)];
        wide.Clear();
        rest[1..(1 + size)].CopyTo(wide[^size..]);
        argument = BinaryPrimitives.ReadUInt64BigEndian(wide);
        rest = rest[(1 + size)..];
        var least = size == 1 ? 24UL : 1UL << (size * 4); // what did not fit into half of it
        return argument >= least || Fail(CoseError.NotDeterministic);
    }
}
