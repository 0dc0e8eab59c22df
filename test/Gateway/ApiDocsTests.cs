using System.Net;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>The OpenAPI document: it lists what is served, and its examples are true.</summary>
public sealed class ApiDocsTests
{
    [Fact]
    public async Task The_document_is_valid_and_lists_every_route_and_no_other()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var anyone = gateway.Client();
        var read = OpenApiDocument.Parse(await anyone.GetStringAsync("/openapi/v1.json"), "json");
        read.Diagnostic!.Errors.ShouldBeEmpty();
        read.Diagnostic.SpecificationVersion.ShouldBe(OpenApiSpecVersion.OpenApi3_1);

        var documented = read.Document!.Paths.SelectMany(path => path.Value.Operations!.Keys.Select(method => $"{method} {path.Key}"));
        var served = gateway.App.Services.GetServices<EndpointDataSource>().SelectMany(source => source.Endpoints).OfType<RouteEndpoint>()
            .Where(route => !route.RoutePattern.RawText!.StartsWith(ApiDocs.PagePath, StringComparison.Ordinal) && route.RoutePattern.RawText != ApiDocs.DocumentPath)
            .SelectMany(route => route.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods.Select(method => $"{method} {route.RoutePattern.RawText}"));
        documented.ShouldBe(served, ignoreOrder: true);
    }

    [Fact]
    public async Task The_page_and_its_script_come_from_the_gateway_alone()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var anyone = gateway.Client();
        var page = await anyone.GetStringAsync("/docs/");
        page.ShouldContain("openapi/v1.json");
        page.ShouldNotContain("https://");
        var script = System.Text.RegularExpressions.Regex.Match(page, "src=\"([^\"]+)\"").Groups[1].Value;
        (await anyone.GetAsync(new Uri(new Uri(gateway.Url, "/docs/"), script))).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Turned_off_neither_is_there()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { Docs = false });
        using var anyone = gateway.Client();
        await (await anyone.GetAsync("/openapi/v1.json")).ShouldBeErrorAsync(404, "NOT_FOUND");
        await (await anyone.GetAsync("/docs/")).ShouldBeErrorAsync(404, "NOT_FOUND");
    }

    [Fact]
    public void Every_error_of_the_table_is_in_it_with_its_own_words()
    {
        var components = Document().GetProperty("components");
        components.GetProperty("schemas").GetProperty("Error").GetProperty("properties").GetProperty("error").GetProperty("properties").GetProperty("code")
            .GetProperty("enum").EnumerateArray().Select(code => code.GetString()).ShouldBe(V1Errors.Table.Select(row => row.Code));
        foreach (var response in components.GetProperty("responses").EnumerateObject())
        {
            foreach (var example in response.Value.GetProperty("content").GetProperty("application/json").GetProperty("examples").EnumerateObject())
            {
                var body = components.GetProperty("examples").GetProperty(example.Name).GetProperty("value");
                Rejection.TryParse(Encoding.UTF8.GetBytes(body.GetRawText()), out var rejection).ShouldBeTrue(example.Name);
                rejection!.Error.Row().Code.ShouldBe(example.Name);
                JsonElement.DeepEquals(JsonElement.Parse(rejection.ToJson()), body).ShouldBeTrue(example.Name);
            }
        }
    }

    [Fact]
    public async Task The_example_of_a_lock_is_what_a_lock_looks_like()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var example = Document().GetProperty("paths").GetProperty("/v1/nodes/lock").GetProperty("post")
            .GetProperty("responses").GetProperty("200").GetProperty("content").GetProperty("application/json").GetProperty("example");
        var answer = await (await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""))).JsonAsync();
        Shape(answer).ShouldBe(Shape(example));

        example = Document().GetProperty("paths").GetProperty("/v1/models").GetProperty("get")
            .GetProperty("responses").GetProperty("200").GetProperty("content").GetProperty("application/json").GetProperty("example");
        var models = await (await user.GetAsync("/v1/models")).JsonAsync();
        Shape(models).ShouldBe(Shape(example));
        Shape(models.GetProperty("data")[0]).ShouldBe(Shape(example.GetProperty("data")[0]));
    }

    [Fact]
    public void The_sealed_examples_are_the_published_exchange()
    {
        var examples = Document().GetProperty("components").GetProperty("examples");
        var exchange = JsonElement.Parse(File.ReadAllText(Path.Combine(Tree.Root, "spec", "vectors", "envelope-v1.json"))).GetProperty("vectors")[0];
        var request = examples.GetProperty("sealedRequest").GetProperty("value");
        JsonElement.DeepEquals(request, exchange.GetProperty("envelope")).ShouldBeTrue();
        JsonElement.DeepEquals(examples.GetProperty("sealedAnswer").GetProperty("value"), exchange.GetProperty("sealed_answer")).ShouldBeTrue();
        var data = examples.GetProperty("sealedEvent").GetProperty("value").GetString()!;
        JsonElement.DeepEquals(JsonElement.Parse(data["data: ".Length..]), exchange.GetProperty("sealed_event")).ShouldBeTrue();

        EnvelopeRequest.TryParse(Encoding.UTF8.GetBytes(request.GetRawText()), out _, out _).ShouldBeTrue();
        FiveFieldRequest.TryParse(Encoding.UTF8.GetBytes(examples.GetProperty("olderForm").GetProperty("value").GetRawText()), out _, out _).ShouldBeTrue();
    }

    private static JsonElement Document() => JsonElement.Parse(File.ReadAllText(Path.Combine(Tree.Root, "spec", "openapi", "gateway.json")));

    private static IEnumerable<(string Name, JsonValueKind Kind)> Shape(JsonElement value) => value.EnumerateObject().Select(member => (member.Name, member.Value.ValueKind));
}
