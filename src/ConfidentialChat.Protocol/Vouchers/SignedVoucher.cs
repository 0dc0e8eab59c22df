// spec/vouchers.md sections 2, 3 and 6.
using System.Buffers.Binary;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Vouchers;

/// <summary>A voucher with the signature of its node, alone or of a batch. Parsed, it is not verified. Immutable.</summary>
public sealed class SignedVoucher
{
    /// <summary>In bytes, all of it.</summary>
    public const int MaxSize = CoseSign1.MaxSize;

    private const byte ArrayOfTwo = 0x82; // of a batch; what stands alone is tagged

    private readonly CoseSign1? alone;
    private readonly CoseInclusion? included;

    private SignedVoucher(CoseHeader header, Voucher voucher, CoseSign1? alone, CoseInclusion? included)
    {
        KeySet = header.KeySet;
        Audience = header.Audience!;
        Time = header.Time;
        Voucher = voucher;
        this.alone = alone;
        this.included = included;
    }

    public Voucher Voucher { get; }

    /// <summary>The key set whose <c>signing</c> key is to have signed.</summary>
    public KeySetDigest KeySet { get; }

    /// <summary>For whom it is: <see cref="AudienceOf"/> of a gateway's key.</summary>
    public string Audience { get; }

    /// <summary>The node's clock when it signed, to the second.</summary>
    public DateTimeOffset Time { get; }

    /// <summary>The beginning of the signature: what is signed together has it in common, and others hardly.</summary>
    public long SignatureName => BinaryPrimitives.ReadInt64LittleEndian(included is null ? alone!.Signature : included.Signature);

    /// <summary>Reads it; the signature is not looked at.</summary>
    /// <param name="bytes">All of it, at most <see cref="MaxSize"/>.</param>
    /// <param name="parsed">Null where an error is returned.</param>
    public static CoseError TryParse(ReadOnlySpan<byte> bytes, out SignedVoucher? parsed)
    {
        parsed = null;
        CoseSign1? alone = null;
        CoseInclusion? included = null;
        var error = bytes is [ArrayOfTwo, ..]
            ? CoseInclusion.TryParse(bytes, Voucher.ContentType, out included)
            : CoseSign1.TryParse(bytes, Voucher.ContentType, out alone);
        if (error != CoseError.None)
            return error;
        var header = included?.Header ?? alone!.Header;
        if (header.Audience is null)
            return CoseError.MissingLabel;
        error = Voucher.TryRead(included is null ? alone!.Payload : included.Entry, out var voucher);
        if (error != CoseError.None)
            return error;
        if (alone is not null && alone.Header.Request != voucher!.Request)
            return CoseError.WrongValue;
        parsed = new SignedVoucher(header, voucher!, alone, included);
        return CoseError.None;
    }

    /// <summary>Whether this key signed it.</summary>
    public bool IsSignedBy(Ed25519PublicKey key)
    {
        ArgumentNullException.ThrowIfNull(key);
        return included?.IsSignedBy(key) ?? alone!.IsSignedBy(key);
    }

    /// <summary>Whether both are of one batch with one signature: where that is good for the other, it is good for this.</summary>
    /// <param name="verified">Its signature was verified, under the key of the key set that both name.</param>
    public bool IsSignedLike(SignedVoucher verified)
    {
        ArgumentNullException.ThrowIfNull(verified);
        return included is not null && verified.included is not null && included.IsSignedLike(verified.included);
    }

    /// <summary><c>urn:confidentialchat:gateway:HEX</c>, of the SHA-256 of a gateway's key.</summary>
    public static string AudienceOf(Ed25519PublicKey gatewayKey)
    {
        ArgumentNullException.ThrowIfNull(gatewayKey);
        return "urn:confidentialchat:gateway:" + Convert.ToHexStringLower(Sha256.Hash(gatewayKey.Span));
    }
}
