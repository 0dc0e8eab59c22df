using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Serving;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>The node's OpenAPI document: it lists what is served and what that answers, and says of errors what the table says.</summary>
public sealed class ApiDocsTests
{
    [Fact]
    public async Task The_document_is_valid_and_lists_every_route_of_the_network_and_no_other()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var read = OpenApiDocument.Parse(await GetAsync(node, "/openapi/v1.json"), "json");
        read.Diagnostic!.Errors.ShouldBeEmpty();
        read.Diagnostic.SpecificationVersion.ShouldBe(OpenApiSpecVersion.OpenApi3_1);

        string[] others = [ApiDocs.PagePath, ApiDocs.DocumentPath, "/control"]; // what controls the node is on a socket of the machine
        var documented = read.Document!.Paths.SelectMany(path => path.Value.Operations!.Keys.Select(method => $"{method} {path.Key}"));
        var served = node.App.Services.GetServices<EndpointDataSource>().SelectMany(source => source.Endpoints).OfType<RouteEndpoint>()
            .Where(route => !Array.Exists(others, other => route.RoutePattern.RawText!.StartsWith(other, StringComparison.Ordinal)))
            // What refuses every method serves nothing.
            .SelectMany(route => (route.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? []).Where(method => method != "HEAD")
                .Select(method => $"{method} {route.RoutePattern.RawText}"));
        documented.ShouldBe(served, ignoreOrder: true);
    }

    [Fact]
    public async Task Its_errors_are_those_of_the_table_and_its_exchange_is_the_gateways()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var components = JsonElement.Parse(await GetAsync(node, "/openapi/v1.json")).GetProperty("components");
        foreach (var example in components.GetProperty("examples").EnumerateObject().Where(example => RequestErrors.FromCode(example.Name) is not null))
        {
            Rejection.TryParse(JsonSerializer.SerializeToUtf8Bytes(example.Value.GetProperty("value")), out var rejection).ShouldBeTrue(example.Name);
            JsonElement.DeepEquals(JsonElement.Parse(rejection!.ToJson()), example.Value.GetProperty("value")).ShouldBeTrue(example.Name);
        }

        EnvelopeRequest.TryParse(
            JsonSerializer.SerializeToUtf8Bytes(components.GetProperty("examples").GetProperty("sealedRequest").GetProperty("value")),
            out _, out _).ShouldBeTrue();
    }

    [Fact]
    public async Task The_page_asks_no_other_host_and_can_be_turned_off()
    {
        await using (var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes()))
        {
            var page = await GetAsync(node, "/docs/");
            page.ShouldContain("openapi/v1.json");
            page.ShouldNotContain("https://");
            using var answer = await node.Client.GetAsync(new Uri(node.Url, "/docs/"));
            var policy = answer.Headers.GetValues("Content-Security-Policy").Single();
            policy.ShouldContain("frame-ancestors 'none'");
            policy.ShouldContain("'nonce-");
            answer.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
            answer.Headers.GetValues("Referrer-Policy").ShouldBe(["no-referrer"]);
        }

        await using var silent = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { Docs = false });
        foreach (var path in (string[])["/docs/", "/openapi/v1.json"])
            (await silent.Client.GetAsync(new Uri(silent.Url, path))).StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Every_documented_status_can_be_met_and_no_other_is()
    {
        var engine = ScriptedBackend.ThatServes();
        await using var node = await NodeUnderTest.StartAsync(engine, options => options with { MaxBodyBytes = 16 * 1024 });
        using var document = JsonDocument.Parse(await GetAsync(node, "/openapi/v1.json"));
        var met = new SortedSet<string>(StringComparer.Ordinal);
        string[] healths = ["/health", "/health/live", "/health/ready"];

        foreach (var path in EnvelopeEndpoint.Table.Select(endpoint => endpoint.Path))
        {
            // The gateway says application/json. Nobody checks it.
            var call = node.Seal();
            await MeetAsync(path, 200, new ByteArrayContent(call.Body) { Headers = { ContentType = new MediaTypeHeaderValue("text/plain") } });
            await MeetAsync(path, 409, Body(call));
            await MeetAsync(path, 400, new ByteArrayContent("["u8.ToArray()));
            await MeetAsync(path, 401, Body(node.Seal()), token: null);
            await MeetAsync(path, 404, Body(node.Seal(model: "another")), Token(path, "another"));
            await MeetAsync(path, 413, new ByteArrayContent(new byte[(16 * 1024) + 1]));
            engine.Script = ScriptedBackend.ThatRefuses(InferenceRefusal.Busy).Script;
            await MeetAsync(path, 429, Body(node.Seal()));
            engine.Script = ScriptedBackend.ThatThrows(() => new InferenceException(InferenceFailure.Failed, "failed")).Script;
            await MeetAsync(path, 500, Body(node.Seal()));
            engine.Script = ScriptedBackend.ThatServes().Script;
        }

        await MeetAsync(NodePaths.Proof, 401, new ByteArrayContent([]), token: null);
        var asked = NodeProof.Ask(ScriptedGateway.Node);
        var challenge = new ByteArrayContent([])
        {
            Headers =
            {
                { NodeProof.ChallengeHeaderName, asked.ChallengeText },
                { NodeProof.CodeHeaderName, asked.WriteChallenge(node.Gateway.RelayKey) },
            },
        };
        await MeetAsync(NodePaths.Proof, 204, challenge, token: null);
        foreach (var path in healths)
            await MeetAsync(path, 200);
        engine.IsAlive = false;
        await MeetAsync("/health/ready", 503);
        engine.IsAlive = true;
        node.App.Services.GetRequiredService<Seating>().Close();
        await MeetAsync("/health/ready", 503);
        foreach (var path in EnvelopeEndpoint.Table.Select(endpoint => endpoint.Path))
            await MeetAsync(path, 503, Body(node.Seal()));
        foreach (var path in healths[..2])
            await MeetAsync(path, 200);

        met.ShouldBe(
            document.RootElement.GetProperty("paths").EnumerateObject()
                .SelectMany(path => path.Value.EnumerateObject().Single().Value.GetProperty("responses").EnumerateObject()
                    .Select(response => $"{path.Name} {response.Name}")),
            ignoreOrder: true);

        ByteArrayContent Body(EnvelopeCall call) => new(call.Body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };

        string Token(string path, string model = ScriptedBackend.Model) =>
            (node.Gateway.Token() with { Model = model, Endpoint = path, KeySet = node.Ring.Current.Digest }).Write(node.Gateway.RelayKey);

        // Sends a request that has this status, which the document has too, with the headers that it promises.
        async Task MeetAsync(string path, int status, HttpContent? body = null, string? token = "a good one")
        {
            using var request = new HttpRequestMessage(body is null ? HttpMethod.Get : HttpMethod.Post, new Uri(node.Url, path)) { Content = body };
            if (body is not null && token is not null)
                request.Headers.Add(RelayToken.HeaderName, token == "a good one" ? Token(path) : token);
            using var response = await node.Client.SendAsync(request, TestContext.Current.CancellationToken);
            ((int)response.StatusCode).ShouldBe(status, path);
            var operation = document.RootElement.GetProperty("paths").GetProperty(path).EnumerateObject().Single().Value;
            operation.GetProperty("responses").TryGetProperty($"{status}", out var documented).ShouldBeTrue($"{path} {status} is not documented");
            if (documented.TryGetProperty("$ref", out var reference))
                documented = document.RootElement.GetProperty("components").GetProperty("responses").GetProperty(reference.GetString()!.Split('/')[^1]);
            if (documented.TryGetProperty("headers", out var promised))
                promised.EnumerateObject().ShouldAllBe(header => response.Headers.Contains(header.Name));
            if (status != 204)
                documented.GetProperty("content").EnumerateObject().Select(type => type.Name).ShouldContain(response.Content.Headers.ContentType!.MediaType!);
            met.Add($"{path} {status}");
        }
    }

    private static Task<string> GetAsync(NodeUnderTest node, string path) => node.Client.GetStringAsync(new Uri(node.Url, path));
}
