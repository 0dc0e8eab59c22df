using System.Security.Cryptography;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/gateway.md section 4: whoever reaches the node without its gateway's word is told nothing but 401.</summary>
public sealed class TokenTests
{
    [Fact]
    public async Task A_sealed_request_with_a_fresh_token_is_served()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var call = node.Seal();
        var token = node.Gateway.Token();
        (await call.OpenAsync(await node.PostAsync(call, token))).ShouldBe(ScriptedBackend.Whole);

        var report = await node.Gateway.ReportAsync(token.Request);
        report.ShouldBe(new UsageReport(token.Request.Value, token.Model, Prompt: 3, Completion: 4, Pixels: 0));
    }

    [Fact]
    public async Task Without_a_good_token_nothing_is_served_and_nothing_is_marked()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        using var other = new RelayKey(RandomNumberGenerator.GetBytes(RelayKey.Size));
        var call = node.Seal();
        var good = node.Gateway.Token() with { KeySet = call.KeySet };
        (string What, string? Token)[] bad =
        [
            ("none", null),
            ("junk", "junk"),
            ("another gateway's", good.Write(other)),
            ("another node's", (good with { Node = new NodeId(8) }).Write(node.Gateway.RelayKey)),
            ("another path's", (good with { Endpoint = "/v1/confidential/completions" }).Write(node.Gateway.RelayKey)),
            ("an expired one", (good with { Expires = DateTimeOffset.UtcNow.AddSeconds(-61) }).Write(node.Gateway.RelayKey)),
            ("one that holds too long", (good with { Expires = DateTimeOffset.UtcNow.AddSeconds(125) }).Write(node.Gateway.RelayKey)),
        ];
        foreach (var (what, token) in bad)
        {
            using var response = await node.PostAsync(call.Body, token);
            ((int)response.StatusCode).ShouldBe(401, what);
            await response.ShouldBeAsync(RequestError.AuthError);
        }

        (await call.OpenAsync(await node.PostAsync(call, good))).ShouldBe(ScriptedBackend.Whole);
    }

    // Whoever stands between gateway and node has the envelope and its token, and chooses the path.
    [Theory]
    [InlineData("/v1/confidential/embeddings")]
    [InlineData("/v1/confidential/completions")]
    [InlineData("/v1/confidential/images/generations")]
    public async Task A_chat_envelope_that_is_turned_to_another_endpoint_on_its_way_is_not_opened_there(string path)
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var call = node.Seal();
        var token = (node.Gateway.Token() with { KeySet = call.KeySet }).Write(node.Gateway.RelayKey);
        await (await node.PostToAsync(path, call.Body, token)).ShouldBeAsync(RequestError.AuthError);

        // Nothing else was wrong with it, and nothing is spent: at its own path it is served.
        (await call.OpenAsync(await node.PostToAsync(NodeUnderTest.ChatPath, call.Body, token))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task A_token_serves_once_whatever_it_is_sent_with()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var token = node.Gateway.Token();
        var first = node.Seal();
        (await first.OpenAsync(await node.PostAsync(first, token))).ShouldBe(ScriptedBackend.Whole);
        await (await node.PostAsync(node.Seal(), token)).ShouldBeAsync(RequestError.AuthError);
        await (await node.PostAsync(node.Seal(), token with { Units = new ComputeUnits(1) })).ShouldBeAsync(RequestError.AuthError);
    }

    [Fact]
    public async Task A_token_for_another_model_or_key_set_than_the_envelopes_is_refused()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var call = node.Seal();
        await (await node.PostAsync(call, node.Gateway.Token() with { Model = "another" })).ShouldBeAsync(RequestError.AuthError);
        node.Ring.TryRotate();
        // The node holds both.
        await (await node.PostAsync(call, node.Gateway.Token() with { KeySet = node.Ring.Current.Digest })).ShouldBeAsync(RequestError.AuthError);
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task A_key_that_the_node_does_not_hold_is_unknown_whatever_the_token_says_of_it()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        await using var other = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var call = other.Seal();
        await (await node.PostAsync(call)).ShouldBeAsync(RequestError.UnknownNodeKey);
        await (await node.PostAsync(call, node.Gateway.Token() with { KeySet = node.Ring.Current.Digest })).ShouldBeAsync(RequestError.UnknownNodeKey);
    }

    [Fact]
    public async Task A_model_that_the_engine_does_not_serve_is_not_found()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        await (await node.PostAsync(node.Seal(model: "another"), node.Gateway.Token() with { Model = "another" })).ShouldBeAsync(RequestError.ModelNotFound);
    }
}
