using System.Net;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>Every row of the table of confidential endpoints takes the same way.</summary>
public sealed class EndpointTests
{
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
