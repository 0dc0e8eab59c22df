// spec/attestation.md section 21. RFC 6960 section 4.2.
using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>What a responder said of one certificate.</summary>
internal enum OcspStatus
{
    Good,
    Revoked,

    /// <summary>Revoked for now: RFC 5280 section 5.3.1, certificateHold.</summary>
    Held,
    Unknown,
}

/// <summary>An answer of a certificate's issuer, or of its delegate, that could be read whole. What it says counts once <see cref="Fault"/> is null.</summary>
internal sealed class OcspAnswer : IDisposable
{
    private const string Basic = "1.3.6.1.5.5.7.48.1.1";
    private const string NonceExtension = "1.3.6.1.5.5.7.48.1.2";
    private const string OcspSigning = "1.3.6.1.5.5.7.3.9";
    private const string NoCheck = "1.3.6.1.5.5.7.48.1.5";
    private const string EcdsaWithSha384 = "1.2.840.10045.4.3.3";
    private const string EnhancedKeyUsage = "2.5.29.37";
    private const int CertificateHold = 6;
    private const int RemoveFromCrl = 8;

    private readonly ReadOnlyMemory<byte> signed;
    private readonly byte[] signature;
    private readonly CertificateList delegates;
    private readonly List<Single> singles;

    private OcspAnswer(ReadOnlyMemory<byte> signed, byte[] signature, CertificateList delegates, List<Single> singles, ReadOnlyMemory<byte>? nonce)
    {
        this.signed = signed;
        this.signature = signature;
        this.delegates = delegates;
        this.singles = singles;
        Nonce = nonce;
    }

    /// <summary>What the asker sent; null where it sent none, or it was not given back.</summary>
    public ReadOnlyMemory<byte>? Nonce { get; }

    /// <summary>Reads a successful basic response.</summary>
    public static Rejection? TryParse(ReadOnlySpan<byte> bytes, out OcspAnswer? answer)
    {
        answer = null;
        if (bytes.Length > Bounds.Ocsp)
            return Rejection.TooLarge(Bounds.Ocsp, bytes.Length);
        var delegates = new List<Certificate>();
        try
        {
            return Parse(bytes.ToArray(), delegates, out answer);
        }
        catch (Exception e) when (e is AsnContentException or ArgumentException or OverflowException or InvalidOperationException)
        {
            answer = null;
            return Rejection.Malformed("an OCSP response in DER", "undecodable bytes");
        }
        finally
        {
            if (answer is null)
                delegates.ForEach(certificate => certificate.Dispose());
        }
    }

    /// <summary>What it says of a certificate, or null where that is not named.</summary>
    public OcspStatus? Of(Certificate subject, Certificate issuer) => Find(subject, issuer)?.Status;

    /// <summary>Null where the answer about this certificate is its issuer's, and in date.</summary>
    /// <param name="subject">Of which it has to say something.</param>
    /// <param name="issuer">Whose key, or whose delegate's, it has to be signed by.</param>
    /// <param name="grace">How long after its next update it counts.</param>
    /// <param name="paths">Remembers signatures.</param>
    /// <param name="findings">Learns the dates.</param>
    public Rejection? Fault(Certificate subject, Certificate issuer, TimeSpan grace, VendorPath paths, Findings findings)
    {
        var single = Find(subject, issuer)!;
        var dates = findings.DateFault($"OCSP answer about {subject}", single.ThisUpdate, RevocationList.Later(single.NextUpdate, grace));
        if (IsSignedBy(issuer))
            return dates;
        foreach (var candidate in delegates.Items)
        {
            // RFC 6960 section 4.2.2.2: issued by the very CA that issued the certificate, and for this purpose.
            if (!candidate.X509.IssuerName.RawData.AsSpan().SequenceEqual(issuer.Subject) || !MaySignAnswers(candidate) || !paths.IsSignedBy(candidate, issuer)
                || !IsSignedBy(candidate))
                continue;
            return findings.DateFault(candidate.ToString(), candidate.NotBefore, candidate.NotAfter) ?? dates;
        }

        return new Rejection(RejectionCode.BadSignature, $"an answer by {issuer} or its delegate", "another signature");
    }

    public void Dispose() => delegates.Dispose();

    private static bool MaySignAnswers(Certificate certificate)
    {
        try
        {
            return !certificate.IsAuthority
                && certificate.KeyUsages?.HasFlag(X509KeyUsageFlags.DigitalSignature) != false
                && certificate.X509.Extensions.OfType<X509EnhancedKeyUsageExtension>().Any(
                    usage => usage.EnhancedKeyUsages.Cast<Oid>().Any(purpose => purpose.Value == OcspSigning))
                && certificate.X509.Extensions.All(
                    extension => !extension.Critical || extension.Oid?.Value is "2.5.29.15" or "2.5.29.19" or EnhancedKeyUsage or NoCheck);
        }
        // Purposes are decoded on access.
        catch (CryptographicException)
        {
            return false;
        }
    }

