// spec/receipts.md section 1, spec/vouchers.md section 3; RFC 9052 section 3.1, RFC 9597, RFC 9942 section 4.
using System.Formats.Cbor;

namespace ConfidentialChat.Protocol.Cose;

// label  name          value
// 1      alg           -8, EdDSA; read too: -19, Ed25519 (RFC 9864)
// 3      content type  text
// 4      kid           the key set's digest, 32 bytes
// 395    vds           1, RFC9162_SHA256: of what CoseInclusion reads, which has no sub
// 15     CWT claims    1 iss "urn:confidentialchat:keyset:HEX", 2 sub "urn:uuid:REQUEST", 3 aud text, optional, 6 iat in seconds
/// <summary>The protected header of what a node signs: what it is, under which keys, about which request, when. Immutable.</summary>
public sealed record CoseHeader
{
    private const int Algorithm = 1, Critical = 2, Type = 3, KeyId = 4, Claims = 15, DataStructure = 395; // RFC 9052 table 3; RFC 9597; RFC 9942
    private const int Issuer = 1, Subject = 2, AudienceClaim = 3, IssuedAt = 6; // RFC 8392 section 4
    private const int EdDsa = -8, Ed25519Alone = -19; // RFC 9053 section 2.2; RFC 9864
    private const int MerkleTree = 1; // RFC9162_SHA256
    private const string IssuerPrefix = "urn:confidentialchat:keyset:";
    private const string SubjectPrefix = "urn:uuid:";
    private const long MaxTime = 253_402_300_799; // the last second of the year 9999

    /// <summary>A media type.</summary>
    public required string ContentType { get; init; }

    /// <summary>The key set whose <c>signing</c> key signs.</summary>
    public required KeySetDigest KeySet { get; init; }

    public required RequestId Request { get; init; }

    /// <summary>For whom it is; null where it is for whoever asked.</summary>
    public string? Audience { get; init; }

    /// <summary>The signer's clock, to the second.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>Whether the root of a tree is signed, which is about many requests and names none.</summary>
    internal bool IsOfRoot { get; init; }

    /// <summary>The map, as it is signed.</summary>
    internal byte[] Write()
    {
        var writer = new CborWriter(CborConformanceMode.Canonical);
        Span<byte> keySet = stackalloc byte[KeySetDigest.Size];
        KeySet.CopyTo(keySet);
        writer.WriteStartMap(IsOfRoot ? 5 : 4);
        writer.WriteInt32(Algorithm);
        writer.WriteInt32(EdDsa);
        writer.WriteInt32(Type);
        writer.WriteTextString(ContentType);
        writer.WriteInt32(KeyId);
        writer.WriteByteString(keySet);
        writer.WriteInt32(Claims);
        writer.WriteStartMap(2 + (Audience is null ? 0 : 1) + (IsOfRoot ? 0 : 1));
        writer.WriteInt32(Issuer);
        writer.WriteTextString(IssuerPrefix + Convert.ToHexStringLower(keySet));
        if (!IsOfRoot)
        {
            writer.WriteInt32(Subject);
            writer.WriteTextString(SubjectPrefix + Request);
        }

        if (Audience is not null)
        {
            writer.WriteInt32(AudienceClaim);
            writer.WriteTextString(Audience);
        }

        writer.WriteInt32(IssuedAt);
        writer.WriteInt64(Time.ToUnixTimeSeconds());
        writer.WriteEndMap();
        if (IsOfRoot)
        {
            writer.WriteInt32(DataStructure);
            writer.WriteInt32(MerkleTree);
        }

        writer.WriteEndMap();
        return writer.Encode();
    }

    internal static CoseError TryRead(ReadOnlySpan<byte> bytes, out CoseHeader? header) => TryRead(bytes, isOfRoot: false, out header);

