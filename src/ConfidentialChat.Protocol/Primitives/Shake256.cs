// FIPS 202 section 6.2. Expands private keys, spec/oblivious-v2.md section 3.2.
namespace ConfidentialChat.Protocol.Primitives;

internal static class Shake256
{
    public static void Hash(ReadOnlySpan<byte> data, Span<byte> output)
    {
        if (Sodium.crypto_xof_shake256(output, (nuint)output.Length, data, (ulong)data.Length) != 0)
            throw new InvalidOperationException("libsodium did not hash.");
    }
}
