// spec/attestation.md section 4 rules 6 and 7. RFC 5280 section 5.
using System.Formats.Asn1;
using System.Runtime.InteropServices;
using System.Security.Cryptography.X509Certificates;

namespace ConfidentialChat.Attestation.Certificates;

/// <summary>A certificate revocation list that could be read whole. What it says counts once <see cref="Fault"/> is null.</summary>
public sealed class RevocationList
{
    private readonly byte[] der;
    private readonly Range signed;
    private readonly Range issuer;
    private readonly List<Range> serialNumbers;
    private readonly byte[] signature;
    private readonly string algorithm;

    private RevocationList(
        byte[] der, Range signed, Range issuer, List<Range> serialNumbers, byte[] signature, string algorithm, DateTimeOffset thisUpdate,
        DateTimeOffset nextUpdate)
    {
        this.der = der;
        this.signed = signed;
        this.issuer = issuer;
        this.serialNumbers = serialNumbers;
        this.signature = signature;
        this.algorithm = algorithm;
        ThisUpdate = thisUpdate;
        NextUpdate = nextUpdate;
    }

    public DateTimeOffset ThisUpdate { get; }

    public DateTimeOffset NextUpdate { get; }

    /// <summary>How many certificates it revokes.</summary>
    public int Count => serialNumbers.Count;

    /// <summary>Reads a complete list in DER: no delta, no part, no entries of other issuers.</summary>
    public static Rejection? TryParse(ReadOnlySpan<byte> bytes, out RevocationList? list)
    {
        list = null;
        if (bytes.Length > Bounds.RevocationList)
            return Rejection.TooLarge(Bounds.RevocationList, bytes.Length);
        try
        {
            return Parse(bytes.ToArray(), out list);
        }
        // "Invalid operation" is what RangeOf says of a reader that copied.
        catch (Exception e) when (e is AsnContentException or ArgumentException or OverflowException or InvalidOperationException)
        {
            list = null;
            return Rejection.Malformed("a revocation list in DER", "undecodable bytes");
        }
    }

    /// <summary>Null where the list is the issuer's and in date, and no older than the policy allows.</summary>
    public Rejection? Fault(Certificate authority, KeyKind kind, TimeSpan? maxAge, Findings findings)
    {
        ArgumentNullException.ThrowIfNull(authority);
        ArgumentNullException.ThrowIfNull(findings);
        var bytes = der.AsSpan();
        if (!bytes[issuer].SequenceEqual(authority.Subject))
            return new Rejection(RejectionCode.Mismatch, $"the revocation list of {authority}", "another issuer's");
        if (authority.KeyUsages is { } usages && !usages.HasFlag(X509KeyUsageFlags.CrlSign))
            return new Rejection(RejectionCode.BadCertificate, "a CA that may sign revocation lists", authority.ToString());
        if (VerificationKey.TryTake(authority, kind, out var key) is { } rejection)
            return rejection;
        using (key)
        {
            if (algorithm != key!.SignatureAlgorithm || !key.VerifyDer(bytes[signed], signature))
                return new Rejection(RejectionCode.BadSignature, $"signed by {authority}", "another signature");
        }

        return findings.DateFault("revocation list", ThisUpdate, NextUpdate)
            ?? (maxAge is { } age ? findings.DateFault("revocation list by its age", ThisUpdate, Later(ThisUpdate, age)) : null);
    }

    /// <summary>Whether it revokes this certificate, for whatever reason and from whatever day.</summary>
    public bool Revokes(Certificate certificate)
    {
        ArgumentNullException.ThrowIfNull(certificate);
        var wanted = certificate.SerialNumber.Span;
        foreach (var range in serialNumbers)
        {
            if (der.AsSpan(range).SequenceEqual(wanted))
                return true;
        }

        return false;
    }

    internal static DateTimeOffset Later(DateTimeOffset date, TimeSpan age) =>
        DateTimeOffset.MaxValue - date > age ? date + age : DateTimeOffset.MaxValue;

