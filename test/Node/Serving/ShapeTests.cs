using System.Net;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/envelope-v1.md section 9: whatever is asked of the node, its refusals have one shape.</summary>
public sealed class ShapeTests
{
    [Theory]
    [InlineData("GET", "/", RequestError.NotFound)]
    [InlineData("POST", "/v1/chat", RequestError.NotFound)]
    [InlineData("GET", "/v1/confidential/chat/completions/", RequestError.MethodNotAllowed)]
    [InlineData("GET", NodeUnderTest.ChatPath, RequestError.MethodNotAllowed)]
    [InlineData("POST", "/health", RequestError.MethodNotAllowed)]
    public async Task Paths_and_methods_that_are_not_there_are_refused(string method, string path, RequestError error)
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri(node.Url, path));
        await (await node.Client.SendAsync(request)).ShouldBeAsync(error);
    }

    [Theory]
    [InlineData("POST", "/v1/chat/completions")]
    [InlineData("GET", "/v1/embeddings")]
    public async Task A_client_that_asks_a_node_in_plain_is_told_in_its_own_shape_whom_to_ask(string method, string path)
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri(node.Url, path));
        if (method == "POST")
            request.Content = new StringContent("""{"model":"m","messages":[{"role":"user","content":"a prompt in plain"}]}""");
        using var answer = await node.Client.SendAsync(request);
        ((int)answer.StatusCode).ShouldBe(404);
        var error = System.Text.Json.JsonElement.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).GetProperty("error");
        error.EnumerateObject().Select(member => member.Name).ShouldBe(["message", "type", "param", "code"]);
        (error.GetProperty("type").GetString(), error.GetProperty("code").GetString()).ShouldBe(("invalid_request_error", "NOT_FOUND"));
        error.GetProperty("message").GetString()!.ShouldContain("ask the gateway");
    }

    [Fact]
    public async Task A_body_above_the_limit_is_refused_whether_or_not_it_says_its_length()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { MaxBodyBytes = 10_000 });
        await (await node.PostAsync(new byte[10_001], node.Gateway.Token().Write(node.Gateway.RelayKey))).ShouldBeAsync(RequestError.BodyTooLarge);
        await (await node.PostAsync(new Chunked(10_001), node.Gateway.Token().Write(node.Gateway.RelayKey))).ShouldBeAsync(RequestError.BodyTooLarge);
        await (await node.PostAsync(new Chunked(1_000_000), node.Gateway.Token().Write(node.Gateway.RelayKey))).ShouldBeAsync(RequestError.BodyTooLarge);
        await (await node.PostAsync(new byte[10_000], node.Gateway.Token().Write(node.Gateway.RelayKey))).ShouldBeAsync(RequestError.InvalidJson);
        await (await node.PostAsync(new Chunked(10_000), node.Gateway.Token().Write(node.Gateway.RelayKey))).ShouldBeAsync(RequestError.InvalidJson);
        var call = node.Seal();
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task A_request_sealed_to_a_key_that_the_node_does_not_hold_is_told_so()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var call = node.Seal();
        for (var i = 0; i < KeySet.MaxHeld; i++)
            node.Ring.TryRotate(eraseNow: true);
        await (await node.PostAsync(call)).ShouldBeAsync(RequestError.UnknownNodeKey);
    }

    [Fact]
    public async Task Junk_and_tampered_envelopes_are_refused_and_leave_nothing_behind()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        await (await node.PostAsync([], node.Gateway.Token().Write(node.Gateway.RelayKey))).ShouldBeAsync(RequestError.InvalidJson);
        await (await node.PostAsync("[]"u8.ToArray(), node.Gateway.Token().Write(node.Gateway.RelayKey))).ShouldBeAsync(RequestError.InvalidJson);

        var call = node.Seal();
        var tampered = call.Body.ToArray();
        var at = tampered.AsSpan().IndexOf("ciphertext\":\""u8) + 13;
        tampered[at] = tampered[at] == 'A' ? (byte)'B' : (byte)'A';
        await (await node.PostAsync(call with { Body = tampered })).ShouldBeAsync(RequestError.DecryptionFailed);
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task Nothing_of_a_request_or_its_answer_is_in_the_log()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var call = node.Seal();
        var token = node.Gateway.Token();
        var text = node.Gateway.Write(token, NodeUnderTest.ChatPath, call);
        await call.OpenAsync(await node.PostAsync(call.Body, text));
        await node.Gateway.ReportAsync(token.Request);
        node.Log.Text.ShouldContain($"Request {token.Request}: OK, 3 + 4 tokens");
        string[] secrets =
        [
            "an answer", "messages", text, text[..40], ScriptedGateway.EnrolmentToken,
            Convert.ToBase64String(call.Request.Envelope.Ciphertext.Span)[..20], Convert.ToBase64String(call.Request.Envelope.PlaintextBodyHash.Span),
        ];
        foreach (var secret in secrets)
            node.Log.Text.Contains(secret, StringComparison.Ordinal).ShouldBeFalse();
    }

    /// <summary>A body that does not say its length.</summary>
    private sealed class Chunked(int size) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            var block = new byte[10_000];
            for (var left = size; left > 0; left -= block.Length)
                await stream.WriteAsync(block.AsMemory(0, Math.Min(block.Length, left)));
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
