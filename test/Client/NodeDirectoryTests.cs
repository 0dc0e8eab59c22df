using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Tests;

/// <summary>spec/envelope-v2.md section 2: for how long a verdict is kept, who is drawn, and what a look at the nodes costs.</summary>
public sealed class NodeDirectoryTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_verdict_that_ends_while_a_stream_runs_leaves_it_running_and_the_next_call_verifies_anew()
    {
        var time = new ShiftedTime();
        var goOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync(Chats.Chunk("a"));
            await goOn.Task;
            await call.SendAsync(Chats.Chunk("b", "stop"));
            call.Writer.EndStream();
            await call.FlushAsync();
        });
        using var client = gateway.Client(options => options with { TimeProvider = time });
        var seen = new List<string>();
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Chats.Request, Cancellation))
        {
            seen.Add(chunk.Choices[0].Delta!.Content!);
            if (seen.Count > 1)
                continue;
            time.Pass(TimeSpan.FromHours(2));
            gateway.Nodes.Add(new TestNode { IssuedAt = time.GetUtcNow() });
            goOn.SetResult();
        }

        seen.ShouldBe(["a", "b"]);
        gateway.Serve = call => call.WholeAsync(Chats.Answer);
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        (gateway.Lists, gateway.Bundles, gateway.Relays).ShouldBe((2, 2, 2));
    }

    [Fact]
    public async Task What_a_nodes_GPUs_name_is_fetched_once_held_against_its_digest_and_kept_with_a_receipt()
    {
        var (time, gpu) = (new ShiftedTime(), new EmulatedDevice());
        byte[][] rims = [gpu.Rim(vbios: false).ToBytes(), gpu.Rim(vbios: true).ToBytes()];
        var policy = gpu.Trusting(TestNode.Simulated with { Nvidia = new NvidiaPolicy { MinGpus = 1 } });
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.Receipted();
            await call.WholeAsync(Chats.Answer);
        });
        gateway.Nodes[0] = new TestNode { Gpus = [(gpu, rims)] };
        using var client = gateway.Client(options => options with { Policy = policy, TimeProvider = time });
        gateway.Documents.Add(rims[0]);
        var refusal = await Should.ThrowAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        refusal.Refused.ShouldHaveSingleItem().Factors.Select(factor => factor.Name.Value).ShouldBe(["bundle.devices", "nvidia.vbios_rim"]);
        gateway.Relays.ShouldBe(0);

        gateway.Documents.Add(rims[1]);
        VerifiedReceipt? receipt = null;
        var options = new CallOptions { OnReceipt = taken => receipt = taken };
        await client.ConfidentialChat.CreateAsync(Chats.Request, options, Cancellation);
        ReceiptFile.Verify(receipt!.ToFile().ToBytes(), policy).Verdict.IsAccepted.ShouldBeTrue();

        time.Pass(TimeSpan.FromHours(2));
        gateway.Nodes.Add(new TestNode { Gpus = [(new EmulatedDevice(), rims)], IssuedAt = time.GetUtcNow() });
        var asked = gateway.Asked.Count(path => path.StartsWith("/v2/collateral/", StringComparison.Ordinal));
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Asked.Count(path => path.StartsWith("/v2/collateral/", StringComparison.Ordinal)).ShouldBe(asked);
    }

    [Fact]
    public async Task A_verdict_that_ended_and_has_no_successor_is_refused()
    {
        var time = new ShiftedTime();
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { TimeProvider = time });
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        time.Pass(TimeSpan.FromHours(1) - TimeSpan.FromSeconds(65)); // 60 s before the keys are erased, and the 10 since they were made
        await Should.ThrowAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        gateway.Relays.ShouldBe(1);
    }

    [Fact]
    public async Task A_clock_that_is_set_back_lengthens_no_verdict()
    {
        var time = new ShiftedTime();
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { TimeProvider = time });
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        time.Monotonic += TimeSpan.FromHours(2); // and the wall clock says that no time has passed
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Bundles.ShouldBe(2);
        time.Wall -= TimeSpan.FromHours(1); // before the bundle was issued
        await Should.ThrowAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        gateway.Relays.ShouldBe(2);
    }

    [Fact]
    public async Task The_next_bundle_is_fetched_behind_a_calls_back_when_four_fifths_of_the_time_are_over()
    {
        var time = new ShiftedTime();
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { TimeProvider = time });
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        time.Pass(TimeSpan.FromMinutes(50));
        gateway.Nodes.Add(new TestNode { IssuedAt = time.GetUtcNow() });
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Headers.Last()["Confidential-Key-Set"].ShouldBe(gateway.Nodes[0].KeySet); // it did not wait for it
        while (gateway.Headers.Last()["Confidential-Key-Set"] != gateway.Nodes[1].KeySet)
            await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        (gateway.Lists, gateway.Bundles).ShouldBe((2, 2));
    }

    [Fact]
    public async Task A_list_that_is_as_before_costs_no_bundle()
    {
        var time = new ShiftedTime();
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Tag = "\"1\"";
        using var client = gateway.Client(options => options with { TimeProvider = time });
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        time.Pass(TimeSpan.FromMinutes(2));
        while (gateway.Lists < 2)
            await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        for (var i = 0; i < 10; i++)
            await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        (gateway.Lists, gateway.Bundles).ShouldBe((2, 1));
    }

    [Fact]
    public async Task A_gateway_that_lists_no_longer_does_not_stop_a_node_whose_verdict_stands()
    {
        var time = new ShiftedTime();
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { TimeProvider = time });
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.List = context => context.ProblemAsync(RequestError.ServiceUnavailable);
        time.Pass(TimeSpan.FromMinutes(2));
        for (var i = 0; i < 20; i++)
            await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Lists.ShouldBeLessThan(4); // and is not asked for every call
    }

    [Fact]
    public async Task Only_the_cheapest_are_drawn_and_each_of_them_is()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Nodes.Clear();
        gateway.Nodes.AddRange(
            [new() { Id = 1, Price = Price(300, 201) }, new() { Id = 2, Price = Price(200, 300) }, new() { Id = 4, Price = Price(300, 200) }]);
        using var client = gateway.Client();
        for (var i = 0; i < 60; i++)
            await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        var relayed = gateway.Asked.Where(path => path.EndsWith("/relay", StringComparison.Ordinal)).Distinct().Order();
        relayed.ShouldBe(["/v2/nodes/2/relay", "/v2/nodes/4/relay"]); // one of sixty is missed once in 2^59
    }

    [Fact]
    public async Task What_is_free_is_the_cheapest()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Nodes.Add(new() { Id = 1, Price = Price(0, 1) });
        using var client = gateway.Client();
        for (var i = 0; i < 20; i++)
            await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Asked.ShouldNotContain("/v2/nodes/1/relay");
        gateway.Headers.ShouldAllBe(headers => headers[RelayHeaders.MaxPrice] == "0, 0, 0");
    }

    [Fact]
    public async Task A_request_names_the_price_that_was_listed_and_one_that_rose_is_asked_for_again_and_sealed_anew()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Nodes.Clear();
        gateway.Nodes.AddRange([new() { Id = 1, Price = Price(100, 200) }, new() { Id = 2, Price = Price(150, 200) }]);
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Nodes[0].Price = Price(151, 200);
        gateway.Relay = context =>
        {
            gateway.Relay = null;
            return context.ProblemAsync(RequestError.PriceChanged, forwarded: false);
        };
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Headers.Select(headers => headers[RelayHeaders.MaxPrice]).ShouldBe(["100, 200, 0", "100, 200, 0", "150, 200, 0"]);
        gateway.Headers.Select(headers => headers[RelayHeaders.RequestId]).Distinct().Count().ShouldBe(3);
        gateway.Asked.Where(path => path.EndsWith("/relay", StringComparison.Ordinal))
            .ShouldBe(["/v2/nodes/1/relay", "/v2/nodes/1/relay", "/v2/nodes/2/relay"]);
        gateway.Bundles.ShouldBe(2); // nobody's keys have changed
    }

    [Fact]
    public async Task A_gateway_that_says_of_every_price_that_it_rose_is_asked_once_more_and_then_believed()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Relay = context => context.ProblemAsync(RequestError.PriceChanged, forwarded: false);
        using var client = gateway.Client();
        var failure = await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        (failure.Status, failure.Code, gateway.Relays).ShouldBe((412, "PRICE_CHANGED", 2));
    }

    [Theory]
    [InlineData("7")]
    [InlineData("2.5")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"prompt\":1,\"completion\":2}")]
    [InlineData("{\"prompt\":1,\"completion\":-2,\"image\":0}")]
    [InlineData("{\"prompt\":1,\"completion\":2.5,\"image\":0}")]
    [InlineData("{\"prompt\":1,\"completion\":2,\"image\":1000000000001}")]
    public async Task A_price_that_is_none_makes_a_list_malformed(string price)
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Node.Price = price;
        using var client = gateway.Client();
        await Should.ThrowAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
    }

    [Fact]
    public async Task Too_little_balance_is_said_with_its_figures()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Relay = context =>
        {
            context.Response.StatusCode = 402;
            context.Response.ContentType = ProblemDocument.MediaType;
            var shortfall = new Shortfall(new MicroDollars(1_200_345), new MicroDollars(7));
            return context.Response.Body.WriteAsync(new ProblemDocument(RequestError.BalanceError, false) { Shortfall = shortfall }.ToJson()).AsTask();
        };
        using var client = gateway.Client();
        var failure = await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        failure.Shortfall.ShouldBe(new Shortfall(new MicroDollars(1_200_345), new MicroDollars(7)));
        failure.Message.ShouldContain("1.200345 dollars");
        failure.IsRetryable.ShouldBeFalse();
    }

    private static string Price(long prompt, long completion) => $$"""{"prompt":{{prompt}},"completion":{{completion}},"image":0}""";

    [Fact]
    public async Task A_node_that_is_refused_does_not_keep_another_from_answering()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Nodes.Add(new TestNode { Id = 4, Models = ["small"] });
        gateway.Evidence = id => gateway.Nodes.Find(node => node.Id == id);
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Asked.Last().ShouldBe("/v2/nodes/3/relay");
    }

    [Fact]
    public async Task A_model_that_nobody_serves_is_as_unknown_as_a_gateway_would_say_it()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Nodes.Clear();
        using var client = gateway.Client();
        var failure = await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        (failure.Status, failure.Code).ShouldBe((404, "MODEL_NOT_FOUND"));
    }

    [Fact]
    public async Task A_caller_who_gives_up_does_not_end_the_look_of_the_others()
    {
        var goOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Evidence = _ =>
        {
            goOn.Task.Wait();
            return gateway.Node;
        };
        using var client = gateway.Client();
        using var gone = new CancellationTokenSource();
        var first = client.ConfidentialChat.CreateAsync(Chats.Request, gone.Token);
        var second = client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        await gone.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => first);
        goOn.SetResult();
        await second;
        gateway.Lists.ShouldBe(1);
    }
}
