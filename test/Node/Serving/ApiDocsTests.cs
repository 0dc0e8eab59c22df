using System.Net;
using System.Text.Json;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>The node's OpenAPI document: it lists what is served, and says of errors what the table says.</summary>
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
            .SelectMany(route => route.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods.Select(method => $"{method} {route.RoutePattern.RawText}"));
        documented.ShouldBe(served, ignoreOrder: true);
    }

    [Fact]
    public async Task Its_errors_are_those_of_the_table_and_its_exchange_is_the_gateways()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var components = JsonElement.Parse(await GetAsync(node, "/openapi/v1.json")).GetProperty("components");
        foreach (var example in components.GetProperty("examples").EnumerateObject().Where(example => V1Errors.FromCode(example.Name) is not null))
        {
            Rejection.TryParse(JsonSerializer.SerializeToUtf8Bytes(example.Value.GetProperty("value")), out var rejection).ShouldBeTrue(example.Name);
            JsonElement.DeepEquals(JsonElement.Parse(rejection!.ToJson()), example.Value.GetProperty("value")).ShouldBeTrue(example.Name);
        }

        EnvelopeRequest.TryParse(JsonSerializer.SerializeToUtf8Bytes(components.GetProperty("examples").GetProperty("sealedRequest").GetProperty("value")), out _, out _).ShouldBeTrue();
    }

    [Fact]
    public async Task The_page_asks_no_other_host_and_can_be_turned_off()
    {
        await using (var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes()))
        {
            var page = await GetAsync(node, "/docs/");
            page.ShouldContain("openapi/v1.json");
            page.ShouldNotContain("https://");
        }

        await using var silent = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { Docs = false });
        foreach (var path in (string[])["/docs/", "/openapi/v1.json"])
            (await silent.Client.GetAsync(new Uri(silent.Url, path))).StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }

    private static Task<string> GetAsync(NodeUnderTest node, string path) => node.Client.GetStringAsync(new Uri(node.Url, path));
}
