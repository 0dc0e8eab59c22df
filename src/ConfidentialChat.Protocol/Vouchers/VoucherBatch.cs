// spec/vouchers.md sections 2 to 4.
using System.Diagnostics.CodeAnalysis;
using System.Formats.Cbor;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Vouchers;

/// <summary>Vouchers that a node signed together: one signature for all, and each of them as it is delivered. Immutable.</summary>
public sealed class VoucherBatch
{
    /// <summary>So many at the most: paths of eight hashes.</summary>
    public const int MaxSize = 256;

    /// <summary>A batch as <see cref="Write"/> has it is no larger: 256 of the longest names.</summary>
    public const int MaxBytes = 256 * 1024;

    private const int Parts = 3; // protected header, signature, entries

    private readonly byte[] protectedHeader;
    private readonly byte[] signature;
    private readonly byte[][] entries;
    private readonly RequestId[] requests;
    private readonly Lazy<MerkleTree> tree;

    private VoucherBatch(CoseHeader header, byte[] protectedHeader, byte[] signature, byte[][] entries, RequestId[] requests, MerkleTree? tree)
    {
        KeySet = header.KeySet;
        Audience = header.Audience!;
        Time = header.Time;
        this.protectedHeader = protectedHeader;
        this.signature = signature;
        this.entries = entries;
        this.requests = requests;
        this.tree = tree is null ? new Lazy<MerkleTree>(() => TreeOf(entries)) : new Lazy<MerkleTree>(tree);
    }

    public KeySetDigest KeySet { get; }

    public string Audience { get; }

    /// <summary>When they were signed, to the second.</summary>
    public DateTimeOffset Time { get; }

    /// <summary>What they are about, in their order.</summary>
    public IReadOnlyList<RequestId> Requests => requests;

    /// <summary>Signs, one alone and several by the root of their tree.</summary>
    /// <param name="vouchers">One to <see cref="MaxSize"/>.</param>
    /// <param name="keySet">The key set whose key <paramref name="key"/> is.</param>
    /// <param name="audience">The gateway that they are for.</param>
    /// <param name="time">The signer's clock.</param>
    /// <param name="key">Signs nothing else than these and receipts.</param>
    /// <exception cref="ArgumentException">None, or too many.</exception>
    public static VoucherBatch Sign(IReadOnlyList<Voucher> vouchers, KeySetDigest keySet, string audience, DateTimeOffset time, Ed25519PrivateKey key)
    {
        ArgumentNullException.ThrowIfNull(vouchers);
        ArgumentNullException.ThrowIfNull(key);
        if (vouchers.Count is 0 or > MaxSize)
            throw new ArgumentException($"One to {MaxSize} vouchers are a batch.", nameof(vouchers));
        var entries = new byte[vouchers.Count][];
        var requests = new RequestId[vouchers.Count];
        for (var i = 0; i < entries.Length; i++)
            (entries[i], requests[i]) = (vouchers[i].Write(), vouchers[i].Request);
        var header = new CoseHeader
        {
            ContentType = Voucher.ContentType,
            KeySet = keySet,
            Request = entries.Length == 1 ? requests[0] : default,
            Audience = audience,
            Time = time,
            IsOfRoot = entries.Length > 1,
        };
        var protectedHeader = header.Write();
        var tree = header.IsOfRoot ? TreeOf(entries) : null;
        var signature = key.Sign(CoseSign1.SigStructure(protectedHeader, tree is null ? entries[0] : tree.Root.Span));
        return new VoucherBatch(header, protectedHeader, signature, entries, requests, tree);
    }

    /// <summary>One voucher, as it is delivered: what <see cref="SignedVoucher.TryParse"/> reads.</summary>
    public byte[] Signed(int index) => entries.Length == 1
        ? CoseSign1.Write(protectedHeader, entries[index], signature)
        : CoseInclusion.Write(protectedHeader, signature, entries[index], tree.Value, index);

    /// <summary>All of it, for the node that keeps it: [protected header, signature, [entries]].</summary>
    public byte[] Write()
    {
        var writer = new CborWriter(CborConformanceMode.Canonical);
        writer.WriteStartArray(Parts);
        writer.WriteByteString(protectedHeader);
        writer.WriteByteString(signature);
        writer.WriteStartArray(entries.Length);
        foreach (var entry in entries)
            writer.WriteByteString(entry);
        writer.WriteEndArray();
        writer.WriteEndArray();
        return writer.Encode();
    }

    /// <summary>Reads what <see cref="Write"/> wrote, or whatever stands in its place. The signature is not looked at.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out VoucherBatch? batch)
    {
        batch = null;
        if (bytes.Length > MaxBytes)
            return false;
        var items = new CborItems(bytes);
        if (!items.TryReadArray(Parts) || !items.TryReadBytes(out var protectedHeader) || !items.TryReadBytes(Ed25519PublicKey.SignatureSize, out var signature)
            || !items.TryReadArray(MaxSize, out var count) || count == 0)
            return false;
        var entries = new byte[count][];
        var requests = new RequestId[count];
        for (var i = 0; i < count; i++)
        {
            if (!items.TryReadBytes(out var entry) || Voucher.TryRead(entry, out var voucher) != CoseError.None)
                return false;
            (entries[i], requests[i]) = (entry.ToArray(), voucher!.Request);
        }

        if (!items.TryEnd() || CoseHeader.TryRead(protectedHeader, isOfRoot: count > 1, out var header) != CoseError.None || header!.Audience is null)
            return false;
        batch = new VoucherBatch(header, protectedHeader.ToArray(), signature.ToArray(), entries, requests, null);
        return true;
    }

    private static MerkleTree TreeOf(byte[][] entries) => new([.. entries.Select(entry => (ReadOnlyMemory<byte>)entry)]);
}