    private static Rejection? Parse(byte[] bytes, List<Certificate> delegates, out OcspAnswer? answer)
    {
        answer = null;
        var outer = new AsnReader(bytes, AsnEncodingRules.DER);
        var response = outer.ReadSequence();
        outer.ThrowIfNotEmpty();
        if (response.ReadEnumeratedBytes().Span is not [0])
            return new Rejection(RejectionCode.Unsupported, "a successful OCSP response", "another status");
        var wrapper = response.ReadSequence(new Asn1Tag(TagClass.ContextSpecific, 0, isConstructed: true));
        response.ThrowIfNotEmpty();
        var inner = wrapper.ReadSequence();
        wrapper.ThrowIfNotEmpty();
        if (inner.ReadObjectIdentifier() != Basic)
            return new Rejection(RejectionCode.Unsupported, "a basic OCSP response", "another");
        var basicReader = new AsnReader(inner.ReadOctetString(), AsnEncodingRules.DER);
        inner.ThrowIfNotEmpty();
        var basic = basicReader.ReadSequence();
        basicReader.ThrowIfNotEmpty();

        var signed = basic.PeekEncodedValue();
        var data = basic.ReadSequence();
        var algorithm = basic.ReadSequence();
        if (algorithm.ReadObjectIdentifier() != EcdsaWithSha384 || algorithm.HasData)
            return new Rejection(RejectionCode.Unsupported, "an OCSP response signed with ecdsa-with-SHA384", "another algorithm");
        var signature = basic.ReadBitString(out var unused);
        if (unused != 0)
            return Rejection.Malformed("a signature in whole bytes", "a part of one");
        if (basic.HasData)
        {
            var certificates = basic.ReadSequence(new Asn1Tag(TagClass.ContextSpecific, 0, isConstructed: true));
            var list = certificates.ReadSequence();
            certificates.ThrowIfNotEmpty();
            while (list.HasData)
            {
                if (delegates.Count == Bounds.CertificateCount)
                    return new Rejection(RejectionCode.TooLarge, $"at most {Bounds.CertificateCount} certificates", "more");
                if (Certificate.TryParse(list.ReadEncodedValue().Span, out var certificate) is { } rejection)
                    return rejection;
                delegates.Add(certificate!);
            }
        }

        basic.ThrowIfNotEmpty();
        if (ReadData(data, out var singles, out var nonce) is { } fault)
            return fault;
        answer = new OcspAnswer(signed, signature, CertificateList.Of([.. delegates]), singles, nonce);
        return null;
    }

    private static Rejection? ReadData(AsnReader data, out List<Single> singles, out ReadOnlyMemory<byte>? nonce)
    {
        singles = [];
        nonce = null;
        var first = data.PeekTag();
        if (first.TagClass == TagClass.ContextSpecific && first.TagValue == 0)
            return new Rejection(RejectionCode.Unsupported, "OCSP version 1", "another");
        if (first.TagClass != TagClass.ContextSpecific || first.TagValue is not (1 or 2))
            return Rejection.Malformed("a responder by name or key", "another");
        data.ReadEncodedValue(); // whose key it is, the signature tells
        data.ReadGeneralizedTime();
        var responses = data.ReadSequence();
        while (responses.HasData)
        {
            if (singles.Count == Bounds.OcspAnswers)
                return new Rejection(RejectionCode.TooLarge, $"at most {Bounds.OcspAnswers} answers in a response", "more");
            if (ReadSingle(responses.ReadSequence(), out var single) is { } rejection)
                return rejection;
            if (singles.Exists(known => known.IsAboutTheSame(single!)))
                return Rejection.Malformed("one answer about a certificate", "two");
            singles.Add(single!);
        }

        if (ReadExtensions(data, hasNonce: true, out nonce) is { } extended)
            return extended;
        data.ThrowIfNotEmpty();
        return singles.Count == 0 ? Rejection.Malformed("an answer", "none") : null;
    }

    // Of a response, which may have a nonce, or of one answer in it. What is critical changes what is said, and nothing that does is known here.
    private static Rejection? ReadExtensions(AsnReader reader, bool hasNonce, out ReadOnlyMemory<byte>? nonce)
    {
        nonce = null;
        if (!reader.HasData)
            return null;
        var wrapper = reader.ReadSequence(new Asn1Tag(TagClass.ContextSpecific, 1, isConstructed: true));
        var extensions = wrapper.ReadSequence();
        wrapper.ThrowIfNotEmpty();
        while (extensions.HasData)
        {
            var extension = extensions.ReadSequence();
            var oid = extension.ReadObjectIdentifier();
            var isCritical = extension.PeekTag().HasSameClassAndValue(Asn1Tag.Boolean) && extension.ReadBoolean();
            var value = extension.ReadOctetString();
            extension.ThrowIfNotEmpty();
            var isNonce = hasNonce && oid == NonceExtension;
            if (isNonce && nonce is not null)
                return Rejection.Malformed("one nonce", "two");
            if (isNonce)
                nonce = ReadNonce(value);
            else if (isCritical)
                return new Rejection(RejectionCode.Unsupported, "no critical extension of an OCSP response", "one");
        }

        return null;
    }

