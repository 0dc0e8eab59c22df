using System.Net;
using System.Text;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/envelope-v1.md section 9: every answer says what the gateway calls the request, and nothing of a caller's is taken for it.</summary>
public sealed class RequestNameTests
{
    [Fact]
    public async Task Every_answer_has_a_name_of_its_own_whatever_the_caller_calls_it()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { CorsOrigins = ["https://app.example"] });
        using var stranger = gateway.Client();
        using var user = await gateway.UserAsync();
        var names = new List<string>
        {
            await NameAsync(stranger, HttpMethod.Get, "/health", 200),
            await NameAsync(stranger, HttpMethod.Head, "/health/ready", 200),
            await NameAsync(stranger, HttpMethod.Get, "/nowhere", 404),
            await NameAsync(stranger, HttpMethod.Put, "/health", 405),
            await NameAsync(stranger, HttpMethod.Get, "/v1/models", 401),
            await NameAsync(stranger, HttpMethod.Options, "/v1/models", 204),
            await NameAsync(user, HttpMethod.Get, "/v1/models", 200),
            await NameAsync(user, HttpMethod.Post, "/v1/nodes/lock", 400, "{}"),
            await NameAsync(user, HttpMethod.Post, "/v1/nodes/lock", 404, """{"model":"nobodys"}"""),
            await NameAsync(user, HttpMethod.Post, GatewayUnderTest.ChatPath, 415, "{}", "text/plain"),
        };
        names.ShouldBeUnique();
    }

    [Fact]
    public async Task The_name_of_a_relayed_request_is_the_one_that_the_node_and_the_ledger_know()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();

        var answer = await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json((await LockedNode.LockAsync(user)).Envelope()));
        var name = Name(answer);
        (await node.SeenAsync()).Token().Request.ToString().ShouldBe(name);
        (await gateway.ReservationsAsync()).Single().RequestId.ShouldBe(name);

        // A refusal, which takes back what was to be answered, and a node that writes the header itself.
        node.Script = context =>
        {
            context.Response.Headers["X-Request-Id"] = "the-nodes-own";
            return ScriptedNode.AnswerAsync(context, 400, """{"error":{"code":"CONTEXT_TOO_LARGE","message":"x"}}""");
        };
        var refused = await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json((await LockedNode.LockAsync(user)).Envelope()));
        await refused.ShouldBeErrorAsync(400, "CONTEXT_TOO_LARGE");
        (await node.SeenAsync()).Token().Request.ToString().ShouldBe(Name(refused));
    }

    [Theory]
    [InlineData("gzip", 415)]
    [InlineData("GZIP", 415)]
    [InlineData("identity, gzip", 415)]
    [InlineData("Identity", 400)]
    public async Task A_compressed_body_is_refused_with_the_encodings_that_are_taken(string encoding, int status)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var user = await gateway.UserAsync();
        foreach (var path in (string[])["/v1/nodes/lock", GatewayUnderTest.ChatPath])
        {
            var content = Http.Json("{}");
            content.Headers.TryAddWithoutValidation("Content-Encoding", encoding);
            var answer = await user.PostAsync(path, content);
            await answer.ShouldBeErrorAsync(
                status, status == 415 ? "UNSUPPORTED_MEDIA_TYPE" : "INVALID_FIELD",
                status == 415 ? null : path == GatewayUnderTest.ChatPath ? "ciphertext" : "model");
            (answer.Headers.TryGetValues("Accept-Encoding", out var taken) ? string.Join(',', taken) : null).ShouldBe(status == 415 ? "identity" : null);
        }
    }

    private static async Task<string> NameAsync(
        HttpClient client, HttpMethod method, string path, int status, string? body = null, string type = "application/json")
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, type) };
        request.Headers.Add("X-Request-Id", "the-callers-own");
        request.Headers.Add("Origin", "https://app.example");
        if (method == HttpMethod.Options)
            request.Headers.Add("Access-Control-Request-Method", "GET");
        var answer = await client.SendAsync(request);
        ((int)answer.StatusCode).ShouldBe(status, $"{method} {path}");
        if (method == HttpMethod.Get)
            answer.Headers.GetValues("Access-Control-Expose-Headers").Single().ShouldContain("x-request-id");
        return Name(answer);
    }

    private static string Name(HttpResponseMessage answer)
    {
        var name = answer.Headers.GetValues("x-request-id").Single();
        RequestId.TryParse(name, out _).ShouldBeTrue(name);
        return name;
    }
}
