// spec/receipts.md section 2.
using System.Formats.Cbor;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Receipts;

// label  name           value
// 1      version        1
// 2      request        16 bytes, as RFC 9562 orders them
// 3      encapsulation  SHA-256(hdr ‖ enc)
// 4      request hash   32 bytes, salted
// 5      answer hash    32 bytes, salted
// 6      status         200 to 599
// 7      model          text
// 8      weights        SHA-256, or null
// 9      max units      from 0
// 10     usage          [prompt, completion, pixels]
// 11     end            0 complete, 1 the engine broke off
/// <summary>What a node says of one answer. Said by whom, and whether it is so, says a verification. Immutable.</summary>
public sealed record Receipt
{
    /// <summary>Of the container.</summary>
    public const string ContentType = "application/vnd.confidentialchat.receipt+cbor";

    private const int Version = 1;
    private const int Members = 11;
    private const int IdSize = 16;

    /// <summary>To which the request was sealed.</summary>
    public required KeySetDigest KeySet { get; init; }

    public required RequestId Request { get; init; }

    /// <summary>The node's clock at the answer's end, to the second.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>SHA-256(hdr ‖ enc), 32 bytes: which sealed request it was.</summary>
    public required ReadOnlyMemory<byte> Encapsulation { get; init; }

    /// <summary>Salted, 32 bytes: <see cref="SaltedHash"/>.</summary>
    public required ReadOnlyMemory<byte> RequestHash { get; init; }

    /// <summary>Likewise.</summary>
    public required ReadOnlyMemory<byte> AnswerHash { get; init; }

    /// <summary>The status inside.</summary>
    public required int Status { get; init; }

    public required string Model { get; init; }

    /// <summary>SHA-256 of the weights that the process loaded; null of an engine elsewhere.</summary>
    public required ReadOnlyMemory<byte>? Weights { get; init; }

    /// <summary>What the request was allowed to use.</summary>
    public required ComputeUnits MaxUnits { get; init; }

    /// <summary>What it used, exactly.</summary>
    public required Usage Usage { get; init; }

    public required AnswerEnd End { get; init; }

    /// <summary>Signs it with the <c>signing</c> key of its key set.</summary>
    /// <exception cref="InvalidOperationException">A digest is none.</exception>
    public byte[] Sign(Ed25519PrivateKey key) =>
        CoseSign1.Sign(new CoseHeader { ContentType = ContentType, KeySet = KeySet, Request = Request, Time = Time }, Write(), key);

    private byte[] Write()
    {
        Span<byte> request = stackalloc byte[IdSize];
        Request.Value.TryWriteBytes(request, bigEndian: true, out _);
        var writer = new CborWriter(CborConformanceMode.Canonical);
        writer.WriteStartMap(Members);
        writer.WriteInt32(1);
        writer.WriteInt32(Version);
        writer.WriteInt32(2);
        writer.WriteByteString(request);
        writer.WriteInt32(3);
        writer.WriteByteString(Digest(Encapsulation));
        writer.WriteInt32(4);
        writer.WriteByteString(Digest(RequestHash));
        writer.WriteInt32(5);
        writer.WriteByteString(Digest(AnswerHash));
        writer.WriteInt32(6);
        writer.WriteInt32(Status);
        writer.WriteInt32(7);
        writer.WriteTextString(Model);
        writer.WriteInt32(8);
        if (Weights is { } weights)
            writer.WriteByteString(Digest(weights));
        else
            writer.WriteNull();
        writer.WriteInt32(9);
        writer.WriteInt64(MaxUnits.Value);
        writer.WriteInt32(10);
        writer.WriteStartArray(3);
        writer.WriteInt64(Usage.PromptTokens);
        writer.WriteInt64(Usage.CompletionTokens);
        writer.WriteInt64(Usage.Pixels);
        writer.WriteEndArray();
        writer.WriteInt32(11);
        writer.WriteInt32((int)End);
        writer.WriteEndMap();
        return writer.Encode();
    }

    private static ReadOnlySpan<byte> Digest(ReadOnlyMemory<byte> digest) =>
        digest.Length == Sha256.Size ? digest.Span
        : throw new InvalidOperationException($"A digest of a receipt has {Sha256.Size} bytes, not {digest.Length}.");

    internal static CoseError TryRead(CoseSign1 container, out Receipt? receipt)
    {
        receipt = null;
        var items = new CborItems(container.Payload);
        if (!items.TryReadMap(out var count) || !TryReadFacts(ref items, count, container.Header, out var read) || !items.TryEnd())
            return items.Fault;
        if (container.Header.Audience is not null)
            return CoseError.WrongValue;
        receipt = read;
        return CoseError.None;
    }