    // RFC 8954: an OCTET STRING within; older responders put the bytes themselves.
    private static ReadOnlyMemory<byte> ReadNonce(byte[] value)
    {
        try
        {
            var nonce = AsnDecoder.ReadOctetString(value, AsnEncodingRules.DER, out var consumed);
            return consumed == value.Length ? nonce : value;
        }
        catch (AsnContentException)
        {
            return value;
        }
    }

    private static Rejection? ReadSingle(AsnReader reader, out Single? single)
    {
        single = null;
        var id = reader.ReadSequence();
        var algorithm = id.ReadSequence();
        var hash = algorithm.ReadObjectIdentifier() switch
        {
            "1.3.14.3.2.26" => HashAlgorithmName.SHA1, // names the issuer, and protects nothing
            "2.16.840.1.101.3.4.2.1" => HashAlgorithmName.SHA256,
            "2.16.840.1.101.3.4.2.2" => HashAlgorithmName.SHA384,
            _ => default,
        };
        if (algorithm.HasData)
            algorithm.ReadNull();
        algorithm.ThrowIfNotEmpty();
        if (hash.Name is null)
            return new Rejection(RejectionCode.Unsupported, "SHA-1, SHA-256 or SHA-384 of the issuer", "another");
        var (name, key, serial) = (id.ReadOctetString(), id.ReadOctetString(), id.ReadIntegerBytes());
        id.ThrowIfNotEmpty();

        var tag = reader.PeekTag();
        OcspStatus status;
        switch (tag)
        {
            case { TagClass: TagClass.ContextSpecific, TagValue: 0 }:
                reader.ReadNull(tag);
                status = OcspStatus.Good;
                break;
            case { TagClass: TagClass.ContextSpecific, TagValue: 1 }:
                var revoked = reader.ReadSequence(tag);
                revoked.ReadGeneralizedTime();
                status = OcspStatus.Revoked;
                if (revoked.HasData)
                {
                    var wrapper = revoked.ReadSequence(new Asn1Tag(TagClass.ContextSpecific, 0, isConstructed: true));
                    var reason = wrapper.ReadEnumeratedBytes();
                    wrapper.ThrowIfNotEmpty();
                    status = reason.Span is [CertificateHold] ? OcspStatus.Held : OcspStatus.Revoked;
                    if (reason.Span is [RemoveFromCrl])
                        status = OcspStatus.Unknown;
                }

                revoked.ThrowIfNotEmpty();
                break;
            default:
                reader.ReadEncodedValue();
                status = OcspStatus.Unknown;
                break;
        }

        var thisUpdate = reader.ReadGeneralizedTime();
        var next = new Asn1Tag(TagClass.ContextSpecific, 0, isConstructed: true);
        if (!reader.HasData || !reader.PeekTag().HasSameClassAndValue(next))
            return Rejection.Malformed("a next update", "none");
        var wrapped = reader.ReadSequence(next);
        var nextUpdate = wrapped.ReadGeneralizedTime();
        wrapped.ThrowIfNotEmpty();
        if (ReadExtensions(reader, hasNonce: false, out _) is { } fault)
            return fault;
        reader.ThrowIfNotEmpty();
        single = new Single(hash, name, key, serial.ToArray(), status, thisUpdate, nextUpdate);
        return null;
    }

    private Single? Find(Certificate subject, Certificate issuer) =>
        singles.Find(single => single.Serial.AsSpan().SequenceEqual(subject.SerialNumber.Span) && single.IsIssuer(issuer));

    private bool IsSignedBy(Certificate certificate)
    {
        if (VerificationKey.TryTake(certificate, KeyKind.EcdsaP384, out var key) is not null)
            return false;
        using (key)
            return key!.VerifyDer(signed.Span, signature);
    }

    private sealed record Single(
        HashAlgorithmName Hash, byte[] NameHash, byte[] KeyHash, byte[] Serial, OcspStatus Status, DateTimeOffset ThisUpdate, DateTimeOffset NextUpdate)
    {
        public bool IsAboutTheSame(Single other) =>
            Hash == other.Hash && NameHash.AsSpan().SequenceEqual(other.NameHash) && KeyHash.AsSpan().SequenceEqual(other.KeyHash)
            && Serial.AsSpan().SequenceEqual(other.Serial);

        public bool IsIssuer(Certificate issuer) =>
            CryptographicOperations.HashData(Hash, issuer.Subject).AsSpan().SequenceEqual(NameHash)
            && CryptographicOperations.HashData(Hash, issuer.X509.PublicKey.EncodedKeyValue.RawData).AsSpan().SequenceEqual(KeyHash);
    }
}
