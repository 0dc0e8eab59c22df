// RFC 5869 with SHA-256.
using NSec.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

public static class HkdfSha256
{
    /// <summary>The longest output; RFC 5869 section 2.3: 255 blocks of 32 bytes.</summary>
    public const int MaxOutputSize = 255 * 32;

    /// <summary>Bytes of a pseudorandom key: Nh of SHA-256.</summary>
    public const int PrkSize = 32;

    /// <summary>RFC 5869 section 2.2; writes 32 bytes.</summary>
    public static void Extract(ReadOnlySpan<byte> salt, ReadOnlySpan<byte> ikm, Span<byte> prk) =>
        KeyDerivationAlgorithm.HkdfSha256.Extract(ikm, salt, prk);

    /// <summary>RFC 5869 section 2.3; fills <paramref name="output"/>.</summary>
    public static void Expand(ReadOnlySpan<byte> prk, ReadOnlySpan<byte> info, Span<byte> output)
    {
        RequireSize(output);
        KeyDerivationAlgorithm.HkdfSha256.Expand(prk, info, output);
    }

    /// <summary>Extract and expand into <paramref name="output"/>.</summary>
    public static void Derive(ReadOnlySpan<byte> ikm, ReadOnlySpan<byte> salt, ReadOnlySpan<byte> info, Span<byte> output)
    {
        RequireSize(output);
        KeyDerivationAlgorithm.HkdfSha256.DeriveBytes(ikm, salt, info, output);
    }

    private static void RequireSize(Span<byte> output)
    {
        if (output.Length > MaxOutputSize)
            throw new ArgumentException($"HKDF-SHA256 gives {MaxOutputSize} bytes at the most.", nameof(output));
    }
}