    private static Rejection? Parse(byte[] der, out RevocationList? list)
    {
        list = null;
        var outer = new AsnReader(der, AsnEncodingRules.DER);
        var whole = outer.ReadSequence();
        outer.ThrowIfNotEmpty();
        var signedBytes = whole.PeekEncodedValue();
        var tbs = whole.ReadSequence();
        var algorithmBytes = whole.PeekEncodedValue();
        var algorithm = whole.ReadSequence().ReadObjectIdentifier();
        var signature = whole.ReadBitString(out var unused);
        whole.ThrowIfNotEmpty();
        if (unused != 0)
            return Rejection.Malformed("a signature in whole bytes", "a part of one");

        if (!tbs.TryReadInt32(out var version) || version != 1)
            return new Rejection(RejectionCode.Unsupported, "revocation list version 2", "another version");
        if (!tbs.ReadEncodedValue().Span.SequenceEqual(algorithmBytes.Span))
            return Rejection.Malformed("one signature algorithm", "two");
        var issuer = tbs.ReadEncodedValue();
        var thisUpdate = ReadTime(tbs);
        if (!tbs.HasData || !IsTime(tbs.PeekTag()))
            return Rejection.Malformed("a next update", "none");
        var nextUpdate = ReadTime(tbs);

        var serialNumbers = new List<Range>();
        if (tbs.HasData && tbs.PeekTag().HasSameClassAndValue(Asn1Tag.Sequence))
        {
            var entries = tbs.ReadSequence();
            while (entries.HasData)
            {
                if (serialNumbers.Count == Bounds.RevocationCount)
                    return new Rejection(RejectionCode.TooLarge, $"at most {Bounds.RevocationCount} entries", "more");
                var entry = entries.ReadSequence();
                serialNumbers.Add(RangeOf(der, entry.ReadIntegerBytes()));
                ReadTime(entry);
                if (entry.HasData && HasCritical(entry.ReadSequence()))
                    return new Rejection(RejectionCode.Unsupported, "no critical extension of an entry", "one");
                entry.ThrowIfNotEmpty();
            }
        }

        var tag = new Asn1Tag(TagClass.ContextSpecific, 0, isConstructed: true);
        if (tbs.HasData)
        {
            var wrapper = tbs.ReadSequence(tag);
            var extensions = wrapper.ReadSequence();
            wrapper.ThrowIfNotEmpty();
            // Delta lists and distribution points are critical by RFC 5280: each hides entries that are elsewhere.
            if (HasCritical(extensions))
                return new Rejection(RejectionCode.Unsupported, "a complete list without critical extensions", "a critical extension");
        }

        tbs.ThrowIfNotEmpty();
        list = new RevocationList(der, RangeOf(der, signedBytes), RangeOf(der, issuer), serialNumbers, signature, algorithm, thisUpdate, nextUpdate);
        return null;
    }

    private static bool HasCritical(AsnReader extensions)
    {
        while (extensions.HasData)
        {
            var extension = extensions.ReadSequence();
            var oid = extension.ReadObjectIdentifier();
            var critical = extension.PeekTag().HasSameClassAndValue(Asn1Tag.Boolean) && extension.ReadBoolean();
            extension.ReadOctetString();
            extension.ThrowIfNotEmpty();
            // By their ids as well: a list may lie about what is critical.
            if (critical || oid is "2.5.29.27" or "2.5.29.28" or "2.5.29.29")
                return true;
        }

        return false;
    }

    private static bool IsTime(Asn1Tag tag) => tag.HasSameClassAndValue(Asn1Tag.UtcTime) || tag.HasSameClassAndValue(Asn1Tag.GeneralizedTime);

    private static DateTimeOffset ReadTime(AsnReader reader) =>
        reader.PeekTag().HasSameClassAndValue(Asn1Tag.UtcTime) ? reader.ReadUtcTime() : reader.ReadGeneralizedTime();

    // Slices of the reader are slices of the array that it was given.
    private static Range RangeOf(byte[] whole, ReadOnlyMemory<byte> part)
    {
        if (!MemoryMarshal.TryGetArray(part, out var segment) || !ReferenceEquals(segment.Array, whole))
            throw new InvalidOperationException("The reader copied what it was to slice.");
        return segment.Offset..(segment.Offset + segment.Count);
    }
}
