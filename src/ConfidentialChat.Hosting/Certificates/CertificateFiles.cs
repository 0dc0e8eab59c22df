// docs/operating.md, "Certificates".
using System.Buffers;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace ConfidentialChat.Hosting.Certificates;

/// <summary>Where an operator keeps a certificate with its chain, and the private key, both in PEM.</summary>
internal sealed record CertificateFiles(string Certificate, string Key)
{
    /// <summary>Room for a chain many times over.</summary>
    private const int MaxBytes = 1024 * 1024;

    private const string CertificateLabel = "CERTIFICATE";

    /// <summary>Reads both anew, through whatever links lead there now.</summary>
    /// <exception cref="CertificateException">Nothing can be served with what is there.</exception>
    public ServerCertificate Read()
    {
        try
        {
            return ReadPair();
        }
        catch (Exception e) when (IsOfCryptography(e))
        {
            throw new CertificateException(
                $"TLS cannot use the certificate in {Certificate} with the key in {Key}.",
                "this machine's OpenSSL may lack that kind of key: ask for a certificate with RSA 2048 or ECDSA P-256", e);
        }
    }

    /// <summary>Tells what both hold from what they held before, without a key or a certificate being made of it.</summary>
    /// <exception cref="CertificateException">One cannot be read.</exception>
    public byte[] Digest()
    {
        var (certificate, key) = (ReadFile(Certificate), ReadFile(Key));
        try
        {
            return SHA256.HashData([.. SHA256.HashData(certificate), .. SHA256.HashData(key)]);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(key);
        }
    }

    private ServerCertificate ReadPair()
    {
        var certificates = ReadCertificates();
        X509Certificate2? withKey = null;
        try
        {
            using var key = ReadKey();
            var leaf = Leaf(certificates, key);
            withKey = key switch
            {
                ECDsa ecdsa => leaf.CopyWithPrivateKey(ecdsa),
                RSA rsa => leaf.CopyWithPrivateKey(rsa),
                _ => throw new InvalidOperationException("There is a third kind of key."),
            };
            var read = new ServerCertificate(Certificate, withKey, [.. certificates.Where(certificate => !ReferenceEquals(certificate, leaf))]);
            leaf.Dispose();
            return read;
        }
        catch
        {
            withKey?.Dispose();
            certificates.ForEach(certificate => certificate.Dispose());
            throw;
        }
    }

    // By its key, not by its place: chain files begin with the root here and with the leaf there, and some hold the leaf before it too.
    private X509Certificate2 Leaf(List<X509Certificate2> certificates, AsymmetricAlgorithm key)
    {
        var spki = key.ExportSubjectPublicKeyInfo();
        return certificates
            .Where(certificate => certificate.PublicKey.ExportSubjectPublicKeyInfo().AsSpan().SequenceEqual(spki))
            .MaxBy(certificate => certificate.NotAfter)
            ?? throw new CertificateException(
                $"The private key in {Key} belongs to no certificate in {Certificate}.",
                "give the key with which this certificate was asked for; after a renewal both files change");
    }

    /// <summary>Whether this is how the system says that it can do nothing with a key or a certificate.</summary>
    internal static bool IsOfCryptography(Exception exception) => exception is CryptographicException or NotSupportedException or ArgumentException;

    private List<X509Certificate2> ReadCertificates()
    {
        var pem = ReadFile(Certificate);
        var certificates = new List<X509Certificate2>();
        foreach (var (label, der) in Blocks(pem))
        {
            if (label != CertificateLabel)
                continue;
            try
            {
                certificates.Add(X509CertificateLoader.LoadCertificate(der));
            }
            catch (Exception e) when (IsOfCryptography(e))
            {
                throw new CertificateException(
                    $"Certificate {certificates.Count + 1} in {Certificate} is damaged.", "copy the file anew from where it was issued", e);
            }
        }

        return certificates.Count > 0
            ? certificates
            : throw new CertificateException(
                $"{Certificate} holds no certificate in PEM.",
                "it has to hold -----BEGIN CERTIFICATE-----; openssl makes PEM of other forms, and the key is the other file");
    }

