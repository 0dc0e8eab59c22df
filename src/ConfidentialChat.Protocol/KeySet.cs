// spec/gateway.md section 3; spec/attestation.md section 11.
using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol;

/// <summary>Names exactly the public keys of one key set: 32 bytes, as text in base64url.</summary>
public readonly record struct KeySetDigest
{
    public const int Size = Sha256.Size;

    private static readonly int TextLength = Base64Url.GetEncodedLength(Size);

    private readonly UInt128 first, second;

    /// <exception cref="ArgumentException"><paramref name="bytes"/> are not 32 bytes.</exception>
    public KeySetDigest(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size)
            throw new ArgumentException($"A key set's digest has {Size} bytes, not {bytes.Length}.", nameof(bytes));
        first = BinaryPrimitives.ReadUInt128BigEndian(bytes);
        second = BinaryPrimitives.ReadUInt128BigEndian(bytes[(Size / 2)..]);
    }

    /// <summary>Reads base64url without padding in its one spelling.</summary>
    public static bool TryParse(string? text, out KeySetDigest digest)
    {
        digest = default;
        Span<byte> bytes = stackalloc byte[Size];
        if (text?.Length != TextLength || Base64Url.DecodeFromChars(text, bytes, out _, out var written) != OperationStatus.Done || written != Size)
            return false;
        var parsed = new KeySetDigest(bytes);
        if (!string.Equals(parsed.ToString(), text, StringComparison.Ordinal)) // the decoder also takes stray bits
            return false;
        digest = parsed;
        return true;
    }

    public void CopyTo(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt128BigEndian(bytes, first);
        BinaryPrimitives.WriteUInt128BigEndian(bytes[(Size / 2)..], second);
    }

    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[Size];
        CopyTo(bytes);
        return Base64Url.EncodeToString(bytes);
    }
}

/// <summary>The public keys of a node that belong together. Until nodes have evidence, envelope v1's key stands alone in it.</summary>
public sealed record KeySet
{
    /// <summary>How many a node may hold at once.</summary>
    public const int MaxHeld = 128;

    /// <summary>The node key of envelope v1.</summary>
    public required X25519PublicKey X25519 { get; init; }

    /// <summary>A list of key configurations, <c>application/ohttp-keys</c>; null until nodes have one.</summary>
    public ReadOnlyMemory<byte>? Ohttp { get; init; }

    /// <summary>Signs receipts and usage reports; null until nodes have one.</summary>
    public Ed25519PublicKey? Signing { get; init; }

    /// <summary>SHA-256 of the evidence bundle that binds these keys, 32 bytes; null until nodes have one. No part of the digest.</summary>
    public ReadOnlyMemory<byte>? Bundle { get; init; }

    /// <summary>When the node erases the private halves, to the second.</summary>
    public required DateTimeOffset Expires { get; init; }

    // digest = SHA-256(domain ‖ u32 length ‖ ohttp ‖ u32 length ‖ x25519 ‖ u32 length ‖ signing), what is null being empty
    public KeySetDigest Digest
    {
        get
        {
            var ohttp = Ohttp.GetValueOrDefault().Span;
            var signing = Signing is null ? [] : Signing.Span;
            return new KeySetDigest(Sha256.Hash(
            [
                .. "ConfidentialChat attestation v1 key set"u8, .. Length(ohttp), .. ohttp, .. Length(X25519.Span), .. X25519.Span, .. Length(signing),
                .. signing,
            ]));
        }
    }

    private static byte[] Length(ReadOnlySpan<byte> key)
    {
        var length = new byte[sizeof(uint)];
        BinaryPrimitives.WriteInt32BigEndian(length, key.Length);
        return length;
    }
}
