using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

public class LockTests
{
    [Fact]
    public async Task A_model_that_its_node_cannot_serve_just_now_is_not_unknown()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await LockedNode.LockAsync(user);
        node.Models = ["another"];
        await node.BeatAsync();
        await (await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}""")))
            .ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
    }

    [Fact]
    public async Task A_lock_names_node_key_stack_and_null()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();

        var response = await user.PostAsync("/v1/nodes/lock", Http.Json("""{"model":"test-model","extra":[1,{}]}"""));

        (await response.Content.ReadAsStringAsync()).ShouldBe(
            $$"""{"public_key":"{{node.KeySets[0].X25519.ToString().Replace("+", "\\u002B", StringComparison.Ordinal)}}","node_small_id":1,"stack_small_id":1,"stack_entry_digest":null,"price":null}""");
        var stack = await gateway.StackAsync();
        (stack.Total, stack.Used, stack.Reserved).ShouldBe((1_000_000_000, 0, 8192));
    }

    [Fact]
    public async Task The_node_that_is_wanted_is_locked_and_no_other_in_its_place()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var first = await ScriptedNode.StartAsync(gateway);
        await using var second = await ScriptedNode.StartAsync(gateway);
        foreach (var node in (ScriptedNode[])[first, second])
            await node.BeatAsync();
        using var user = await gateway.UserAsync();
        foreach (var wanted in (ScriptedNode[])[second, first, second])
            (await LockedNode.LockAsync(user, $$"""{"model":"{{GatewayUnderTest.Model}}","node_small_id":{{wanted.Id}}}""")).Node.ShouldBe(wanted.Id);
        second.State = NodeState.Draining;
        await second.BeatAsync();
        foreach (var gone in (long[])[second.Id, 99])
            await (await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}","node_small_id":{{gone}}}""")))
                .ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        (await LockedNode.LockAsync(user)).Node.ShouldBe(first.Id);
    }

    [Theory]
    [InlineData("", "INVALID_JSON", null)]
    [InlineData("[]", "INVALID_JSON", null)]
    [InlineData("{\"model\":\"test-model\"", "INVALID_JSON", null)]
    [InlineData("{\"model\":\"test-model\"}{}", "INVALID_JSON", null)]
    [InlineData("{}", "INVALID_FIELD", "model")]
    [InlineData("{\"model\":7}", "INVALID_FIELD", "model")]
    [InlineData("{\"model\":null}", "INVALID_FIELD", "model")]
    [InlineData("{\"model\":\"\"}", "INVALID_FIELD", "model")]
    [InlineData("{\"model\":\"\\ud800\"}", "INVALID_FIELD", "model")]
    [InlineData("{\"model\":\"test-model\",\"model\":\"other\"}", "INVALID_FIELD", "model")]
    [InlineData("{\"model\":\"test-model\",\"max_num_tokens\":0}", "INVALID_FIELD", "max_num_tokens")]
    [InlineData("{\"model\":\"test-model\",\"max_num_tokens\":-1}", "INVALID_FIELD", "max_num_tokens")]
    [InlineData("{\"model\":\"test-model\",\"max_num_tokens\":1.5}", "INVALID_FIELD", "max_num_tokens")]
    [InlineData("{\"model\":\"test-model\",\"node_small_id\":-1}", "INVALID_FIELD", "node_small_id")]
    [InlineData("{\"model\":\"test-model\",\"node_small_id\":\"1\"}", "INVALID_FIELD", "node_small_id")]
    [InlineData("{\"model\":\"test-model\",\"node_small_id\":1,\"node_small_id\":1}", "INVALID_FIELD", "node_small_id")]
    [InlineData("{\"model\":\"test-model\",\"max_num_tokens\":\"1\"}", "INVALID_FIELD", "max_num_tokens")]
    [InlineData("{\"model\":\"test-model\",\"max_num_tokens\":99999999999999999999}", "INVALID_FIELD", "max_num_tokens")]
    [InlineData("{\"model\":\"test-model\",\"timeout\":0}", "INVALID_FIELD", "timeout")]
    [InlineData("{\"model\":\"test-model\",\"timeout\":61}", "INVALID_FIELD", "timeout")]
    [InlineData("{\"model\":\"test-model\",\"timeout\":true}", "INVALID_FIELD", "timeout")]
    [InlineData("{\"model\":\"test-model\",\"timeout\":5,\"timeout\":5}", "INVALID_FIELD", "timeout")]
    public async Task A_faulty_lock_request_is_named(string body, string code, string? param)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var user = await gateway.UserAsync();
        await (await user.PostAsync("/v1/nodes/lock", Http.Json(body))).ShouldBeErrorAsync(400, code, param);
    }

    [Fact]
    public async Task Null_amounts_are_no_fault_and_the_wrong_content_type_is()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await LockedNode.LockAsync(user, """{"model":"test-model","max_num_tokens":null,"timeout":null}""");
        await (await user.PostAsync("/v1/nodes/lock", new StringContent("{}"))).ShouldBeErrorAsync(415, "UNSUPPORTED_MEDIA_TYPE");
    }

    [Fact]
    public async Task An_unknown_model_is_not_found()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await (await LockAsync(user, "other")).ShouldBeErrorAsync(404, "MODEL_NOT_FOUND");
    }

    [Fact]
    public async Task A_silent_node_gets_no_locks_until_it_is_heard_again()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        gateway.Clock.Advance(TimeSpan.FromSeconds(16));
        await (await LockAsync(user)).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        (await (await user.GetAsync("/v1/models")).JsonAsync()).GetProperty("data").GetArrayLength().ShouldBe(0);

        (await node.BeatAsync()).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);

        (await LockAsync(user)).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);
        (await (await user.GetAsync("/v1/models")).JsonAsync()).GetProperty("data")[0].GetProperty("id").GetString().ShouldBe("test-model");
    }

    [Fact]
    public async Task A_draining_node_and_a_node_with_an_expired_key_get_no_locks()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();

        node.State = NodeState.Draining;
        await node.BeatAsync();
        await (await LockAsync(user)).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");

        node.State = NodeState.Ready;
        node.KeySets = [ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow())];
        await node.BeatAsync();
        await (await LockAsync(user)).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
    }

    [Fact]
    public async Task The_least_loaded_node_is_chosen()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var busy = await ScriptedNode.StartAsync(gateway);
        await using var idle = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        busy.Running = 3;
        await busy.BeatAsync();
        (await LockedNode.LockAsync(user)).Node.ShouldBe(idle.Id);
        idle.Running = 4;
        await idle.BeatAsync();
        (await LockedNode.LockAsync(user)).Node.ShouldBe(busy.Id);
    }

    [Fact]
    public async Task A_full_stack_is_402_until_its_locks_expire()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { StackUnits = 10_000 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await LockedNode.LockAsync(user);
        await (await LockAsync(user)).ShouldBeErrorAsync(402, "BALANCE_ERROR");

        gateway.Clock.Advance(TimeSpan.FromSeconds(5));

        await LockedNode.LockAsync(user);
        (await gateway.StackAsync()).Reserved.ShouldBe(8192);
    }

    [Fact]
    public async Task Two_first_locks_at_once_make_one_stack()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => LockedNode.LockAsync(user)));
        (await gateway.ReadAsync(state => state.Stacks.CountAsync())).ShouldBe(1);
        (await gateway.StackAsync()).Reserved.ShouldBe(20 * 8192);
    }

    private static Task<HttpResponseMessage> LockAsync(HttpClient user, string model = "test-model") =>
        user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{model}}"}"""));
}
