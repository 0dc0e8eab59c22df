using System.Formats.Asn1;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Certificates;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>docs/operating.md, "Certificates": what an operator does to the files, and what clients see of it.</summary>
public sealed class CertificateTests : IDisposable
{
    private readonly TestCertificates certificates = new(DateTimeOffset.UtcNow);
    private List<string> shown = []; // beside the leaf, by the last handshake

    public void Dispose() => certificates.Dispose();

    [Fact]
    public async Task A_renewed_pair_is_shown_to_the_next_handshake_and_connections_that_are_open_stay()
    {
        certificates.Write(certificates.Issue());
        await using var gateway = await StartAsync();
        using var old = await HandshakeAsync(gateway);
        (await GetAsync(old)).ShouldBe(200); // who has not spoken within ten seconds is closed
        var renewed = certificates.Issue(rsa: true);
        certificates.Write(renewed);
        gateway.Clock.Advance(TimeSpan.FromSeconds(11));

        using var next = await HandshakeAsync(gateway);
        next.RemoteCertificate!.GetRawCertData().ShouldBe(Der(renewed.Certificate));
        old.RemoteCertificate!.GetRawCertData().ShouldNotBe(Der(renewed.Certificate));
        (await GetAsync(old)).ShouldBe(200);
        (await GetAsync(next)).ShouldBe(200);
        gateway.Log.Text.ShouldContain($"New handshakes show the new certificate in {certificates.CertificateFile}");
    }

    [Theory]
    [InlineData("certbot")]
    [InlineData("kubernetes")]
    [InlineData("in place, the key first, asked for by SIGHUP")]
    public async Task However_the_files_are_exchanged_the_new_ones_are_found(string how)
    {
        var (first, second) = (certificates.Issue(), certificates.Issue());
        var isInPlace = how.StartsWith("in", StringComparison.Ordinal);
        if (isInPlace)
            certificates.Write(first);
        foreach (var (name, pair) in (IEnumerable<(string, (string Certificate, string Key))>)[("1", first), ("2", second)])
        {
            var directory = Directory.CreateDirectory(Path.Combine(certificates.Directory, name)).FullName;
            await File.WriteAllTextAsync(
                Path.Combine(directory, "cert.pem"), pair.Certificate + certificates.IntermediatePem, TestContext.Current.CancellationToken);
            await File.WriteAllTextAsync(Path.Combine(directory, "key.pem"), pair.Key, TestContext.Current.CancellationToken);
        }

        // certbot turns the link of each file; kubernetes one of their directory, by a rename, and the files' own links never change.
        if (how == "kubernetes")
        {
            Link(Path.Combine(certificates.Directory, "..data"), "1");
            Link(certificates.CertificateFile, "..data/cert.pem");
            Link(certificates.KeyFile, "..data/key.pem");
        }
        else if (!isInPlace)
        {
            Link(certificates.CertificateFile, "1/cert.pem");
            Link(certificates.KeyFile, "1/key.pem");
        }

        await using var gateway = await StartAsync();
        if (how == "kubernetes")
        {
            Link(Path.Combine(certificates.Directory, "..data"), "2");
        }
        else if (isInPlace)
        {
            await File.WriteAllTextAsync(certificates.KeyFile, second.Key, TestContext.Current.CancellationToken);
            gateway.Clock.Advance(TimeSpan.FromSeconds(11)); // half of it is there: the pair in use stays
            using (var between = await HandshakeAsync(gateway))
                between.RemoteCertificate!.GetRawCertData().ShouldBe(Der(first.Certificate));
            await File.WriteAllTextAsync(
                certificates.CertificateFile, second.Certificate + certificates.IntermediatePem, TestContext.Current.CancellationToken);
        }
        else
        {
            Link(certificates.CertificateFile, "2/cert.pem");
            Link(certificates.KeyFile, "2/key.pem");
        }

        if (isInPlace)
            gateway.App.Services.GetRequiredService<Reload>().Ask();
        else
            gateway.Clock.Advance(TimeSpan.FromSeconds(11));
        using var next = await HandshakeAsync(gateway);
        next.RemoteCertificate!.GetRawCertData().ShouldBe(Der(second.Certificate));
    }

