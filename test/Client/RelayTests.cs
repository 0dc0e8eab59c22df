using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Tests;

/// <summary>spec/envelope-v2.md with everybody honest: what the node sees, what the gateway sees, and what comes back.</summary>
public sealed class RelayTests
{
    [Fact]
    public async Task A_question_is_answered_by_a_verified_node()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        VerifiedNode? told = null;
        var options = new CallOptions { OnNode = node => told = node };
        await using var answer = await client.SendAsync(
            InferenceEndpoint.ChatCompletions, Encoding.UTF8.GetBytes("""{"model":"tiny","messages":[]}"""), options);
        answer.IsStream.ShouldBeFalse();
        answer.ContentType.ShouldBe("application/json");
        Encoding.UTF8.GetString((await answer.ReadWholeAsync()).Span).ShouldBe(Chats.Answer);
        answer.Node.ShouldBeSameAs(told);
        (answer.Node.Id.Value, answer.Node.Tee, answer.Node.KeySet.ToString()).ShouldBe((3, "simulated", gateway.Node.KeySet));
        answer.Node.Verdict.IsAccepted.ShouldBeTrue();
    }

    [Fact]
    public async Task The_gateway_sees_a_bound_a_size_class_and_no_header_of_the_application()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request, TestContext.Current.CancellationToken);
        var (call, headers) = (gateway.Calls.Single(), gateway.Headers.Single());
        headers.Keys.Order(StringComparer.OrdinalIgnoreCase).ShouldBe(
            ["Accept", "Authorization", "Confidential-Key-Set", "Confidential-Max-Price", "Confidential-Max-Units", "Confidential-Model",
                "Confidential-Request-Id", "Content-Length", "Content-Type", "Host", "Incremental"]);
        call.MessageSize.ShouldBe(2048);
        headers[RelayHeaders.MaxUnits].ToString().ShouldBe("16384"); // 2048 of the prompt and 8192, up to a power of two
        call.Inner.Fits(Id(headers[RelayHeaders.RequestId]!), "tiny", new ComputeUnits(16384)).ShouldBeNull();
        call.Inner.Path.ShouldBe("/v1/chat/completions");
        call.Inner.Date.Second.ShouldBe(0);
        (DateTimeOffset.UtcNow - call.Inner.Date).ShouldBeLessThan(TimeSpan.FromMinutes(2));
        call.Inner.Request.Value.Version.ShouldBe(4);
        JsonNode.Parse(call.Json)!["messages"]![0]!["content"]!.ToString().ShouldBe(Chats.Prompt);
    }

    [Fact]
    public async Task A_stream_comes_event_by_event_past_padding_and_signs_of_life()
    {
        var goOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.Writer.KeepAlive();
            await call.FlushAsync();
            call.BeginStream();
            await call.SendAsync(Chats.Chunk("a"));
            await goOn.Task;
            call.Writer.KeepAlive();
            await call.SendAsync(Chats.Chunk("b", "stop"));
            await call.SendAsync("[DONE]");
            call.Writer.EndStream();
            await call.FlushAsync();
        });
        using var client = gateway.Client();
        var seen = new List<string>();
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Chats.Request, TestContext.Current.CancellationToken))
        {
            seen.Add(chunk.Choices[0].Delta!.Content!);
            goOn.TrySetResult(); // the first is here before the second exists
        }

        seen.ShouldBe(["a", "b"]);
    }

    [Fact]
    public async Task A_warm_call_asks_for_the_relay_alone()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        for (var i = 0; i < 5; i++)
            await client.ConfidentialChat.CreateAsync(Chats.Request, TestContext.Current.CancellationToken);
        (gateway.Lists, gateway.Bundles, gateway.Relays).ShouldBe((1, 1, 5));
        gateway.Calls.Select(call => call.Inner.Request).Distinct().Count().ShouldBe(5);
    }

    [Fact]
    public async Task Callers_who_come_together_share_one_look_at_the_nodes()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => client.ConfidentialChat.CreateAsync(Chats.Request, TestContext.Current.CancellationToken)));
        (gateway.Lists, gateway.Bundles, gateway.Relays).ShouldBe((1, 1, 20));
    }

    [Theory]
    [InlineData(1_000)]
    [InlineData(100_000)]
    [InlineData(3_000_000)]
    public async Task A_large_request_and_a_large_answer_come_whole(int size)
    {
        var text = new string('x', size);
        await using var gateway = await RelayGateway.StartAsync(call => call.WholeAsync(Chats.Answer.Replace(Chats.Secret, text, StringComparison.Ordinal)));
        using var client = gateway.Client();
        var request = new ChatCompletionRequest { Model = "tiny", Messages = [ChatMessage.User(text)] };
        var answer = await client.ConfidentialChat.CreateAsync(request, TestContext.Current.CancellationToken);
        answer.Choices[0].Message!.Content!.Text.ShouldBe(text);
        JsonNode.Parse(gateway.Calls.Single().Json)!["messages"]![0]!["content"]!.ToString().ShouldBe(text);
    }

    [Fact]
    public async Task A_policy_that_wants_a_challenge_challenges_the_node()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { Policy = TestNode.Simulated with { RequireNonce = true } });
        await client.ConfidentialChat.CreateAsync(Chats.Request, TestContext.Current.CancellationToken);
        gateway.Bundles.ShouldBe(1);
    }

    private static RequestId Id(string text)
    {
        RequestId.TryParse(text, out var id).ShouldBeTrue();
        return id;
    }
}
