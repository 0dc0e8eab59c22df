using System.Net;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Tests.Serving;

public sealed class HealthTests
{
    [Fact]
    public async Task A_node_is_alive_from_the_start_and_ready_once_its_gateway_knows_it()
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes());
        var gate = new Gate();
        node.Gateway.Fault = async http =>
        {
            await gate.PassAsync(http.RequestAborted);
            return false;
        };
        await node.App.StartAsync();
        await gate.Reached;
        await ShouldBeOkAsync(node, "/health");
        await ShouldBeOkAsync(node, "/health/live");
        await (await GetAsync(node, "/health/ready")).ShouldBeAsync(RequestError.ServiceUnavailable);

        gate.Open();
        await NodeHost.WhenReadyAsync(node.App, TestContext.Current.CancellationToken).Soon();
        await ShouldBeOkAsync(node, "/health/ready");
    }

    [Fact]
    public async Task With_tls_the_node_shows_the_key_that_it_has_announced_and_keeps_it()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { Tls = true });
        var enrolment = await node.Gateway.EnrolmentAsync();
        enrolment.Address.ShouldBe(node.Url);
        node.Url.Scheme.ShouldBe("https");

        string? pin = null;
        using var client = new HttpClient(new SocketsHttpHandler
        {
            SslOptions =
            {
                RemoteCertificateValidationCallback = (_, certificate, _, _) =>
                {
                    var key = ((System.Security.Cryptography.X509Certificates.X509Certificate2)certificate!).PublicKey.ExportSubjectPublicKeyInfo();
                    pin = Convert.ToBase64String(SHA256.HashData(key));
                    return pin == enrolment.TlsPin;
                },
            },
        });
        (await client.GetAsync(new Uri(node.Url, "/health"))).StatusCode.ShouldBe(HttpStatusCode.OK);
        pin.ShouldBe(enrolment.TlsPin);

        using var reopened = Node.Enrolment.NodeIdentity.Open(node.DataDirectory, tls: true);
        reopened.TlsPin.ShouldBe(pin);
    }

    private static async Task ShouldBeOkAsync(NodeUnderTest node, string path)
    {
        var response = await GetAsync(node, path);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await response.Content.ReadAsStringAsync()).ShouldBe("""{"status":"ok"}""");
        using var head = new HttpRequestMessage(HttpMethod.Head, new Uri(node.Url, path));
        response = await node.Client.SendAsync(head).Soon();
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await response.Content.ReadAsByteArrayAsync()).ShouldBeEmpty();
    }

    private static Task<HttpResponseMessage> GetAsync(NodeUnderTest node, string path) => node.Client.GetAsync(new Uri(node.Url, path)).Soon();
}
