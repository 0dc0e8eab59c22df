using System.Text.Json.Nodes;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;
using Xunit.Sdk;
using Xunit.v3;

[assembly: AssemblyFixture(typeof(RunningStack))]
[assembly: Parallelization(Mode = ParallelMode.None)] // the ledger is compared before and after

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>Each attack is refused as the specification says, charges nothing and takes nothing down.</summary>
public sealed class AttackTests(RunningStack stack) : IAsyncLifetime
{
    private readonly RawClient client = new(stack);
    private long usedBefore;

    public async ValueTask InitializeAsync() => usedBefore = await Ledger.SettledAsync(stack);

    public async ValueTask DisposeAsync()
    {
        (await Ledger.SettledAsync(stack)).ShouldBe(usedBefore, "something was charged");
        Ledger.Lost(stack).ShouldBe(0);
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "still there?", false));
        using var answer = await client.SendAsync(RawClient.ToJson(request));
        (await RawClient.OpenAsync(request, answer))["choices"]![0]!["message"]!["content"]!.GetValue<string>().ShouldBe(FixtureModel.Answer);
        await Ledger.SettledAsync(stack);
        client.Dispose();
    }

    [Theory]
    [InlineData("cc_wrong")]
    [InlineData("cc_abcdefgh_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("é")]
    [InlineData(" ")]
    public async Task A_wrong_key_is_refused_at_the_lock_and_at_the_request(string key)
    {
        using var stranger = new RawClient(stack, Uri.EscapeDataString(key));
        using var atLock = await stranger.PostAsync("/v1/nodes/lock", $$"""{"model":"{{stack.Model}}"}""");
        using var atRequest = await stranger.SendAsync(new JsonObject());

        (await RawClient.ErrorAsync(atLock)).ShouldBe((401, "AUTH_ERROR", null));
        (await RawClient.ErrorAsync(atRequest)).ShouldBe((401, "AUTH_ERROR", null));
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"ciphertext\":")]
    [InlineData("{} {}")]
    public async Task A_body_that_is_no_envelope_is_refused(string body)
    {
        using var answer = await client.PostAsync("/v1/confidential/chat/completions", body);

        (await RawClient.ErrorAsync(answer)).ShouldBe((400, "INVALID_JSON", null));
    }

    [Theory]
    [InlineData("nonce", 11)]
    [InlineData("nonce", 13)]
    [InlineData("salt", 15)]
    [InlineData("salt", 17)]
    [InlineData("client_dh_public_key", 31)]
    [InlineData("client_dh_public_key", 33)]
    [InlineData("node_dh_public_key", 31)]
    [InlineData("plaintext_body_hash", 64)]
    [InlineData("ciphertext", 15)]
    public async Task A_field_of_the_wrong_length_is_named(string field, int length)
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "x", false), timeout: 1);
        var envelope = RawClient.ToJson(request);
        envelope[field] = Convert.ToBase64String(new byte[length]);
        using var answer = await client.SendAsync(envelope);

        (await RawClient.ErrorAsync(answer)).ShouldBe((400, "INVALID_FIELD", field));
    }

    [Theory]
    [InlineData("nonce")]
    [InlineData("model_name")]
    [InlineData("stack_small_id")]
    public async Task A_missing_field_is_named(string field)
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "x", false), timeout: 1);
        var envelope = RawClient.ToJson(request);
        envelope.Remove(field);
        using var answer = await client.SendAsync(envelope);

        (await RawClient.ErrorAsync(answer)).ShouldBe((400, "INVALID_FIELD", field));
    }

    [Theory]
    [InlineData("ciphertext", 0)]
    [InlineData("ciphertext", -1)]
    [InlineData("nonce", 0)]
    [InlineData("salt", 0)]
    [InlineData("plaintext_body_hash", 0)]
    public async Task A_tampered_request_is_refused_without_saying_what_failed_and_its_lock_comes_back(string field, int at)
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "x", false));
        var envelope = RawClient.ToJson(request);
        var bytes = Convert.FromBase64String((string)envelope[field]!);
        bytes[at < 0 ? bytes.Length + at : at] ^= 1;
        var good = (string)envelope[field]!;
        envelope[field] = Convert.ToBase64String(bytes);
        using var answer = await client.SendAsync(envelope);
        (await RawClient.ErrorAsync(answer)).ShouldBe((400, "DECRYPTION_FAILED", null));

        // The lock that the refused request had claimed is there again: the next one gets as far as the node's next question.
        envelope[field] = good;
        envelope["stream"] = true;
        using var second = await client.SendAsync(envelope);
        (await RawClient.ErrorAsync(second)).ShouldBe((400, "STREAM_MISMATCH", null));
    }

    // The eight points of small order, and their spellings above the prime: RFC 7748 section 6.1 and cr.yp.to/ecdh.html.
    [Theory]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("0100000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")]
    [InlineData("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")]
    [InlineData("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]
    [InlineData("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]
    [InlineData("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000080")]
    public async Task A_low_order_client_key_is_refused(string key)
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "x", false), timeout: 1);
        var envelope = RawClient.ToJson(request);
        envelope["client_dh_public_key"] = Convert.ToBase64String(Convert.FromHexString(key));
        using var answer = await client.SendAsync(envelope);

        (await RawClient.ErrorAsync(answer)).ShouldBe((400, "INVALID_KEY", null));
    }

    [Fact]
    public async Task A_node_key_that_no_node_has_is_refused()
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "x", false), timeout: 1);
        var envelope = RawClient.ToJson(request);
        envelope["node_dh_public_key"] = Convert.ToBase64String(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32));
        using var answer = await client.SendAsync(envelope);

        (await RawClient.ErrorAsync(answer)).ShouldBe((400, "UNKNOWN_NODE_KEY", null));
    }

    [Fact]
    public async Task An_expired_lock_is_not_available()
    {
        using var user = new RawClient(stack, await stack.NewUserAsync());
        using var request = await user.SealAsync(RawClient.Chat(stack.Model, "x", false), timeout: 1);
        await Task.Delay(TimeSpan.FromSeconds(1.2), TestContext.Current.CancellationToken);
        using var answer = await user.SendAsync(RawClient.ToJson(request));

        (await RawClient.ErrorAsync(answer)).ShouldBe((425, "UNAVAILABLE_STACK", null));
    }

    [Fact]
    public async Task Anothers_lock_is_not_available()
    {
        using var thief = new RawClient(stack, await stack.NewUserAsync());
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "x", false), timeout: 1);
        using var answer = await thief.SendAsync(RawClient.ToJson(request));

        (await RawClient.ErrorAsync(answer)).ShouldBe((425, "UNAVAILABLE_STACK", null));
    }

    [Fact]
    public async Task A_stack_that_is_nobodys_is_not_available()
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "x", false), timeout: 1);
        var envelope = RawClient.ToJson(request);
        envelope["stack_small_id"] = 987654321;
        using var answer = await client.SendAsync(envelope);

        (await RawClient.ErrorAsync(answer)).ShouldBe((425, "UNAVAILABLE_STACK", null));
    }

    [Theory]
    [InlineData("""{"model":"other","messages":[],"stream":false}""", "MODEL_MISMATCH", null)]
    [InlineData("""{"model":"MODEL","messages":[],"stream":true}""", "STREAM_MISMATCH", null)]
    [InlineData("""{"model":"MODEL","messages":[]}""", "INVALID_FIELD", "stream")]
    [InlineData("""{"model":"MODEL","messages":[],"stream":"no"}""", "INVALID_FIELD", "stream")]
    [InlineData("""{"model":"MODEL","messages":[],"stream":null}""", "INVALID_FIELD", "stream")]
    [InlineData("""{"messages":[],"stream":false}""", "INVALID_FIELD", "model")]
    [InlineData("""{"model":"MODEL","model":"MODEL","messages":[],"stream":false}""", "INVALID_FIELD", "model")]
    [InlineData("""{"model":"MODEL","messages":[],"stream":false}""", "INVALID_FIELD", "messages")]
    [InlineData("""{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":false,"temperature":"hot"}""", "INVALID_FIELD", "temperature")]
    [InlineData("""{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":false,"tools":[{"type":"function","function":{"name":"f"}}]}""", "INVALID_FIELD", "tools")]
    [InlineData("""not json""", "INVALID_JSON", null)]
    [InlineData("""[]""", "INVALID_JSON", null)]
    public async Task A_request_that_opens_into_nonsense_is_refused_by_name(string inner, string code, string? param)
    {
        using var request = await client.SealAsync(inner.Replace("MODEL", stack.Model), timeout: 1);
        using var answer = await client.SendAsync(RawClient.ToJson(request));

        (await RawClient.ErrorAsync(answer)).ShouldBe((400, code, param));
    }

    [Fact]
    public async Task A_prompt_that_does_not_fit_is_refused()
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, new string('x', 100_000), false), timeout: 1);
        using var answer = await client.SendAsync(RawClient.ToJson(request));

        (await RawClient.ErrorAsync(answer)).ShouldBe((400, "CONTEXT_TOO_LARGE", null));
    }

    [Fact]
    public async Task The_node_serves_nobody_who_comes_around_the_gateway()
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "x", false), timeout: 1);
        using var http = new HttpClient { BaseAddress = stack.Node };
        using var content = new StringContent(RawClient.ToJson(request).ToJsonString());
        using var answer = await http.PostAsync("/v1/confidential/chat/completions", content, TestContext.Current.CancellationToken);

        (await RawClient.ErrorAsync(answer)).ShouldBe((401, "AUTH_ERROR", null));
    }
}
