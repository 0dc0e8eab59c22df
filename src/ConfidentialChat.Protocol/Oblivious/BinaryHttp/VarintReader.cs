// spec/binary-http.md section 2; RFC 9000 section 16.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>Reads integers that arrive in pieces. Every form of a value is taken, the shortest or not.</summary>
internal struct VarintReader
{
    private long value;
    private int missing;

    /// <summary>Whether some bytes of an integer have come and others have not.</summary>
    public readonly bool IsPending => missing > 0;

    /// <summary>Takes bytes from <paramref name="input"/> until an integer is whole; false when the input is used up before.</summary>
    public bool TryRead(ref ReadOnlySpan<byte> input, out long result)
    {
        result = 0;
        if (missing == 0)
        {
            if (input.IsEmpty)
                return false;
            missing = Varint.Size(input[0]) - 1;
            value = input[0] & 0x3F;
            input = input[1..];
        }

        while (missing > 0 && !input.IsEmpty)
        {
            value = (value << 8) | input[0];
            missing--;
            input = input[1..];
        }

        result = value;
        return missing == 0;
    }
}