    internal static CoseError TryRead(ReadOnlySpan<byte> bytes, bool isOfRoot, out CoseHeader? header)
    {
        header = null;
        var items = new CborItems(bytes);
        if (!items.TryReadMap(out var pairs))
            return items.Fault;
        long? label = null;
        long? algorithm = null;
        long? structure = null;
        string? type = null;
        KeySetDigest? keySet = null;
        ClaimSet? claims = null;
        for (; pairs > 0; pairs--)
        {
            if (!items.TryReadLabel(ref label))
                return items.Fault;
            switch (label)
            {
                case Algorithm when items.TryReadInteger(out var alg):
                    algorithm = alg;
                    break;
                case Type when items.TryReadText(out var text):
                    type = text;
                    break;
                case KeyId when items.TryReadBytes(KeySetDigest.Size, out var kid):
                    keySet = new KeySetDigest(kid);
                    break;
                case Claims when ClaimSet.TryRead(ref items, isOfRoot, out var read):
                    claims = read;
                    break;
                case DataStructure when isOfRoot && items.TryReadInteger(out var kind):
                    structure = kind;
                    break;
                case Critical:
                    return CoseError.CriticalLabel;
                default:
                    return items.Fault == CoseError.None ? CoseError.UnknownLabel : items.Fault;
            }
        }

        if (!items.TryEnd())
            return items.Fault;
        if (algorithm is null || type is null || keySet is null || claims is null || (isOfRoot && structure is null))
            return CoseError.MissingLabel;
        if (algorithm is not (EdDsa or Ed25519Alone))
            return CoseError.UnsupportedAlgorithm;
        return structure is null or MerkleTree && claims.TryJoin(type, keySet.Value, out header) ? CoseError.None : CoseError.WrongValue;
    }

    private sealed record ClaimSet(string Issuer, string? Subject, string? Audience, long IssuedAt)
    {
        public static bool TryRead(ref CborItems items, bool isOfRoot, out ClaimSet? claims)
        {
            claims = null;
            if (!items.TryReadMap(out var pairs))
                return false;
            string? issuer = null, subject = null, audience = null;
            long? issuedAt = null;
            for (long? label = null; pairs > 0; pairs--)
            {
                if (!items.TryReadLabel(ref label))
                    return false;
                switch (label)
                {
                    case CoseHeader.Issuer when items.TryReadText(out issuer):
                    case CoseHeader.Subject when !isOfRoot && items.TryReadText(out subject):
                    case AudienceClaim when items.TryReadText(out audience):
                        break;
                    case CoseHeader.IssuedAt when items.TryReadInteger(out var seconds):
                        issuedAt = seconds;
                        break;
                    default:
                        return items.Fail(CoseError.UnknownLabel);
                }
            }

            if (issuer is null || (subject is null && !isOfRoot) || issuedAt is null)
                return items.Fail(CoseError.MissingLabel);
            claims = new ClaimSet(issuer, subject, audience, issuedAt.Value);
            return true;
        }

        // The issuer is the key set that kid names, and all is in its one spelling.
        public bool TryJoin(string type, KeySetDigest keySet, out CoseHeader? header)
        {
            header = null;
            RequestId request = default;
            Span<byte> bytes = stackalloc byte[KeySetDigest.Size];
            keySet.CopyTo(bytes);
            if (!string.Equals(Issuer, IssuerPrefix + Convert.ToHexStringLower(bytes), StringComparison.Ordinal)
                || (Subject is not null && !TryReadRequest(Subject, out request))
                || IssuedAt is < 0 or > MaxTime)
                return false;
            header = new CoseHeader
            {
                ContentType = type,
                KeySet = keySet,
                Request = request,
                Audience = Audience,
                Time = DateTimeOffset.FromUnixTimeSeconds(IssuedAt),
                IsOfRoot = Subject is null,
            };
            return true;
        }

        private static bool TryReadRequest(string subject, out RequestId request)
        {
            request = default;
            return subject.StartsWith(SubjectPrefix, StringComparison.Ordinal)
                && RequestId.TryParse(subject[SubjectPrefix.Length..], out request)
                && string.Equals(SubjectPrefix + request, subject, StringComparison.Ordinal);
        }
    }
}
