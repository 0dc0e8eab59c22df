namespace ConfidentialChat.Protocol.Primitives;

/// <summary>
/// The check that stands before every call of native code: a wrong size is the caller's mistake, and would be memory corruption.
/// </summary>
internal static class Size
{
    public static void Require(ReadOnlySpan<byte> bytes, int size, string name)
    {
        if (bytes.Length != size)
            throw new ArgumentException($"{name} has {size} bytes, not {bytes.Length}.", name);
    }
}
