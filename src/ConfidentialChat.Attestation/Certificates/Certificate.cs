// spec/attestation.md section 4 rule 1.
using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace ConfidentialChat.Attestation.Certificates;

/// <summary>One X.509 certificate whose every part that a check needs could be read. Whoever parses it disposes it.</summary>
public sealed class Certificate : IDisposable
{
    private readonly X509Certificate2 x509;

    private Certificate(X509Certificate2 x509)
    {
        this.x509 = x509;
        NotBefore = new DateTimeOffset(x509.NotBefore.ToUniversalTime(), TimeSpan.Zero);
        NotAfter = new DateTimeOffset(x509.NotAfter.ToUniversalTime(), TimeSpan.Zero);
        CommonName = x509.GetNameInfo(X509NameType.SimpleName, forIssuer: false);
        IssuerCommonName = x509.GetNameInfo(X509NameType.SimpleName, forIssuer: true);
        SignatureAlgorithm = x509.SignatureAlgorithm.Value ?? "";
        foreach (var extension in x509.Extensions)
        {
            if (extension is X509BasicConstraintsExtension constraints)
                (IsAuthority, PathLength) = (constraints.CertificateAuthority, constraints.HasPathLengthConstraint ? constraints.PathLengthConstraint : null);
            else if (extension is X509KeyUsageExtension usage)
                KeyUsages = usage.KeyUsages;
        }
    }

    /// <summary>The whole certificate, DER.</summary>
    public ReadOnlyMemory<byte> Der => x509.RawDataMemory;

    public DateTimeOffset NotBefore { get; }

    public DateTimeOffset NotAfter { get; }

    /// <summary>The subject's common name, or whatever name it has instead.</summary>
    public string CommonName { get; }

    /// <summary>Likewise of whoever it names as its issuer.</summary>
    public string IssuerCommonName { get; }

    /// <summary>Basic constraints say that it is a CA.</summary>
    public bool IsAuthority { get; }

    /// <summary>How many CAs may stand below it; null is any number.</summary>
    public int? PathLength { get; }

    /// <summary>Null where the certificate does not say.</summary>
    public X509KeyUsageFlags? KeyUsages { get; }

    /// <summary>The serial number, big endian, as it is encoded.</summary>
    public ReadOnlyMemory<byte> SerialNumber => x509.SerialNumberBytes;

    /// <summary>The subject's name, DER.</summary>
    public ReadOnlySpan<byte> Subject => x509.SubjectName.RawData;

    /// <summary>The issuer's name, DER.</summary>
    public ReadOnlySpan<byte> Issuer => x509.IssuerName.RawData;

    /// <summary>What it says it was signed with, dotted.</summary>
    internal string SignatureAlgorithm { get; }

    internal X509Certificate2 X509 => x509;

    /// <summary>Reads exactly one certificate in DER.</summary>
    public static Rejection? TryParse(ReadOnlySpan<byte> der, out Certificate? certificate)
    {
        certificate = null;
        if (der.Length > Bounds.Certificate)
            return Rejection.TooLarge(Bounds.Certificate, der.Length);
        X509Certificate2? x509 = null;
        try
        {
            // One SEQUENCE and nothing after it: the loader itself would also take PEM, and forgive a tail.
            AsnDecoder.ReadSequence(der, AsnEncodingRules.DER, out _, out _, out var consumed);
            if (consumed != der.Length)
                return Rejection.Malformed("one certificate", $"{der.Length - consumed} bytes after it");
            x509 = X509CertificateLoader.LoadCertificate(der);
            certificate = new Certificate(x509);
            _ = certificate.Subject;
            _ = certificate.Issuer;
            x509 = null;
            return null;
        }
        // Dates, names and extensions are decoded on access, each with an exception of its own.
        catch (Exception e) when (
            e is CryptographicException or AsnContentException or ArgumentException or FormatException or OverflowException or NotSupportedException)
        {
            certificate = null;
            return Rejection.Malformed("a certificate in DER", "undecodable bytes");
        }
        finally
        {
            x509?.Dispose();
        }
    }

    /// <summary>The value of an extension, or null where it is absent.</summary>
    /// <param name="oid">Dotted.</param>
    public ReadOnlyMemory<byte>? Extension(string oid) => x509.Extensions[oid] is { } extension ? (ReadOnlyMemory<byte>?)extension.RawData : null;

    /// <summary>Every extension's OID; an OID that stands twice is there twice.</summary>
    public IEnumerable<string> ExtensionOids => x509.Extensions.Select(extension => extension.Oid?.Value ?? "");

    /// <summary>Whether this key signed it, with the algorithm of such keys, which stands in what is signed and beside it: RFC 5280 section 4.1.1.</summary>
    internal bool IsSignedBy(VerificationKey key)
    {
        try
        {
            var whole = new AsnReader(Der, AsnEncodingRules.DER).ReadSequence();
            var signedBytes = whole.PeekEncodedValue();
            var signed = whole.ReadSequence();
            var algorithmBytes = whole.PeekEncodedValue();
            whole.ReadEncodedValue();
            var signature = whole.ReadBitString(out var unused);
            whole.ThrowIfNotEmpty();
            if (signed.PeekTag().TagClass == TagClass.ContextSpecific)
                signed.ReadEncodedValue(); // the version; the first one's is left out
            signed.ReadIntegerBytes(); // the serial number
            return unused == 0 && signed.ReadEncodedValue().Span.SequenceEqual(algorithmBytes.Span) && SignatureAlgorithm == key.SignatureAlgorithm
                && key.VerifyDer(signedBytes.Span, signature);
        }
        catch (AsnContentException)
        {
            return false;
        }
    }

