// RFC 8032.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using NSec.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>An Ed25519 signing key in guarded memory, erased on disposal.</summary>
public sealed class Ed25519PrivateKey : IDisposable
{
    /// <summary>Bytes of the seed; RFC 8032 section 5.1.5.</summary>
    public const int SeedSize = 32;

    private readonly Key key;

    private Ed25519PrivateKey(Key key)
    {
        this.key = key;
        PublicKey = new Ed25519PublicKey(key.PublicKey.Export(KeyBlobFormat.RawPublicKey));
    }

    public Ed25519PublicKey PublicKey { get; }

    /// <summary>Makes a key from fresh random bytes and hands out the seed for storing; the caller clears it.</summary>
    public static Ed25519PrivateKey Generate(out byte[] seed)
    {
        seed = RandomNumberGenerator.GetBytes(SeedSize);
        return Import(seed);
    }

    public static Ed25519PrivateKey Import(ReadOnlySpan<byte> seed) =>
        new(Key.Import(SignatureAlgorithm.Ed25519, seed, KeyBlobFormat.RawPrivateKey));

    /// <summary>64 bytes.</summary>
    public byte[] Sign(ReadOnlySpan<byte> message) => SignatureAlgorithm.Ed25519.Sign(key, message);

    public void Dispose() => key.Dispose();
}

/// <summary>An Ed25519 public key: 32 bytes.</summary>
public sealed class Ed25519PublicKey : IEquatable<Ed25519PublicKey>
{
    public const int Size = 32;
    public const int SignatureSize = 64;

    private readonly byte[] bytes;

    /// <exception cref="ArgumentException"><paramref name="bytes"/> are not 32 bytes.</exception>
    public Ed25519PublicKey(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size)
            throw new ArgumentException($"An Ed25519 public key has {Size} bytes, not {bytes.Length}.", nameof(bytes));
        this.bytes = bytes.ToArray();
    }

    public ReadOnlySpan<byte> Span => bytes;

    /// <summary>Reads standard base64 with padding.</summary>
    public static bool TryParse(string? base64, [NotNullWhen(true)] out Ed25519PublicKey? key)
    {
        key = StrictBase64.TryDecode(base64, out var decoded) && decoded.Length == Size ? new Ed25519PublicKey(decoded) : null;
        return key is not null;
    }

    /// <summary>False for a wrong signature, a signature of the wrong length and bytes that are no key at all.</summary>
    public bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature) =>
        signature.Length == SignatureSize
        && PublicKey.TryImport(SignatureAlgorithm.Ed25519, bytes, KeyBlobFormat.RawPublicKey, out var key)
        && SignatureAlgorithm.Ed25519.Verify(key!, message, signature);

    public bool Equals(Ed25519PublicKey? other) => other is not null && Span.SequenceEqual(other.Span);

    public override bool Equals(object? obj) => Equals(obj as Ed25519PublicKey);

    public override int GetHashCode() => BitConverter.ToInt32(Span);

    /// <summary>Standard base64 with padding.</summary>
    public override string ToString() => Convert.ToBase64String(bytes);
}
