using System.Globalization;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Tests;

/// <summary>spec/envelope-v2.md section 10: when a request is made again, always under a new id and sealed anew.</summary>
public sealed class RepeatTests
{
    private static readonly RetryConfig AtOnce = new() { InitialInterval = TimeSpan.Zero, Jitter = TimeSpan.Zero, RetryServerErrors = false };

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_restarted_node_whose_new_key_has_the_old_id_is_verified_anew_and_answers()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        using var before = gateway.Node;
        gateway.Nodes[0] = new TestNode { IssuedAt = before.IssuedAt.AddSeconds(1) };
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        (gateway.Lists, gateway.Bundles, gateway.Relays).ShouldBe((2, 2, 3));
        var sent = gateway.Headers.ToArray();
        sent[1][RelayHeaders.KeySet].ShouldBe(before.KeySet);
        sent[2][RelayHeaders.KeySet].ShouldBe(gateway.Node.KeySet);
        sent.Select(headers => headers[RelayHeaders.RequestId]).Distinct().Count().ShouldBe(3);
    }

    [Fact]
    public async Task A_request_that_was_never_forwarded_is_made_again_and_one_that_may_have_been_is_not()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { Retries = AtOnce });
        gateway.Relay = context => gateway.Relays < 3 ? context.ProblemAsync(RequestError.ServiceUnavailable, forwarded: false) : gateway.RelayAsync(context);
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Relays.ShouldBe(3);
        gateway.Headers.Select(headers => headers[RelayHeaders.RequestId]).Distinct().Count().ShouldBe(3);
        foreach (var forwarded in (bool?[])[true, null])
        {
            var before = gateway.Relays;
            gateway.Relay = context => context.ProblemAsync(RequestError.ServiceUnavailable, forwarded);
            var failure = await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
            failure.Forwarded.ShouldBe(forwarded);
            gateway.Relays.ShouldBe(before + 1);
        }
    }

    [Fact]
    public async Task What_would_be_refused_again_is_not_made_again_though_it_was_never_forwarded()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { Retries = AtOnce });
        gateway.Relay = context => context.ProblemAsync(RequestError.BalanceError, forwarded: false);
        await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        gateway.Relays.ShouldBe(1);
    }

    [Fact]
    public async Task A_node_that_the_gateway_has_no_more_is_replaced_by_another()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Nodes.Clear();
        gateway.Nodes.Add(new TestNode { Id = 5 });
        gateway.Relay = context => context.Request.Path == "/v2/nodes/3/relay"
            ? context.ProblemAsync(RequestError.NotFound, forwarded: false)
            : gateway.RelayAsync(context);
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Asked.Last().ShouldBe("/v2/nodes/5/relay");
    }

    [Fact]
    public async Task A_clock_that_is_wrong_is_put_right_for_one_request_once()
    {
        var right = DateTimeOffset.UtcNow.AddHours(3);
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Serve = call => (call.Inner.Date - right).Duration() < TimeSpan.FromMinutes(2) ? call.WholeAsync(Chats.Answer) : RefuseAsync(call);
        using var client = gateway.Client();
        var answer = await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Relays.ShouldBe(4); // the second request trusts its own clock again
        gateway.Calls.Select(call => call.Inner.Request).Distinct().Count().ShouldBe(4);
        gateway.Serve = RefuseAsync;
        (await Should.ThrowAsync<NodeApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation))).Attempts.ShouldBe(2);
        gateway.Relays.ShouldBe(6);

        Task RefuseAsync(RelayedCall call) => call.WholeAsync(
            $$$"""{"error":{"message":"","type":"{{{ProblemDocument.Date}}}","param":"date","code":"INVALID_FIELD"}}""",
            400,
            new Field("date", right.ToString("r", CultureInfo.InvariantCulture)));
    }

    [Theory]
    [InlineData(RequestError.TooManyRequests)]
    [InlineData(RequestError.ServiceUnavailable)]
    public async Task The_nodes_own_word_that_there_is_no_room_is_followed_as_the_caller_says(RequestError error)
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Serve = call => gateway.Relays % 3 == 0 ? call.WholeAsync(Chats.Answer) : call.RefuseAsync(error);
        using var client = gateway.Client(options => options with { Retries = AtOnce });
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Relays.ShouldBe(3);
        using var other = gateway.Client();
        var failure = await Should.ThrowAsync<NodeApiException>(() => other.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        (failure.Status, failure.Code, failure.Attempts).ShouldBe((error.Row().Status, error.Row().Code, 1));
    }

    [Theory]
    [InlineData(RequestError.InvalidField)]
    [InlineData(RequestError.InferenceError)]
    [InlineData(RequestError.UnknownNodeKey)]
    public async Task Other_refusals_of_the_node_are_not(RequestError error)
    {
        await using var gateway = await RelayGateway.StartAsync(call => call.RefuseAsync(error));
        using var client = gateway.Client(options => options with { Retries = AtOnce });
        var failure = await Should.ThrowAsync<NodeApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        failure.Message.ShouldStartWith($"The node answered {error.Row().Status} {error.Row().Code}");
        (gateway.Relays, gateway.Lists).ShouldBe((1, 1));
    }
}