    // In the order of the labels, each of which has to be there.
    private static bool TryReadFacts(ref CborItems items, int count, CoseHeader header, out Receipt? receipt)
    {
        receipt = null;
        long? label = null;
        ReadOnlyMemory<byte>? weights = null;
        if (!IsNext(ref items, ref label, ref count, 1) || !items.TryReadInteger(out var version)
            || (version != Version && !items.Fail(CoseError.WrongValue))
            || !IsNext(ref items, ref label, ref count, 2) || !items.TryReadBytes(IdSize, out var request)
            || !IsNext(ref items, ref label, ref count, 3) || !items.TryReadBytes(Sha256.Size, out var encapsulation)
            || !IsNext(ref items, ref label, ref count, 4) || !items.TryReadBytes(Sha256.Size, out var requestHash)
            || !IsNext(ref items, ref label, ref count, 5) || !items.TryReadBytes(Sha256.Size, out var answerHash)
            || !IsNext(ref items, ref label, ref count, 6) || !items.TryReadInteger(out var status)
            || !IsNext(ref items, ref label, ref count, 7) || !items.TryReadText(out var model)
            || !IsNext(ref items, ref label, ref count, 8) || !TryReadWeights(ref items, out weights)
            || !IsNext(ref items, ref label, ref count, 9) || !TryReadUnits(ref items, out var units)
            || !IsNext(ref items, ref label, ref count, 10) || !items.TryReadArray(3)
            || !TryReadUnits(ref items, out var prompt) || !TryReadUnits(ref items, out var completion) || !TryReadUnits(ref items, out var pixels)
            || !IsNext(ref items, ref label, ref count, 11) || !items.TryReadInteger(out var end))
            return false;
        if (count > 0)
            return items.TryReadLabel(ref label) && items.Fail(CoseError.UnknownLabel);
        if (new Guid(request, bigEndian: true) != header.Request.Value || status is < 200 or > 599 || model.Length is 0 or > ModelNames.MaxLength
            || end is not ((long)AnswerEnd.Complete or (long)AnswerEnd.CutOff))
            return items.Fail(CoseError.WrongValue);
        receipt = new Receipt
        {
            KeySet = header.KeySet,
            Request = header.Request,
            Time = header.Time,
            Encapsulation = encapsulation.ToArray(),
            RequestHash = requestHash.ToArray(),
            AnswerHash = answerHash.ToArray(),
            Status = (int)status,
            Model = model,
            Weights = weights,
            MaxUnits = new ComputeUnits(units),
            Usage = new Usage(prompt, completion) { Pixels = pixels },
            End = (AnswerEnd)end,
        };
        return true;
    }

    private static bool IsNext(ref CborItems items, ref long? label, ref int count, long expected)
    {
        if (count-- <= 0)
            return items.Fail(CoseError.MissingLabel);
        if (!items.TryReadLabel(ref label))
            return false;
        return label == expected || items.Fail(label > expected && label <= Members ? CoseError.MissingLabel : CoseError.UnknownLabel);
    }

    private static bool TryReadWeights(ref CborItems items, out ReadOnlyMemory<byte>? weights)
    {
        weights = null;
        if (items.TryReadNull())
            return true;
        if (!items.TryReadBytes(Sha256.Size, out var digest))
            return false;
        weights = digest.ToArray();
        return true;
    }

    private static bool TryReadUnits(ref CborItems items, out long units) =>
        items.TryReadInteger(out units) && (units is >= 0 and <= ComputeUnits.MaxValue || items.Fail(CoseError.WrongValue));
}

/// <summary>How an answer ended.</summary>
public enum AnswerEnd
{
    /// <summary>As its engine meant it to.</summary>
    Complete = 0,

    /// <summary>The engine broke off.</summary>
    CutOff = 1,
}

/// <summary>A receipt as it came. Parsed, it is not verified. Immutable.</summary>
public sealed class SignedReceipt
{
    private readonly CoseSign1 container;
    private readonly byte[] bytes;

    private SignedReceipt(CoseSign1 container, Receipt receipt, byte[] bytes)
    {
        this.container = container;
        this.bytes = bytes;
        Receipt = receipt;
    }

    public Receipt Receipt { get; }

    /// <summary>The container's.</summary>
    public ReadOnlyMemory<byte> Bytes => bytes;

    /// <summary>Reads it, in its one spelling; the signature is not looked at.</summary>
    /// <param name="bytes">A stranger's.</param>
    /// <param name="receipt">Null where an error is returned.</param>
    public static CoseError TryParse(ReadOnlySpan<byte> bytes, out SignedReceipt? receipt)
    {
        receipt = null;
        if (CoseSign1.TryParse(bytes, Receipt.ContentType, out var container) is not CoseError.None and var error)
            return error;
        if (Receipt.TryRead(container!, out var read) is not CoseError.None and var fault)
            return fault;
        receipt = new SignedReceipt(container!, read!, bytes.ToArray());
        return CoseError.None;
    }

    /// <inheritdoc cref="CoseSign1.IsSignedBy"/>
    public bool IsSignedBy(Ed25519PublicKey key) => container.IsSignedBy(key);
}
