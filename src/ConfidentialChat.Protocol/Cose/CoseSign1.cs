// spec/receipts.md section 1; RFC 9052 sections 2 and 4.
using System.Formats.Cbor;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Cose;

// tag 18, array of 4:
// protected    bytes: the header's map
// unprotected  an empty map
// payload      bytes
// signature    64 bytes, over the array "Signature1", protected, external_aad (no bytes), payload
/// <summary>A COSE_Sign1 under a node's <c>signing</c> key: the one container of what nodes sign. Parsed, it is not verified. Immutable.</summary>
public sealed class CoseSign1
{
    /// <summary>In bytes, all of it.</summary>
    public const int MaxSize = 4096;

    internal const ulong Tag = 18; // RFC 9052 table 1
    internal const int Items = 4;

    private readonly byte[] protectedHeader;
    private readonly byte[] payload;
    private readonly byte[] signature;

    private CoseSign1(CoseHeader header, byte[] protectedHeader, byte[] payload, byte[] signature)
    {
        Header = header;
        this.protectedHeader = protectedHeader;
        this.payload = payload;
        this.signature = signature;
    }

    public CoseHeader Header { get; }

    public ReadOnlySpan<byte> Payload => payload;

    internal ReadOnlySpan<byte> Signature => signature;

    /// <summary>Signs, in the one spelling that <see cref="TryParse"/> takes.</summary>
    /// <param name="header">What, when, about what.</param>
    /// <param name="payload">Deterministic CBOR.</param>
    /// <param name="key">The <c>signing</c> key of the header's key set, which signs nothing else than these.</param>
    /// <exception cref="ArgumentException">It would be larger than <see cref="MaxSize"/>.</exception>
    public static byte[] Sign(CoseHeader header, ReadOnlySpan<byte> payload, Ed25519PrivateKey key)
    {
        ArgumentNullException.ThrowIfNull(header);
        ArgumentNullException.ThrowIfNull(key);
        var protectedHeader = header.Write();
        var signature = key.Sign(SigStructure(protectedHeader, payload));
        return Write(protectedHeader, payload, signature);
    }

    /// <summary>Reads it; the signature is not looked at.</summary>
    /// <param name="bytes">All of it.</param>
    /// <param name="contentType">What it has to be: another kind of statement is refused.</param>
    /// <param name="parsed">Null where an error is returned.</param>
    public static CoseError TryParse(ReadOnlySpan<byte> bytes, string contentType, out CoseSign1? parsed)
    {
        parsed = null;
        if (bytes.Length > MaxSize)
            return CoseError.TooLarge;
        var items = new CborItems(bytes);
        if (!items.TryReadTag(Tag) || !items.TryReadArray(Items) || !items.TryReadBytes(out var protectedHeader) || !items.TryReadMap(out var unprotected))
            return items.Fault;
        if (unprotected > 0)
            return CoseError.UnprotectedContent;
        if (!items.TryReadBytes(out var payload) || !items.TryReadBytes(Ed25519PublicKey.SignatureSize, out var signature) || !items.TryEnd())
            return items.Fault;
        if (CoseHeader.TryRead(protectedHeader, out var header) is not CoseError.None and var error)
            return error;
        if (!string.Equals(header!.ContentType, contentType, StringComparison.Ordinal))
            return CoseError.WrongContentType;
        parsed = new CoseSign1(header, protectedHeader.ToArray(), payload.ToArray(), signature.ToArray());
        return CoseError.None;
    }

    /// <summary>Whether this key signed it.</summary>
    public bool IsSignedBy(Ed25519PublicKey key)
    {
        ArgumentNullException.ThrowIfNull(key);
        return key.Verify(SigStructure(protectedHeader, payload), signature);
    }

    internal static byte[] Write(ReadOnlySpan<byte> protectedHeader, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> signature)
    {
        var writer = new CborWriter(CborConformanceMode.Canonical);
        writer.WriteTag((CborTag)Tag);
        writer.WriteStartArray(Items);
        writer.WriteByteString(protectedHeader);
        writer.WriteStartMap(0);
        writer.WriteEndMap();
        writer.WriteByteString(payload);
        writer.WriteByteString(signature);
        writer.WriteEndArray();
        return writer.BytesWritten <= MaxSize
            ? writer.Encode()
            : throw new ArgumentException($"What is signed is larger than {MaxSize} bytes.", nameof(payload));
    }

    internal static byte[] SigStructure(ReadOnlySpan<byte> protectedHeader, ReadOnlySpan<byte> payload)
    {
        var writer = new CborWriter(CborConformanceMode.Canonical);
        writer.WriteStartArray(Items);
        writer.WriteTextString("Signature1");
        writer.WriteByteString(protectedHeader);
        writer.WriteByteString([]); // external_aad
        writer.WriteByteString(payload);
        writer.WriteEndArray();
        return writer.Encode();
    }
}
