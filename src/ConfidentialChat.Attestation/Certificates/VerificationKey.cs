// spec/attestation.md section 4 rule 5.
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ConfidentialChat.Attestation.Certificates;

/// <summary>The kinds of keys that vendors sign with.</summary>
public enum KeyKind
{
    /// <summary>ECDSA P-256 with SHA-256.</summary>
    EcdsaP256,

    /// <summary>ECDSA P-384 with SHA-384.</summary>
    EcdsaP384,

    /// <summary>RSA of 4096 bits with the exponent 65537, PSS with SHA-384 and a salt of 48 bytes.</summary>
    RsaPss4096,
}

/// <summary>A vendor's public key of a known kind. Whoever imports it disposes it.</summary>
public sealed class VerificationKey : IDisposable
{
    private const string RsaPss = "1.2.840.113549.1.1.10";

    private static readonly byte[] P256 = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]; // 1.2.840.10045.3.1.7
    private static readonly byte[] P384 = [0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22]; // 1.3.132.0.34

    private readonly AsymmetricAlgorithm key;

    private VerificationKey(AsymmetricAlgorithm key, KeyKind kind)
    {
        this.key = key;
        Kind = kind;
    }

    public KeyKind Kind { get; }

    /// <summary>What such keys sign with, for people.</summary>
    internal string Algorithm => Kind switch
    {
        KeyKind.EcdsaP256 => "ECDSA and SHA-256",
        KeyKind.EcdsaP384 => "ECDSA and SHA-384",
        _ => "RSASSA-PSS",
    };

    /// <summary>Likewise as X.509 names it, dotted: RFC 5758 section 3.2, RFC 4055 section 3.1.</summary>
    internal string SignatureAlgorithm => Kind switch
    {
        KeyKind.EcdsaP256 => "1.2.840.10045.4.3.2",
        KeyKind.EcdsaP384 => "1.2.840.10045.4.3.3",
        _ => RsaPss,
    };

    /// <summary>A P-256 key from x ‖ y, big endian.</summary>
    public static Rejection? TryImportP256(ReadOnlySpan<byte> point, out VerificationKey? result)
    {
        result = null;
        if (point.Length != 64)
            return Rejection.Malformed("64 bytes", $"{point.Length}");
        try
        {
            var key = ECDsa.Create(new ECParameters
            {
                Curve = ECCurve.NamedCurves.nistP256,
                Q = new ECPoint { X = point[..32].ToArray(), Y = point[32..].ToArray() },
            });
            result = new VerificationKey(key, KeyKind.EcdsaP256);
            return null;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or NotSupportedException)
        {
            return Rejection.Malformed("a point of P-256", "another");
        }
    }

    /// <summary>A P-384 key from x ‖ y, big endian.</summary>
    public static Rejection? TryImportP384(ReadOnlySpan<byte> point, out VerificationKey? result)
    {
        result = null;
        if (point.Length != 96)
            return Rejection.Malformed("96 bytes", $"{point.Length}");
        try
        {
            var key = ECDsa.Create(new ECParameters
            {
                Curve = ECCurve.NamedCurves.nistP384,
                Q = new ECPoint { X = point[..48].ToArray(), Y = point[48..].ToArray() },
            });
            result = new VerificationKey(key, KeyKind.EcdsaP384);
            return null;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or NotSupportedException)
        {
            return Rejection.Malformed("a point of P-384", "another");
        }
    }

    /// <summary>The key of a certificate, where it is of the demanded kind.</summary>
    public static Rejection? TryTake(Certificate certificate, KeyKind kind, out VerificationKey? result)
    {
        ArgumentNullException.ThrowIfNull(certificate);
        result = null;
        AsymmetricAlgorithm? key = null;
        try
        {
            var publicKey = certificate.X509.PublicKey;
            // Explicit curve parameters could name a curve whose discrete logarithms are known: named curves only.
            key = kind switch
            {
                KeyKind.EcdsaP256 when IsOn(publicKey, P256) => certificate.X509.GetECDsaPublicKey(),
                KeyKind.EcdsaP384 when IsOn(publicKey, P384) => certificate.X509.GetECDsaPublicKey(),
                KeyKind.RsaPss4096 when publicKey.Oid.Value is "1.2.840.113549.1.1.1" or RsaPss => certificate.X509.GetRSAPublicKey(),
                _ => null,
            };
            if (key is null || key is RSA rsa && !IsUsual(rsa))
                return new Rejection(RejectionCode.BadCertificate, $"a key of the kind {kind}", "another");
            result = new VerificationKey(key!, kind);
            key = null;
            return null;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or NotSupportedException)
        {
            return new Rejection(RejectionCode.BadCertificate, $"a key of the kind {kind}", "an undecodable one");
        }
        finally
        {
            key?.Dispose();
        }
    }

    /// <summary>Whether the signature is this key's.</summary>
    /// <param name="data">What was signed.</param>
    /// <param name="signature">ECDSA: r ‖ s, big endian. RSA: as it is.</param>
    public bool Verify(ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature) => Verify(data, signature, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);

    /// <summary>As <see cref="Verify(ReadOnlySpan{byte}, ReadOnlySpan{byte})"/>, with an ECDSA signature in DER, as X.509 has it.</summary>
    public bool VerifyDer(ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature) => Verify(data, signature, DSASignatureFormat.Rfc3279DerSequence);

    public void Dispose() => key.Dispose();

    // 4096 bits, and the exponent of every vendor's key: another makes a verification as slow as a signature.
    private static bool IsUsual(RSA key) => key.KeySize == 4096 && key.ExportParameters(includePrivateParameters: false).Exponent is [1, 0, 1];

    private static bool IsOn(PublicKey key, byte[] curve) =>
        key.Oid.Value == "1.2.840.10045.2.1" && key.EncodedParameters?.RawData is { } parameters && parameters.AsSpan().SequenceEqual(curve);

    private bool Verify(ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature, DSASignatureFormat format)
    {
        try
        {
            return key switch
            {
                ECDsa ecdsa => ecdsa.VerifyData(data, signature, Kind == KeyKind.EcdsaP256 ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA384, format),
                RSA rsa => rsa.VerifyData(data, signature, HashAlgorithmName.SHA384, RSASignaturePadding.Pss),
                _ => false,
            };
        }
        catch (CryptographicException)
        {
            return false;
        }
    }
}
