using System.Net;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>Pages in browsers: kept away unless their origin is named.</summary>
public sealed class BrowserTests
{
    private const string Page = "https://app.example";

    [Fact]
    public async Task Without_origins_a_browser_lets_no_page_in()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var user = await gateway.UserAsync();
        var preflight = await user.SendAsync(Preflight(Page));
        await preflight.ShouldBeErrorAsync(405, "METHOD_NOT_ALLOWED");
        preflight.Headers.Contains("Access-Control-Allow-Origin").ShouldBeFalse();
        (await user.SendAsync(From(Page, HttpMethod.Get, "/v1/models"))).Headers.Contains("Access-Control-Allow-Origin").ShouldBeFalse();
    }

    [Fact]
    public async Task A_named_origin_may_call_and_read_errors_and_no_other_may()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { CorsOrigins = [Page] });
        using var nobody = gateway.Client();
        var preflight = await nobody.SendAsync(Preflight(Page));
        preflight.StatusCode.ShouldBe(HttpStatusCode.NoContent);
        preflight.Headers.GetValues("Access-Control-Allow-Origin").ShouldBe([Page]);
        string.Join(',', preflight.Headers.GetValues("Access-Control-Allow-Headers")).ShouldContain("Authorization", Case.Insensitive);
        preflight.Headers.Contains("Access-Control-Allow-Credentials").ShouldBeFalse();

        var refused = await nobody.SendAsync(From(Page, HttpMethod.Get, "/v1/models"));
        await refused.ShouldBeErrorAsync(401, "AUTH_ERROR");
        refused.Headers.GetValues("Access-Control-Allow-Origin").ShouldBe([Page]);
        refused.Headers.GetValues("Access-Control-Expose-Headers").ShouldBe(["Retry-After,x-request-id"]);

        (await nobody.SendAsync(Preflight("https://evil.example"))).Headers.Contains("Access-Control-Allow-Origin").ShouldBeFalse();
        (await nobody.SendAsync(From("https://evil.example", HttpMethod.Get, "/health"))).Headers.Contains("Access-Control-Allow-Origin").ShouldBeFalse();
    }

    [Theory]
    [InlineData("app.example")]
    [InlineData("https://app.example/")]
    [InlineData("https://app.example/path")]
    [InlineData("https://user@app.example")]
    [InlineData("ftp://app.example")]
    [InlineData("*", "https://app.example")]
    public async Task What_is_no_origin_is_refused_before_anything_listens(params string[] origins)
    {
        var directory = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"));
        var refusal = await Should.ThrowAsync<GatewayOptionsException>(
            () => GatewayHost.CreateAsync(new GatewayOptions { DataDirectory = directory, Port = 0, CorsOrigins = origins }));
        refusal.Hint.ShouldNotBeNullOrEmpty();
        Directory.Exists(directory).ShouldBeFalse();
    }

    private static HttpRequestMessage Preflight(string origin)
    {
        var request = From(origin, HttpMethod.Options, GatewayUnderTest.ChatPath);
        request.Headers.Add("Access-Control-Request-Method", "POST");
        request.Headers.Add("Access-Control-Request-Headers", "authorization,content-type");
        return request;
    }

    private static HttpRequestMessage From(string origin, HttpMethod method, string path)
    {
        var request = new HttpRequestMessage(method, path);
        request.Headers.Add("Origin", origin);
        return request;
    }
}
