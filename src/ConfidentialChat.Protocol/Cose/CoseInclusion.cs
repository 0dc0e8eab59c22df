// spec/vouchers.md section 3; RFC 9942 sections 4 and 5, RFC 9162 section 2.1.
using System.Formats.Cbor;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Cose;

// array of 2:
// entry    bytes
// receipt  tag 18, array of 4:
//          protected    bytes: the header's map, with 395 (vds) = 1
//          unprotected  {396 (vdp): {-1 (inclusion): [bytes: [tree size, leaf index, [hashes, from the bottom up]]]}}
//          payload      nil: it is the root, which entry and proof lead to
//          signature    64 bytes, over the array "Signature1", protected, external_aad (no bytes), root
/// <summary>
/// One of many entries for which a node signed once: the entry, and a COSE Receipt of its inclusion in the tree whose root is signed under the
/// <c>signing</c> key. Parsed, it is not verified. Immutable.
/// </summary>
internal sealed class CoseInclusion
{
    private const int Proofs = 396; // RFC 9942 section 4
    private const int Inclusion = -1; // RFC 9942 section 5.2
    private const int Parts = 2, ProofParts = 3;

    private CoseInclusion(CoseHeader header, byte[] protectedHeader, byte[] signature, byte[] entry, byte[] root)
    {
        (Header, ProtectedHeader, Signature, Entry, Root) = (header, protectedHeader, signature, entry, root);
    }

    /// <summary>Names no request.</summary>
    public CoseHeader Header { get; }

    public byte[] ProtectedHeader { get; }

    public byte[] Signature { get; }

    public byte[] Entry { get; }

    /// <summary>To which the proof leads.</summary>
    public byte[] Root { get; }

    /// <summary>Reads it; the signature is not looked at.</summary>
    /// <param name="bytes">All of it, at most <see cref="CoseSign1.MaxSize"/>.</param>
    /// <param name="contentType">What it has to be.</param>
    /// <param name="parsed">Null where an error is returned.</param>
    public static CoseError TryParse(ReadOnlySpan<byte> bytes, string contentType, out CoseInclusion? parsed)
    {
        parsed = null;
        if (bytes.Length > CoseSign1.MaxSize)
            return CoseError.TooLarge;
        var items = new CborItems(bytes);
        if (!items.TryReadArray(Parts) || !items.TryReadBytes(out var entry) || !items.TryReadTag(CoseSign1.Tag) || !items.TryReadArray(CoseSign1.Items)
            || !items.TryReadBytes(out var protectedHeader) || !TryReadProofs(ref items, out var proof)
            || !items.TryPassNull() || !items.TryReadBytes(Ed25519PublicKey.SignatureSize, out var signature) || !items.TryEnd())
            return items.Fault;
        if (CoseHeader.TryRead(protectedHeader, isOfRoot: true, out var header) is not CoseError.None and var error)
            return error;
        if (!string.Equals(header!.ContentType, contentType, StringComparison.Ordinal))
            return CoseError.WrongContentType;
        if (TryReadProof(proof, entry, out var root) is not CoseError.None and var fault)
            return fault;
        parsed = new CoseInclusion(header, protectedHeader.ToArray(), signature.ToArray(), entry.ToArray(), root!);
        return CoseError.None;
    }

    /// <summary>Whether this key signed the root.</summary>
    public bool IsSignedBy(Ed25519PublicKey key) => key.Verify(CoseSign1.SigStructure(ProtectedHeader, Root), Signature);

    /// <summary>Whether the very same signature, which was verified, is for this root too.</summary>
    public bool IsSignedLike(CoseInclusion verified) =>
        Root.AsSpan().SequenceEqual(verified.Root) && Signature.AsSpan().SequenceEqual(verified.Signature)
        && ProtectedHeader.AsSpan().SequenceEqual(verified.ProtectedHeader);

    /// <summary>Writes an entry of a tree in the one spelling that <see cref="TryParse"/> takes.</summary>
    public static byte[] Write(ReadOnlySpan<byte> protectedHeader, ReadOnlySpan<byte> signature, ReadOnlySpan<byte> entry, MerkleTree tree, int index)
    {
        var writer = new CborWriter(CborConformanceMode.Canonical);
        writer.WriteStartArray(ProofParts);
        writer.WriteInt32(tree.Size);
        writer.WriteInt32(index);
        var path = tree.Path(index);
        writer.WriteStartArray(path.Count);
        foreach (var hash in path)
            writer.WriteByteString(hash);
        writer.WriteEndArray();
        writer.WriteEndArray();
        var proof = writer.Encode();

        writer.Reset();
        writer.WriteStartArray(Parts);
        writer.WriteByteString(entry);
        writer.WriteTag((CborTag)CoseSign1.Tag);
        writer.WriteStartArray(CoseSign1.Items);
        writer.WriteByteString(protectedHeader);
        writer.WriteStartMap(1);
        writer.WriteInt32(Proofs);
        writer.WriteStartMap(1);
        writer.WriteInt32(Inclusion);
        writer.WriteStartArray(1);
        writer.WriteByteString(proof);
        writer.WriteEndArray();
        writer.WriteEndMap();
        writer.WriteEndMap();
        writer.WriteNull();
        writer.WriteByteString(signature);
        writer.WriteEndArray();
        writer.WriteEndArray();
        return writer.Encode();
    }

    // {396: {-1: [proof]}}, and nothing beside it: nobody signed it, and nobody needs it
    private static bool TryReadProofs(ref CborItems items, out ReadOnlySpan<byte> proof)
    {
        proof = default;
        return TryReadOnly(ref items, Proofs) && TryReadOnly(ref items, Inclusion) && items.TryReadArray(1) && items.TryReadBytes(out proof);
    }

    private static bool TryReadOnly(ref CborItems items, long wanted)
    {
        long? label = null;
        if (!items.TryReadMap(out var pairs))
            return false;
        if (pairs == 0)
            return items.Fail(CoseError.MissingLabel);
        return items.TryReadLabel(ref label) && ((label == wanted && pairs == 1) || items.Fail(CoseError.UnprotectedContent));
    }

    private static CoseError TryReadProof(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> entry, out byte[]? root)
    {
        root = null;
        var items = new CborItems(bytes);
        if (!items.TryReadArray(ProofParts) || !items.TryReadInteger(out var size) || !items.TryReadInteger(out var index)
            || !items.TryReadArray(MerkleTree.MaxPath, out var count))
            return items.Fault;
        if (size is < 1 or > MerkleTree.MaxSize || index < 0 || index >= size)
            return CoseError.WrongValue;
        var path = new byte[count][];
        for (var i = 0; i < count; i++)
        {
            if (!items.TryReadBytes(Sha256.Size, out var hash))
                return items.Fault;
            path[i] = hash.ToArray();
        }

        if (!items.TryEnd())
            return items.Fault;
        root = MerkleTree.RootOf(entry, (int)index, (int)size, path);
        return root is null ? CoseError.WrongValue : CoseError.None;
    }
}
