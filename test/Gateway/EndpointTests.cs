using System.Net;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>Every row of the table of confidential endpoints takes the same way.</summary>
public sealed class EndpointTests
{
    // What a client of the OpenAI API shows its user is the message.
    [Theory]
    [InlineData("POST", "/v1/chat/completions", true)]
    [InlineData("POST", "/v1/completions", false)]
    [InlineData("GET", "/v1/embeddings", false)]
    [InlineData("PUT", "/v1/images/generations", true)]
    public async Task A_client_that_asks_in_plain_is_told_in_its_own_shape_where_sealed_requests_go(string method, string path, bool hasKey)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var client = hasKey ? await gateway.UserAsync() : gateway.Client();
        using var request = new HttpRequestMessage(new HttpMethod(method), path)
        {
            Content = Http.Json("""{"model":"m","messages":[{"role":"user","content":"a prompt in plain"}]}"""),
        };
        using var answer = await client.SendAsync(request, TestContext.Current.CancellationToken);
        ((int)answer.StatusCode).ShouldBe(404);
        answer.Content.Headers.ContentType!.ToString().ShouldBe("application/json");
        var error = System.Text.Json.JsonElement.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).GetProperty("error");
        error.EnumerateObject().Select(member => member.Name).ShouldBe(["message", "type", "param", "code"]);
        (error.GetProperty("type").GetString(), error.GetProperty("code").GetString()).ShouldBe(("invalid_request_error", "NOT_FOUND"));
        error.GetProperty("message").GetString()!.ShouldContain("/v1/confidential/chat/completions");
        gateway.Log.Text.ShouldNotContain("a prompt in plain");
    }

    [Theory]
    [InlineData("/v1/confidential/chat/completions", 8192, true)]
    [InlineData("/v1/confidential/completions", 8192, true)]
    [InlineData("/v1/confidential/embeddings", 8192, false)]
    [InlineData("/v1/confidential/images/generations", 1024 * 1024, false)]
    public async Task An_endpoint_is_relayed_to_the_same_path_with_its_own_units(string path, long units, bool streams)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        (await (await user.PostAsync(path, Http.Json(locked.Envelope(100)))).Content.ReadAsStringAsync()).ShouldBe(ScriptedNode.SealedAnswer);
        var seen = await node.SeenAsync();
        (seen.Path, seen.Token().Units.Value).ShouldBe((path, units + 100));

        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "data: {}\n\n", "text/event-stream");
        locked = await LockedNode.LockAsync(user);
        var streamed = await user.PostAsync(path, Http.Json(locked.Envelope()));
        if (streams)
            streamed.StatusCode.ShouldBe(HttpStatusCode.OK);
        else
            await streamed.ShouldBeErrorAsync(500, "INTERNAL_ERROR");
        (await gateway.LastLockAsync()).State.ShouldBe("spent");
    }
}