    private AsymmetricAlgorithm ReadKey()
    {
        var pem = ReadFile(Key);
        try
        {
            foreach (var (label, der) in Blocks(pem))
            {
                try
                {
                    if (label == "ENCRYPTED PRIVATE KEY")
                        throw Encrypted();
                    if (label is "PRIVATE KEY" or "EC PRIVATE KEY" or "RSA PRIVATE KEY")
                        return Import(label, der);
                }
                finally
                {
                    CryptographicOperations.ZeroMemory(der);
                }
            }

            // The older form keeps its headers inside the block, which is no block then.
            if (pem.AsSpan().IndexOf("Proc-Type: 4,ENCRYPTED"u8) >= 0)
                throw Encrypted();
        }
        finally
        {
            CryptographicOperations.ZeroMemory(pem);
        }

        throw new CertificateException(
            $"{Key} holds no private key in PEM.", "it has to hold -----BEGIN PRIVATE KEY----- (or RSA or EC PRIVATE KEY); the certificate is the other file");
    }

    private CertificateException Encrypted() => new(
        $"The private key in {Key} is encrypted.", "a server starts without anybody who could type a password: decrypt it with openssl pkey, into a file that this user alone may read");

    private AsymmetricAlgorithm Import(string label, byte[] der)
    {
        var ecdsa = ECDsa.Create();
        var rsa = RSA.Create();
        try
        {
            if (label != "RSA PRIVATE KEY" && TryImport(() => Import(ecdsa, label, der)))
                return Interlocked.Exchange(ref ecdsa, null);
            if (label != "EC PRIVATE KEY" && TryImport(() => Import(rsa, label, der)))
                return Interlocked.Exchange(ref rsa, null);
        }
        finally
        {
            ecdsa?.Dispose();
            rsa?.Dispose();
        }

        throw new CertificateException(
            $"The private key in {Key} is damaged, or neither RSA nor ECDSA.", "copy the file anew; a key of another kind needs another certificate");
    }

    private static void Import(ECDsa key, string label, byte[] der)
    {
        if (label == "PRIVATE KEY")
            key.ImportPkcs8PrivateKey(der, out _);
        else
            key.ImportECPrivateKey(der, out _);
    }

    private static void Import(RSA key, string label, byte[] der)
    {
        if (label == "PRIVATE KEY")
            key.ImportPkcs8PrivateKey(der, out _);
        else
            key.ImportRSAPrivateKey(der, out _);
    }

    private static bool TryImport(Action import)
    {
        try
        {
            import();
            return true;
        }
        catch (Exception e) when (IsOfCryptography(e)) // a curve that OpenSSL lacks is no CryptographicException
        {
            return false;
        }
    }

    private static IEnumerable<(string Label, byte[] Der)> Blocks(byte[] pem)
    {
        var at = 0;
        while (PemEncoding.TryFindUtf8(pem.AsSpan(at), out var fields))
        {
            var label = Encoding.UTF8.GetString(pem.AsSpan(at)[fields.Label]);
            var der = new byte[fields.DecodedDataLength];
            if (Base64.DecodeFromUtf8(pem.AsSpan(at)[fields.Base64Data], der, out _, out var written) is OperationStatus.Done && written == der.Length)
                yield return (label, der);
            at += fields.Location.End.Value;
        }
    }

    private static byte[] ReadFile(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
            if (file.Length == 0)
                throw new CertificateException($"{path} is empty.", "is it being written just now? Write it elsewhere, and move it to its place");
            if (file.Length > MaxBytes)
                throw new CertificateException(
                    $"{path} is larger than {MaxBytes} bytes.", "a certificate with its chain has some thousand: is this the right file?");
            var bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            return bytes;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CertificateException($"{path} is not there.", "check the path, and where its links lead", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new CertificateException(
                $"{path} may not be read by this user.", "let the server's user read the file and enter its directories, for instance by a group", e);
        }
        catch (Exception e) when (e is IOException or ArgumentException or NotSupportedException)
        {
            throw new CertificateException($"{path} cannot be read: {e.Message}", "check the path and the disk", e);
        }
    }
}

/// <summary>A certificate and a key with which nothing can be served.</summary>
/// <param name="message">Names the file, and what is wrong with it; nothing that stands in it.</param>
/// <param name="hint">What the operator can do.</param>
/// <param name="inner">What the system said.</param>
internal sealed class CertificateException(string message, string hint, Exception? inner = null) : Exception(message, inner)
{
    public string Hint { get; } = hint;
}
