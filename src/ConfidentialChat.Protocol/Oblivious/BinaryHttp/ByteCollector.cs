// spec/binary-http.md section 6: memory is taken for what has arrived, never for what was announced.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>Collects a string of known length that arrives in pieces.</summary>
internal struct ByteCollector
{
    private byte[] held;
    private int count;

    /// <summary>Takes bytes until there are <paramref name="length"/>; false when the input is used up before.</summary>
    /// <param name="input">What has arrived.</param>
    /// <param name="length">Checked by the caller against its limit, and the same until the string is whole.</param>
    /// <param name="bytes">Valid until the next call.</param>
    public bool TryRead(scoped ref ReadOnlySpan<byte> input, int length, out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        if (count == 0 && input.Length >= length)
        {
            bytes = input[..length];
            input = input[length..];
            return true;
        }

        var taken = Math.Min(length - count, input.Length);
        if (count + taken > (held?.Length ?? 0))
            Array.Resize(ref held, Math.Min(length, Math.Max(64, (count + taken) * 2)));
        input[..taken].CopyTo(held.AsSpan(count));
        input = input[taken..];
        count += taken;
        if (count < length)
            return false;
        bytes = held.AsSpan(0, length);
        count = 0;
        return true;
    }
}