    public void Dispose() => x509.Dispose();

    public override string ToString() => Shown.Text(CommonName);
}

/// <summary>The certificates of one text, leaf first. Owns them.</summary>
public sealed class CertificateList : IDisposable
{
    private const string Begin = "-----BEGIN CERTIFICATE-----";
    private const string End = "-----END CERTIFICATE-----";

    private readonly List<Certificate> certificates = [];

    private readonly int most;

    private CertificateList(int most) => this.most = most;

    public IReadOnlyList<Certificate> Items => certificates;

    /// <summary>A list that takes over what it is given.</summary>
    public static CertificateList Of(params ReadOnlySpan<Certificate> certificates)
    {
        var list = new CertificateList(certificates.Length);
        list.certificates.AddRange(certificates);
        return list;
    }

    /// <summary>PEM, or certificates in DER one after the other: the first byte says which.</summary>
    public static Rejection? TryParse(ReadOnlySpan<byte> text, out CertificateList? list) => TryParse(text, Bounds.CertificateCount, out list);

    internal static Rejection? TryParse(ReadOnlySpan<byte> text, int most, out CertificateList? list)
    {
        list = null;
        if (text.Length > Bounds.Pem)
            return Rejection.TooLarge(Bounds.Pem, text.Length);
        var parsed = new CertificateList(most);
        var rejection = !text.IsEmpty && text[0] == 0x30 ? parsed.AddDer(text) : parsed.AddPem(text);
        if (rejection is null && parsed.certificates.Count == 0)
            rejection = Rejection.Malformed("a certificate", "none");
        // Root first is the one other order in which paths are written.
        if (rejection is null && parsed.certificates[0].IsAuthority && !parsed.certificates[^1].IsAuthority)
            parsed.certificates.Reverse();
        if (rejection is null)
            list = parsed;
        else
            parsed.Dispose();
        return rejection;
    }

    public void Dispose() => certificates.ForEach(certificate => certificate.Dispose());

    private Rejection? AddDer(ReadOnlySpan<byte> rest)
    {
        while (!rest.IsEmpty)
        {
            int consumed;
            try
            {
                AsnDecoder.ReadSequence(rest, AsnEncodingRules.DER, out _, out _, out consumed);
            }
            catch (AsnContentException)
            {
                return Rejection.Malformed("certificates in DER", "undecodable bytes");
            }

            if (Add(rest[..consumed]) is { } rejection)
                return rejection;
            rest = rest[consumed..];
        }

        return null;
    }

    private Rejection? AddPem(ReadOnlySpan<byte> bytes)
    {
        // Intel's quoting library ends the text with one NUL.
        if (!bytes.IsEmpty && bytes[^1] == 0)
            bytes = bytes[..^1];
        if (bytes.ContainsAnyExceptInRange((byte)0x01, (byte)0x7F))
            return Rejection.Malformed("PEM", "bytes that are no ASCII");
        var rest = Encoding.ASCII.GetString(bytes).AsSpan();
        while (!(rest = rest.TrimStart()).IsEmpty)
        {
            // PemEncoding looks for any block anywhere, and begins anew after each that does not end: it is given one block and nothing else.
            if (!rest.StartsWith(Begin, StringComparison.Ordinal))
                return Rejection.Malformed("CERTIFICATE blocks only", "something else");
            // not in the dashes of the beginning
            var end = rest[Begin.Length..Math.Min(rest.Length, Math.Max(Bounds.PemBlock, Begin.Length))].IndexOf(End, StringComparison.Ordinal);
            if (end < 0)
                return rest.Length > Bounds.PemBlock
                    ? Rejection.TooLarge(Bounds.PemBlock, rest.Length)
                    : Rejection.Malformed("a block that ends", "one that does not");
            end += Begin.Length;
            var block = rest[..(end + End.Length)];
            rest = rest[block.Length..];
            if (block[Begin.Length..end].Contains('-') || !PemEncoding.TryFind(block, out var fields) || (!rest.IsEmpty && !char.IsWhiteSpace(rest[0])))
                return Rejection.Malformed("a CERTIFICATE block in base64", "something else");
            if (fields.DecodedDataLength > Bounds.Certificate)
                return Rejection.TooLarge(Bounds.Certificate, fields.DecodedDataLength);
            var der = new byte[fields.DecodedDataLength];
            if (!Convert.TryFromBase64Chars(block[fields.Base64Data], der, out var written) || written != der.Length)
                return Rejection.Malformed("base64", "something else");
            if (Add(der) is { } rejection)
                return rejection;
        }

        return null;
    }

    private Rejection? Add(ReadOnlySpan<byte> der)
    {
        if (certificates.Count == most)
            return new Rejection(RejectionCode.TooLarge, $"at most {most} certificates", "more");
        if (Certificate.TryParse(der, out var certificate) is { } rejection)
            return rejection;
        certificates.Add(certificate!);
        return null;
    }
}
