using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Node.Enrolment;

namespace ConfidentialChat.Node.Tests.Enrolment;

public sealed class IdentityTests : IDisposable
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("cchat-node-");

    public void Dispose() => directory.Delete(recursive: true);

    [Fact]
    public void A_node_keeps_its_identity_and_its_pin_across_restarts()
    {
        using var first = NodeIdentity.Open(directory.FullName, tls: true);
        using var second = NodeIdentity.Open(directory.FullName, tls: true);

        second.Key.PublicKey.ShouldBe(first.Key.PublicKey);
        second.TlsPin.ShouldBe(first.TlsPin);
        second.Certificate!.HasPrivateKey.ShouldBeTrue();
    }

    [Fact]
    public async Task Nodes_that_start_at_once_in_one_directory_have_one_identity()
    {
        for (var round = 0; round < 20; round++)
        {
            var place = directory.CreateSubdirectory($"{round}").FullName;
            var started = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
            {
                using var identity = NodeIdentity.Open(place, tls: true);
                return (identity.Key.PublicKey, identity.TlsPin);
            })));
            started.Distinct().ShouldHaveSingleItem();
        }
    }

    [Fact]
    public void A_certificate_that_is_put_on_the_disk_is_taken_and_another_key_is_said_to_be_one()
    {
        using var identity = NodeIdentity.Open(directory.FullName, tls: true);
        var (pin, changes) = (identity.TlsPin, 0);
        identity.TlsPinChanged += () => changes++;
        var path = Path.Combine(directory.FullName, "tls.p12");
        identity.TakeCertificate().ShouldBeFalse();

        using (var key = identity.Certificate!.GetECDsaPrivateKey()!)
            File.WriteAllBytes(path, SelfSigned(key));
        identity.TakeCertificate().ShouldBeTrue();
        (identity.Certificate!.Subject, identity.TlsPin, changes).ShouldBe(("CN=renewed", pin, 0));

        foreach (var bytes in (byte[][])[[], [1, 2, 3]])
        {
            File.WriteAllBytes(path, bytes);
            Should.Throw<NodeOptionsException>(() => identity.TakeCertificate()).Message.ShouldContain(path);
            Should.Throw<NodeOptionsException>(() => NodeIdentity.Open(directory.FullName, tls: true)).Hint.ShouldNotBeEmpty();
            identity.TlsPin.ShouldBe(pin);
        }

        using (var other = ECDsa.Create(ECCurve.NamedCurves.nistP256))
            File.WriteAllBytes(path, SelfSigned(other));
        identity.TakeCertificate().ShouldBeTrue();
        identity.TlsPin.ShouldNotBe(pin);
        changes.ShouldBe(1);
    }

    [Fact]
    public void A_key_that_TLS_cannot_use_is_refused_in_words_and_the_one_that_is_served_stays()
    {
        using var identity = NodeIdentity.Open(directory.FullName, tls: true);
        var (pin, path) = (identity.TlsPin, Path.Combine(directory.FullName, "tls.p12"));
        using var key = ECDiffieHellman.Create(ECCurve.NamedCurves.nistP256);
        using var issuer = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var name = new X500DistinguishedName("CN=agrees");
        var request = new CertificateRequest(name, new PublicKey(key), HashAlgorithmName.SHA256)
        {
            CertificateExtensions = { new X509KeyUsageExtension(X509KeyUsageFlags.KeyAgreement, critical: true) },
        };
        var from = DateTimeOffset.UnixEpoch;
        using var made = request.Create(name, X509SignatureGenerator.CreateForECDsa(issuer), from, from.AddYears(900), [1]);
        using var withKey = made.CopyWithPrivateKey(key);
        File.WriteAllBytes(path, withKey.Export(X509ContentType.Pkcs12));

        Should.Throw<NodeOptionsException>(() => identity.TakeCertificate()).Message.ShouldContain(path);
        identity.TlsPin.ShouldBe(pin);
        Should.Throw<NodeOptionsException>(() => NodeIdentity.Open(directory.FullName, tls: true)).Hint.ShouldNotBeEmpty();
    }

    private static byte[] SelfSigned(ECDsa key)
    {
        using var made = new CertificateRequest("CN=renewed", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(900));
        return made.Export(X509ContentType.Pkcs12);
    }

    [Fact]
    public void Nobody_but_the_owner_reads_its_keys()
    {
        using var identity = NodeIdentity.Open(directory.FullName, tls: true);

        foreach (var file in directory.GetFiles())
            File.GetUnixFileMode(file.FullName).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite, file.Name);
    }

    [Fact]
    public void A_damaged_identity_is_refused_and_not_replaced()
    {
        var path = Path.Combine(directory.FullName, "identity.key");
        File.WriteAllBytes(path, new byte[31]);

        Should.Throw<NodeOptionsException>(() => NodeIdentity.Open(directory.FullName, tls: false)).Hint.ShouldNotBeEmpty();
        File.ReadAllBytes(path).Length.ShouldBe(31);
    }

    [Fact]
    public void A_schedule_that_would_fill_the_ring_is_refused()
    {
        var options = new NodeOptions
        {
            DataDirectory = directory.FullName,
            GatewayUrl = new Uri("https://gateway.example"),
            KeyGrace = TimeSpan.FromMinutes(10),
        };

        Should.NotThrow((options with { KeyLifetime = TimeSpan.FromSeconds(5) }).Validate);
        Should.Throw<NodeOptionsException>((options with { KeyLifetime = TimeSpan.FromSeconds(4) }).Validate).Hint.ShouldNotBeEmpty();
    }

    [Fact]
    public void Plain_http_beyond_loopback_has_to_be_asked_for_by_its_name()
    {
        var options = new NodeOptions { DataDirectory = directory.FullName, GatewayUrl = new Uri("https://gateway.example") };

        Should.NotThrow(options.Validate);
        var open = options with { ListenAddress = IPAddress.Any, PublicAddress = new Uri("https://node.example") };
        Should.NotThrow(open.Validate);
        open.UsesTls.ShouldBeTrue();
        Should.Throw<NodeOptionsException>((open with { PublicAddress = null }).Validate);
        Should.Throw<NodeOptionsException>((open with { Tls = false }).Validate);
        Should.NotThrow((open with { Tls = false, DangerousPlainHttp = true }).Validate);
        Should.Throw<NodeOptionsException>((options with { GatewayUrl = new Uri("http://gateway.example") }).Validate);
        Should.Throw<NodeOptionsException>((options with { PublicAddress = new Uri("http://10.0.0.1") }).Validate);
    }
}
