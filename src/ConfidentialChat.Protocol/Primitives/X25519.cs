// RFC 7748 section 5; used by spec/envelope-v1.md section 3 and spec/oblivious-v2.md section 3.
using System.Diagnostics.CodeAnalysis;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>An X25519 public key: 32 bytes, little endian, as they came. Equality is of the bytes, not of the point.</summary>
public sealed class X25519PublicKey : IEquatable<X25519PublicKey>
{
    /// <summary>Bytes of a key; RFC 7748 section 5.</summary>
    public const int Size = 32;

    private readonly byte[] bytes;

    /// <exception cref="ArgumentException"><paramref name="bytes"/> are not 32 bytes.</exception>
    public X25519PublicKey(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size)
            throw new ArgumentException($"An X25519 public key has {Size} bytes, not {bytes.Length}.", nameof(bytes));
        this.bytes = bytes.ToArray();
    }

    public ReadOnlySpan<byte> Span => bytes;

    /// <summary>Reads standard base64 with padding.</summary>
    public static bool TryParse(string? base64, [NotNullWhen(true)] out X25519PublicKey? key)
    {
        key = StrictBase64.TryDecode(base64, out var decoded) && decoded.Length == Size ? new X25519PublicKey(decoded) : null;
        return key is not null;
    }

    public bool Equals(X25519PublicKey? other) => other is not null && Span.SequenceEqual(other.Span);

    public override bool Equals(object? obj) => Equals(obj as X25519PublicKey);

    public override int GetHashCode() => BitConverter.ToInt32(Span);

    /// <summary>Standard base64 with padding, 44 characters.</summary>
    public override string ToString() => Convert.ToBase64String(bytes);
}

/// <summary>An X25519 private key in native memory, erased on disposal.</summary>
public sealed class X25519PrivateKey : IDisposable
{
    /// <summary>Bytes of a shared secret; RFC 7748 section 6.1.</summary>
    public const int SharedSecretSize = 32;

    private const int SecretSize = 32;

    // Every private key finds the same low-order points; this one is asked for nothing else.
    private static readonly X25519PrivateKey Probe = Generate();

    private readonly NativeSecret secret;

    private X25519PrivateKey(NativeSecret secret)
    {
        this.secret = secret;
        Span<byte> publicKey = stackalloc byte[X25519PublicKey.Size];
        _ = Sodium.crypto_scalarmult_base(publicKey, secret); // the base point is not of low order
        PublicKey = new X25519PublicKey(publicKey);
    }

    public X25519PublicKey PublicKey { get; }

    /// <summary>Makes a key that stays, in libsodium's guarded memory.</summary>
    public static X25519PrivateKey Generate() => Generate(new GuardedSecret(SecretSize));

    /// <summary>Takes 32 secret bytes into libsodium's guarded memory; the caller clears its own copy.</summary>
    /// <exception cref="ArgumentException">They are not 32 bytes.</exception>
    public static X25519PrivateKey Import(ReadOnlySpan<byte> secret)
    {
        Size.Require(secret, SecretSize, nameof(secret));
        var guarded = new GuardedSecret(SecretSize);
        guarded.Fill(secret);
        return new(guarded);
    }

    /// <summary>Makes a key for one message, in plain native memory; to be disposed of as soon as it has agreed.</summary>
    internal static X25519PrivateKey GenerateBrief() => Generate(new BriefSecret(SecretSize));

    /// <summary>Agrees on a secret of 32 bytes, which the caller clears.</summary>
    /// <returns>False for a low-order peer key: the secret would be all zeros, known to everyone (RFC 7748 section 6.1).</returns>
    public bool TryAgree(X25519PublicKey peer, Span<byte> sharedSecret)
    {
        if (sharedSecret.Length != SharedSecretSize)
            throw new ArgumentException($"A shared secret has {SharedSecretSize} bytes.", nameof(sharedSecret));
        return Sodium.crypto_scalarmult(sharedSecret, secret, peer.Span) == 0;
    }

    /// <summary>Whether any private key and <paramref name="key"/> agree on zeros, which everyone knows.</summary>
    internal static bool IsLowOrder(X25519PublicKey key)
    {
        Span<byte> secret = stackalloc byte[SharedSecretSize];
        return !Probe.TryAgree(key, secret);
    }

    public void Dispose() => secret.Dispose();

    private static X25519PrivateKey Generate(NativeSecret memory)
    {
        Sodium.randombytes_buf(memory, SecretSize);
        return new(memory);
    }
}
