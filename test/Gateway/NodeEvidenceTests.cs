using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/envelope-v2.md sections 1 and 2: what a client asks before it seals anything.</summary>
public sealed class NodeEvidenceTests : IDisposable
{
    private const string List = $"/v2/nodes?model={GatewayUnderTest.Model}";

    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Fact]
    public async Task The_list_names_the_bundle_of_the_newest_key_set_and_has_a_tag()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await node.AttestAsync(platform);
        var newest = await node.AttestAsync(platform);
        await using var unattested = await ScriptedNode.StartAsync(gateway); // of envelope v1 alone
        await unattested.BeatAsync();
        using var user = await gateway.UserAsync();

        using var response = await user.GetAsync(List);
        var tag = response.Headers.ETag!;
        response.Headers.CacheControl!.ToString().ShouldBe("no-cache, private");
        var listed = (await response.JsonAsync()).GetProperty("nodes").EnumerateArray().ShouldHaveSingleItem();
        listed.EnumerateObject().Select(member => member.Name).ShouldBe(["id", "key_set", "bundle", "not_after", "models", "price", "load"]);
        listed.GetProperty("id").GetInt64().ShouldBe(node.Id);
        listed.GetProperty("key_set").GetString().ShouldBe(newest.Digest.ToString());
        listed.GetProperty("bundle").GetString().ShouldBe(Convert.ToHexStringLower(newest.Bundle!.Value.Span));
        listed.GetProperty("not_after").GetInt64().ShouldBe(newest.Expires.ToUnixTimeSeconds());
        listed.GetProperty("models").EnumerateArray().ShouldHaveSingleItem().GetString().ShouldBe(GatewayUnderTest.Model);
        listed.GetProperty("price").ValueKind.ShouldBe(JsonValueKind.Null);

        (await AskAsync(user, List, tag.ToString())).StatusCode.ShouldBe(HttpStatusCode.NotModified);
        (await AskAsync(user, List, $"\"other\", W/{tag}")).StatusCode.ShouldBe(HttpStatusCode.NotModified);
        (await AskAsync(user, List, "\"other\"")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await AskAsync(user, List, "no tag")).StatusCode.ShouldBe(HttpStatusCode.OK);

        await node.AttestAsync(platform);
        (await AskAsync(user, List, tag.ToString())).StatusCode.ShouldBe(HttpStatusCode.OK); // there is another bundle
    }

    [Fact]
    public async Task A_list_is_of_eight_at_most_and_says_why_there_is_none()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var nodes = new List<ScriptedNode>();
        using var user = await gateway.UserAsync();
        await (await user.GetAsync("/v2/nodes")).ShouldBeProblemAsync(RequestError.InvalidField, forwarded: false, "model");
        await (await user.GetAsync("/v2/nodes?model=a&model=b")).ShouldBeProblemAsync(RequestError.InvalidField, forwarded: false, "model");
        await (await user.GetAsync(List)).ShouldBeProblemAsync(RequestError.ModelNotFound, forwarded: false);
        try
        {
            for (var started = 0; started < 9; started++)
            {
                nodes.Add(await ScriptedNode.StartAsync(gateway));
                await nodes[^1].AttestAsync(platform);
            }

            (await (await user.GetAsync(List)).JsonAsync()).GetProperty("nodes").GetArrayLength().ShouldBe(8);
            foreach (var node in nodes)
            {
                node.State = Protocol.Relay.NodeState.Draining;
                await node.BeatAsync();
            }

            await (await user.GetAsync(List)).ShouldBeProblemAsync(RequestError.ServiceUnavailable, forwarded: false);
        }
        finally
        {
            foreach (var node in nodes)
                await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_bundle_is_fetched_once_for_everybody_and_given_as_it_is()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        using var alice = await gateway.UserAsync("alice");
        using var bob = await gateway.UserAsync("bob");
        foreach (var user in (HttpClient[])[alice, bob, alice])
        {
            using var response = await user.GetAsync($"/v2/nodes/{node.Id}/evidence");
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            response.Content.Headers.ContentType!.MediaType.ShouldBe("application/json");
            (await response.Content.ReadAsByteArrayAsync()).ShouldBe(node.Bundle);
            response.Headers.ETag!.Tag.ShouldBe($"\"{Convert.ToHexStringLower(keys.Bundle!.Value.Span)}\"");
        }

        node.BundlesGiven.ShouldBe(1);
        (await AskAsync(bob, $"/v2/nodes/{node.Id}/evidence", $"\"{Convert.ToHexStringLower(keys.Bundle!.Value.Span)}\"")).StatusCode
            .ShouldBe(HttpStatusCode.NotModified);
        await node.AttestAsync(platform);
        (await bob.GetByteArrayAsync($"/v2/nodes/{node.Id}/evidence")).ShouldBe(node.Bundle);
        node.BundlesGiven.ShouldBe(1);
    }

    [Fact]
    public async Task Who_asks_while_a_bundle_is_on_its_way_waits_for_that_one_and_who_leaves_takes_it_from_nobody()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await node.AttestAsync(platform);
        var gate = new TaskCompletionSource();
        node.BundleGate = gate.Task;
        using var user = await gateway.UserAsync();
        using var leaving = new CancellationTokenSource();
        var first = user.GetAsync($"/v2/nodes/{node.Id}/evidence", leaving.Token);
        await Waiting.UntilAsync(() => node.BundlesGiven == 1);
        var others = Enumerable.Range(0, 20).Select(_ => user.GetByteArrayAsync($"/v2/nodes/{node.Id}/evidence")).ToList();
        await leaving.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => first);
        gate.SetResult();
        foreach (var bundle in await Task.WhenAll(others).Soon())
            bundle.ShouldBe(node.Bundle);
        node.BundlesGiven.ShouldBe(1);
    }

    [Fact]
    public async Task Another_bundle_than_the_announced_one_is_given_to_nobody_and_said_in_the_log()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await node.AttestAsync(platform);
        var older = node.Bundle!;
        await node.AttestAsync(platform);
        using var user = await gateway.UserAsync();
        foreach (var wrong in (byte[][])[older, [], "{}"u8.ToArray(), new byte[Attestation.Bounds.Bundle + 1]])
        {
            node.Bundle = wrong;
            await (await user.GetAsync($"/v2/nodes/{node.Id}/evidence")).ShouldBeProblemAsync(RequestError.ServiceUnavailable, forwarded: false);
        }

        gateway.Log.Text.ShouldContain($"Node {node.Id} gave a bundle that is not the one that it announced");
        node.Bundle = null;
        await (await user.GetAsync($"/v2/nodes/{node.Id}/evidence")).ShouldBeProblemAsync(RequestError.ServiceUnavailable, forwarded: false);
    }

    [Fact]
    public async Task Keys_that_are_not_the_announced_ones_are_given_to_nobody()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var first = await node.AttestAsync(platform);
        var bundle = node.Bundle;
        var second = await node.AttestAsync(platform);
        // The bundle of the first set, announced as the second one's.
        node.KeySets = [second with { Bundle = first.Bundle, Expires = second.Expires.AddMinutes(1) }];
        await node.BeatAsync();
        node.Bundle = bundle;
        using var user = await gateway.UserAsync();
        await (await user.GetAsync($"/v2/nodes/{node.Id}/evidence")).ShouldBeProblemAsync(RequestError.ServiceUnavailable, forwarded: false);
    }

    [Theory]
    [InlineData("99")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("99999999999999999999")]
    [InlineData("one")]
    [InlineData("1%20")]
    public async Task A_node_that_nobody_knows_is_404(string id)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await node.AttestAsync(platform);
        using var user = await gateway.UserAsync();
        await (await user.GetAsync($"/v2/nodes/{id}/evidence")).ShouldBeProblemAsync(RequestError.NotFound, forwarded: false);
        await (await user.PostAsync($"/v2/nodes/{id}/evidence", Challenge)).ShouldBeProblemAsync(RequestError.NotFound, forwarded: false);
        await (await user.SendAsync(new SealedCall(node.Id, node.KeySets[0].Digest) { Url = $"/v2/nodes/{id}/relay" }.Request()))
            .ShouldBeProblemAsync(RequestError.NotFound, forwarded: false);
    }

    [Fact]
    public async Task Without_a_key_nothing_is_said_of_nodes()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await node.AttestAsync(platform);
        using var anyone = gateway.Client();
        foreach (var path in (string[])[List, $"/v2/nodes/{node.Id}/evidence", $"/v2/collateral/{new string('0', 64)}"])
            await (await anyone.GetAsync(path)).ShouldBeProblemAsync(RequestError.AuthError, forwarded: false);
        await (await anyone.PostAsync($"/v2/nodes/{node.Id}/evidence", Challenge)).ShouldBeProblemAsync(RequestError.AuthError, forwarded: false);
        node.BundlesGiven.ShouldBe(0);
    }

    [Fact]
    public async Task A_challenge_goes_to_the_node_with_a_token_for_evidence_and_its_answer_comes_back()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, """{"live":1}""");
        using var user = await gateway.UserAsync();
        using var response = await user.PostAsync($"/v2/nodes/{node.Id}/evidence", Challenge);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await response.Content.ReadAsStringAsync()).ShouldBe("""{"live":1}""");
        var seen = await node.SeenAsync();
        seen.Path.ShouldBe("/v2/evidence");
        seen.Body.ShouldBe(await Challenge.ReadAsByteArrayAsync());
        var token = seen.Token();
        (token.Node.Value, token.KeySet, token.Endpoint, token.Units.Value).ShouldBe((node.Id, keys.Digest, RelayHeaders.EvidenceEndpoint, 0));
        seen.Headers.ContainsKey("Authorization").ShouldBeFalse();
        (await gateway.ReservationsAsync()).ShouldBeEmpty();
    }

    [Theory]
    [InlineData(400, RequestError.InvalidField, "challenge")]
    [InlineData(429, RequestError.TooManyRequests, null)]
    [InlineData(401, RequestError.ServiceUnavailable, null)]
    [InlineData(500, RequestError.ServiceUnavailable, null)]
    [InlineData(302, RequestError.ServiceUnavailable, null)]
    public async Task What_a_node_says_to_a_challenge_is_told_in_the_gateways_words(int status, RequestError error, string? param)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await node.AttestAsync(platform);
        node.Script = context => ScriptedNode.AnswerAsync(context, status, "the node's own words");
        using var user = await gateway.UserAsync();
        using var response = await user.PostAsync($"/v2/nodes/{node.Id}/evidence", Challenge);
        await response.ShouldBeProblemAsync(error, forwarded: null, param);
        (await response.Content.ReadAsStringAsync()).ShouldNotContain("own words");
    }

    [Fact]
    public async Task A_challenge_is_small_and_takes_a_place()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxRelaysPerUser = 1 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        await node.AttestAsync(platform);
        using var user = await gateway.UserAsync();
        await (await user.PostAsync($"/v2/nodes/{node.Id}/evidence", Http.Json(new byte[5000])))
            .ShouldBeProblemAsync(RequestError.BodyTooLarge, forwarded: null);
        await (await user.PostAsync($"/v2/nodes/{node.Id}/evidence", new StringContent("{}")))
            .ShouldBeProblemAsync(RequestError.UnsupportedMediaType, forwarded: null);
        node.RequestsSeen.ShouldBe(0);

        var (arrived, free) = (new TaskCompletionSource(), new TaskCompletionSource());
        node.Script = async context =>
        {
            arrived.SetResult();
            await free.Task;
            await ScriptedNode.AnswerAsync(context, 200, "{}");
        };
        var waiting = user.PostAsync($"/v2/nodes/{node.Id}/evidence", Challenge);
        await arrived.Task.Soon();
        await (await user.PostAsync($"/v2/nodes/{node.Id}/evidence", Challenge)).ShouldBeProblemAsync(RequestError.TooManyRequests, forwarded: false);
        free.SetResult();
        (await waiting).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Collateral_is_what_lies_under_its_own_digest_and_nothing_else()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var user = await gateway.UserAsync();
        var content = RandomNumberGenerator.GetBytes(5000);
        var digest = Convert.ToHexStringLower(SHA256.HashData(content));
        var folder = Directory.CreateDirectory(Path.Combine(gateway.DataDirectory, "collateral")).FullName;
        await File.WriteAllBytesAsync(Path.Combine(folder, digest), content);
        using (var response = await user.GetAsync($"/v2/collateral/{digest}"))
        {
            (await response.Content.ReadAsByteArrayAsync()).ShouldBe(content);
            response.Content.Headers.ContentType!.MediaType.ShouldBe("application/octet-stream");
            (await AskAsync(user, $"/v2/collateral/{digest}", response.Headers.ETag!.ToString())).StatusCode.ShouldBe(HttpStatusCode.NotModified);
        }

        var other = new string('a', 64);
        await File.WriteAllBytesAsync(Path.Combine(folder, other), content);
        var large = new byte[(1 << 20) + 1];
        var largeName = Convert.ToHexStringLower(SHA256.HashData(large));
        await File.WriteAllBytesAsync(Path.Combine(folder, largeName), large);
        foreach (var name in (string[])[other, largeName, new string('0', 64), digest.ToUpperInvariant(), digest[1..], "..%2Fgateway.db", "..%5cgateway.db"])
            await (await user.GetAsync($"/v2/collateral/{name}")).ShouldBeProblemAsync(RequestError.NotFound, forwarded: false);
        gateway.Log.Text.ShouldContain($"collateral/{other} is not what its name says");
    }

    private static StringContent Challenge => Http.Json($$"""{"challenge":"{{Convert.ToBase64String(new byte[32])}}"}""");

    private static Task<HttpResponseMessage> AskAsync(HttpClient user, string path, string tag)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.TryAddWithoutValidation("If-None-Match", tag);
        return user.SendAsync(request);
    }
}