    [Fact]
    public async Task A_chain_in_any_order_is_shown_leaf_first_with_its_intermediate_and_the_leaf_is_the_one_of_the_key()
    {
        var (other, pair) = (certificates.Issue(), certificates.Issue());
        certificates.Write(
            (certificates.RootPem + "\n" + certificates.IntermediatePem + "\n" + other.Certificate + pair.Certificate, pair.Key), withIntermediate: false);
        await using var gateway = await StartAsync();
        using var seen = await HandshakeAsync(gateway);

        seen.RemoteCertificate!.GetRawCertData().ShouldBe(Der(pair.Certificate));
        shown.ShouldContain("CN=test intermediate"); // of a client that knows the root alone
        (await ProtocolAsync(gateway)).ShouldBe(SslApplicationProtocol.Http2);
    }

    [Fact]
    public async Task Each_fault_of_the_files_has_a_sentence_of_its_own_that_names_the_file_and_holds_nothing_of_the_key()
    {
        var good = certificates.Issue();
        using var rsa = RSA.Create(2048);
        using var ecdsa = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var encrypted = rsa.ExportEncryptedPkcs8PrivateKeyPem("secret", new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000));
        var older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        var junk = "-----BEGIN {0}-----\nAAAAAAAA\n-----END {0}-----\n";
        var (certificate, key) = (certificates.CertificateFile, certificates.KeyFile);
        (string What, string? Certificate, string? Key, string File)[] faults =
        [
            ("absent", null, good.Key, certificate),
            ("empty", "", good.Key, certificate),
            ("the key in its place", good.Key, good.Key, certificate),
            ("damaged", junk.Replace("{0}", "CERTIFICATE", StringComparison.Ordinal), good.Key, certificate),
            ("too large", new string('x', 2_000_000), good.Key, certificate),
            ("key empty", good.Certificate, "", key),
            ("the certificate in the key's place", good.Certificate, good.Certificate, key),
            ("another key", good.Certificate, certificates.Issue().Key, key),
            ("encrypted", good.Certificate, encrypted, key),
            ("key damaged", good.Certificate, junk.Replace("{0}", "PRIVATE KEY", StringComparison.Ordinal), key),
        ];
        var sentences = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (what, certificateText, keyText, file) in faults)
        {
            Put(certificate, certificateText);
            Put(key, keyText);
            var fault = Should.Throw<CertificateException>(() => new CertificateFiles(certificate, key).Read(), what);
            fault.Message.ShouldContain(file, customMessage: what);
            fault.Hint.ShouldNotBeEmpty(what);
            sentences[what] = fault.Message.Replace(file, "FILE", StringComparison.Ordinal);
            if (keyText?.Length > 100)
                fault.ToString().ShouldNotContain(keyText[60..80], Case.Sensitive, what);
        }

        Put(certificate, good.Certificate);
        Put(key, older);
        Should.Throw<CertificateException>(() => new CertificateFiles(certificate, key).Read()).Message.ShouldContain("encrypted");
        sentences.Remove("key empty"); // what is empty is empty
        sentences.Values.Distinct(StringComparer.Ordinal).Count().ShouldBe(sentences.Count, string.Join('\n', sentences));

        // Every form of a key that tools write is taken.
        foreach (var form in (string[])
        [
            ecdsa.ExportECPrivateKeyPem(), ecdsa.ExportPkcs8PrivateKeyPem(),
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + ecdsa.ExportECPrivateKeyPem(),
        ])
        {
            using var own = new CertificateRequest("CN=own", ecdsa, HashAlgorithmName.SHA256)
                .CreateSelfSigned(certificates.Now.AddDays(-1), certificates.Now.AddDays(1));
            Put(certificate, own.ExportCertificatePem());
            Put(key, form);
            new CertificateFiles(certificate, key).Read().Faults(certificates.Now, null).ShouldBeEmpty();
        }
    }

    [Fact]
    public async Task What_clients_will_refuse_is_said_at_the_start_and_served_and_does_not_take_the_place_of_what_is_good()
    {
        var good = certificates.Issue();
        (string Says, (string Certificate, string Key) Pair, bool WithIntermediate)[] faults =
        [
            ("ended on", certificates.Issue(days: 1, begins: certificates.Now.AddDays(-3)), true),
            ("begins on", certificates.Issue(begins: certificates.Now.AddDays(1)), true),
            ("lacks the certificate of its issuer, 'CN=test intermediate'", certificates.Issue(), false),
            ("is for elsewhere.example, 127.0.0.1, and not for gateway.example", certificates.Issue(name: "elsewhere.example"), true),
        ];
        certificates.Write(good);
        await using var gateway = await StartAsync("gateway.example");
        foreach (var (says, pair, withIntermediate) in faults)
        {
            certificates.Write(pair, withIntermediate);
            gateway.Clock.Advance(TimeSpan.FromSeconds(11));
            gateway.Clock.Advance(TimeSpan.FromSeconds(11));
            Lines(gateway, says).ShouldHaveSingleItem().ShouldContain("The certificate in use stays");
            Lines(gateway, says)[0].ShouldContain(certificates.CertificateFile);
            using var seen = await HandshakeAsync(gateway);
            seen.RemoteCertificate!.GetRawCertData().ShouldBe(Der(good.Certificate));
        }

        foreach (var (says, pair, withIntermediate) in faults)
        {
            certificates.Write(pair, withIntermediate);
            await using var fresh = await StartAsync("gateway.example");
            Lines(fresh, says).ShouldHaveSingleItem().ShouldContain("warn");
            using var seen = await HandshakeAsync(fresh);
            seen.RemoteCertificate!.GetRawCertData().ShouldBe(Der(pair.Certificate));

            // The operator's mending is taken at once.
            certificates.Write(good);
            fresh.Clock.Advance(TimeSpan.FromSeconds(11));
            using var mended = await HandshakeAsync(fresh);
            mended.RemoteCertificate!.GetRawCertData().ShouldBe(Der(good.Certificate));
        }
    }

    [Fact]
    public async Task The_end_is_said_three_weeks_and_one_week_before_and_then_daily_until_a_renewal()
    {
        certificates.Write(certificates.Issue(days: 90));
        var calendar = new Calendar { Now = certificates.Now };
        using var log = new CapturedLog();
        using var logs = LoggerFactory.Create(builder => builder.AddProvider(log));
        var (files, reload) = (new CertificateFiles(certificates.CertificateFile, certificates.KeyFile), new Reload(NullLogger<Reload>.Instance));
        using var watch = new CertificateWatch(files, files.Read(), null, reload, calendar, logs.CreateLogger<CertificateWatch>());
        await watch.StartAsync(TestContext.Current.CancellationToken);
        int Said(string what) => log.Text.Split('\n').Count(line => line.Contains(what, StringComparison.Ordinal));
        var days = new List<int>();
        for (var quarter = 1; quarter <= 92 * 4; quarter++)
        {
            calendar.Now = certificates.Now.AddHours(6 * quarter);
            var before = Said("ends in") + Said("ended on");
            reload.Ask();
            days.AddRange(Enumerable.Repeat((quarter + 3) / 4, Said("ends in") + Said("ended on") - before));
        }

        // It began an hour before the test, and so ends an hour before the 90th day does.
        days.ShouldBe([69, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92]);
        Said("ended on").ShouldBe(3);

        certificates.Write(certificates.Issue(begins: calendar.Now.AddHours(-1)));
        reload.Ask();
        calendar.Now = calendar.Now.AddDays(10);
        reload.Ask();
        (Said("ends in"), Said("ended on"), Said("New handshakes show")).ShouldBe((8, 3, 1));
    }

    [Fact]
    public async Task A_pair_that_was_put_there_too_early_is_taken_when_its_time_has_come_though_nobody_touches_it_again()
    {
        var (good, later) = (certificates.Issue(), certificates.Issue(begins: certificates.Now.AddDays(1)));
        certificates.Write(good);
        await using var gateway = await StartAsync();
        gateway.Clock.Advance(TimeSpan.FromSeconds(11));
        certificates.Write(later);
        gateway.Clock.Advance(TimeSpan.FromSeconds(11));
        Lines(gateway, "begins on").ShouldHaveSingleItem().ShouldContain("The certificate in use stays");
        gateway.Clock.Advance(TimeSpan.FromDays(1));
        using var seen = await HandshakeAsync(gateway);
        seen.RemoteCertificate!.GetRawCertData().ShouldBe(Der(later.Certificate));
    }

    [Theory]
    [InlineData("EC PRIVATE KEY")]
    [InlineData("PRIVATE KEY")]
    public async Task A_renewal_with_a_key_on_a_curve_that_this_machine_lacks_leaves_the_pair_in_use_and_ends_nothing(string label)
    {
        var good = certificates.Issue();
        certificates.Write(good);
        await using var gateway = await StartAsync();
        certificates.Write((certificates.Issue().Certificate, PemEncoding.WriteString(label, OnAnUnknownCurve(isPkcs8: label[0] == 'P'))));
        gateway.Clock.Advance(TimeSpan.FromSeconds(11));
        gateway.App.Services.GetRequiredService<Reload>().Ask();
        Lines(gateway, "The certificate in use stays")[0].ShouldContain($"The private key in {certificates.KeyFile} is damaged, or neither RSA nor ECDSA.");
        using var seen = await HandshakeAsync(gateway);
        seen.RemoteCertificate!.GetRawCertData().ShouldBe(Der(good.Certificate));
    }

    private static byte[] OnAnUnknownCurve(bool isPkcs8)
    {
        const string Curve = "1.3.6.1.4.1.99999.1";
        var key = new AsnWriter(AsnEncodingRules.DER);
        using (key.PushSequence())
        {
            key.WriteInteger(1);
            key.WriteOctetString(RandomNumberGenerator.GetBytes(32));
            using (key.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 0)))
                key.WriteObjectIdentifier(Curve);
        }

        if (!isPkcs8)
            return key.Encode();
        var wrapped = new AsnWriter(AsnEncodingRules.DER);
        using (wrapped.PushSequence())
        {
            wrapped.WriteInteger(0);
            using (wrapped.PushSequence())
            {
                wrapped.WriteObjectIdentifier("1.2.840.10045.2.1");
                wrapped.WriteObjectIdentifier(Curve);
            }

            wrapped.WriteOctetString(key.Encode());
        }

        return wrapped.Encode();
    }

    private Task<GatewayUnderTest> StartAsync(string? name = null) => GatewayUnderTest.StartAsync(
        options => options with { TlsCertificate = certificates.CertificateFile, TlsKey = certificates.KeyFile, TlsName = name });

    private static List<string> Lines(GatewayUnderTest gateway, string says) =>
        [.. gateway.Log.Text.Split('\n').Where(line => line.Contains(says, StringComparison.Ordinal))];

    private static byte[] Der(string pem)
    {
        using var certificate = X509Certificate2.CreateFromPem(pem);
        return certificate.RawData;
    }

    // A link that is there is turned by a rename, so that at no moment there is none.
    private static void Link(string path, string to)
    {
        var unfinished = path + ".link";
        File.CreateSymbolicLink(unfinished, to);
        using var move = System.Diagnostics.Process.Start("mv", ["-T", unfinished, path]);
        move.WaitForExit();
        move.ExitCode.ShouldBe(0);
    }

    private static void Put(string path, string? text)
    {
        if (text is null)
            File.Delete(path);
        else
            File.WriteAllText(path, text);
    }

    private async Task<SslStream> HandshakeAsync(GatewayUnderTest gateway) => await OpenAsync(gateway, [SslApplicationProtocol.Http11]);

    private async Task<SslApplicationProtocol> ProtocolAsync(GatewayUnderTest gateway)
    {
        using var stream = await OpenAsync(gateway, [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11]);
        return stream.NegotiatedApplicationProtocol;
    }

    private async Task<SslStream> OpenAsync(GatewayUnderTest gateway, List<SslApplicationProtocol> protocols)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync("127.0.0.1", gateway.Url.Port, TestContext.Current.CancellationToken);
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
        await stream.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = "gateway.example",
                ApplicationProtocols = protocols,
                RemoteCertificateValidationCallback = (_, _, chain, _) =>
                {
                    shown = [.. chain!.ChainPolicy.ExtraStore.Select(certificate => certificate.Subject)];
                    return true;
                },
            },
            TestContext.Current.CancellationToken);
        return stream;
    }

    private static async Task<int> GetAsync(SslStream stream)
    {
        await stream.WriteAsync("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        var buffer = new byte[4096];
        var read = await stream.ReadAsync(buffer, TestContext.Current.CancellationToken);
        return int.Parse(Encoding.ASCII.GetString(buffer, 9, 3), System.Globalization.CultureInfo.InvariantCulture) + (read > 0 ? 0 : 1000);
    }

    /// <summary>A clock that is turned by hand, and calls nobody on its way.</summary>
    private sealed class Calendar : TimeProvider
    {
        public DateTimeOffset Now { get; set; }

        public override DateTimeOffset GetUtcNow() => Now;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            base.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }
}
