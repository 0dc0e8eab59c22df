using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;

namespace ConfidentialChat.Client.Tests;

/// <summary>What a dishonest gateway, or whoever is on the way, can try against envelope v2. Nothing of it leads to an answer or to a weaker way.</summary>
public sealed class AttackTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_key_of_the_gateways_own_beside_the_nodes_evidence()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var honest = new TestNode();
        gateway.Node.Bundle = TestNode.Splice(statement: gateway.Node, evidence: honest);
        (await RefusedAsync(gateway)).ShouldBe("bundle.report_data");
    }

    [Fact]
    public async Task Another_bundle_than_the_listed_one()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var other = new TestNode();
        gateway.Evidence = _ => other;
        (await RefusedAsync(gateway)).ShouldBe("node.bundle");
        gateway.Lists.ShouldBe(2); // it could have been made in between
    }

    [Fact]
    public async Task Another_nodes_bundle()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var other = new TestNode { Id = 4 };
        gateway.List = context => context.JsonAsync($$"""{"nodes":[{{other.Listed.Replace("\"id\":4", "\"id\":3", StringComparison.Ordinal)}}]}""");
        gateway.Evidence = _ => other;
        (await RefusedAsync(gateway)).ShouldBe("node.id");
    }

    [Fact]
    public async Task Another_key_set_than_the_bundles()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var other = new TestNode();
        gateway.List = context => context.JsonAsync(
            $$"""{"nodes":[{{gateway.Node.Listed.Replace(gateway.Node.KeySet, other.KeySet, StringComparison.Ordinal)}}]}""");
        (await RefusedAsync(gateway)).ShouldBe("node.key_set");
    }

    [Fact]
    public async Task A_node_that_does_not_serve_the_model()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Node.Models = ["small"];
        (await RefusedAsync(gateway)).ShouldBe("node.model");
    }

    [Fact]
    public async Task A_bundle_that_is_older_than_one_before()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        gateway.Nodes.Add(new TestNode { IssuedAt = gateway.Node.IssuedAt.AddMinutes(-10) });
        gateway.Relay = context => context.ProblemAsync(RequestError.UnknownNodeKey);
        var failure = await Should.ThrowAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        failure.Refused.Single().Factors.Single().Name.Value.ShouldBe("node.order");
        gateway.Relays.ShouldBe(2);
    }

    [Theory]
    [InlineData(KemId.DhkemX25519, AeadId.Aes256Gcm)]
    [InlineData(KemId.MlKem768X25519, AeadId.Aes128Gcm)]
    public async Task A_weaker_suite(KemId kem, AeadId aead)
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Nodes.Add(new TestNode { Key = ObliviousKey.Generate(1, kem, [new SymmetricSuite(KdfId.HkdfSha256, aead)]) });
        (await RefusedAsync(gateway)).ShouldBe("node.suite");
    }

    [Fact]
    public async Task Keys_that_are_erased_in_a_minute()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Nodes.Add(new TestNode { Lifetime = TimeSpan.FromSeconds(60) });
        (await RefusedAsync(gateway)).ShouldBe("node.time");
    }

    [Theory]
    [InlineData(EnvelopeVersion.V1)]
    [InlineData(EnvelopeVersion.V2)]
    public async Task Simulated_evidence_under_the_default_policy(EnvelopeVersion envelope)
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { Policy = Policy.Default, Envelope = envelope });
        var failure = await Should.ThrowAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        failure.Refused.Single().Factors[0].ShouldSatisfyAllConditions(
            factor => factor.Name.Value.ShouldBe("bundle.tee"), factor => factor.Code.ShouldBe(RejectionCode.Forbidden));
        failure.Message.ShouldContain("hint: node 3 is in no TEE");
        failure.ToString().ShouldNotContain(Chats.Prompt);
        gateway.Asked.ShouldBe(["/v2/nodes", "/v2/nodes/3/evidence"]);
    }

    [Fact]
    public async Task A_gateway_that_knows_v1_alone()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client(options => options with { Envelope = EnvelopeVersion.V2 });
        await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        gateway.Paths.ShouldBeEmpty(); // no lock
    }

    [Fact]
    public async Task A_lock_with_the_gateways_own_key()
    {
        using var other = new TestNode();
        await using var gateway = await TestGateway.StartAsync(
            call => call.WholeAsync(Chats.Answer),
            context => context.JsonAsync($$"""{"public_key":"{{other.NodeKey.PublicKey}}","node_small_id":3,"stack_small_id":7}"""));
        using var client = gateway.Client();
        var failure = await Should.ThrowAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        failure.Refused.Single().Factors.Single().Name.Value.ShouldBe("node.lock");
        (gateway.Looks, gateway.Bodies.Count).ShouldBe((2, 0)); // one more look, then refusal
    }

    [Fact]
    public async Task The_answer_of_another_request()
    {
        byte[]? first = null;
        await using var gateway = await RelayGateway.StartAsync(call => call.BytesAsync(first ??= call.Sealed(Chats.Answer)));
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation);
        await Should.ThrowAsync<AnswerAuthenticationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
    }

    [Fact]
    public async Task An_invented_answer()
    {
        await using var gateway = await RelayGateway.StartAsync(call => call.BytesAsync(RandomNumberGenerator.GetBytes(4096)));
        using var client = gateway.Client();
        await Should.ThrowAsync<ConfidentialChatException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        await using var plain = await RelayGateway.StartAsync(call => call.BytesAsync([.. new byte[32], 0, .. Encoding.UTF8.GetBytes(Chats.Answer)]));
        using var other = plain.Client();
        await Should.ThrowAsync<AnswerAuthenticationException>(() => other.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        (gateway.Relays, plain.Relays).ShouldBe((1, 1));
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("application/problem+json")]
    [InlineData("text/event-stream")]
    public async Task An_answer_in_the_clear(string type)
    {
        await using var gateway = await RelayGateway.StartAsync(call => call.BytesAsync(Encoding.UTF8.GetBytes(Chats.Answer), type));
        using var client = gateway.Client();
        await Should.ThrowAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
    }

    [Theory]
    [InlineData(201)]
    [InlineData(400)]
    [InlineData(429)]
    [InlineData(500)]
    public async Task An_error_in_the_clear_dressed_as_the_nodes(int status)
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Relay = async context =>
        {
            using var call = await gateway.OpenAsync(context);
            context.Response.StatusCode = status;
            await call!.BytesAsync(call.Sealed(Chats.Answer));
        };
        using var client = gateway.Client(options => options with { Retries = RetryConfig.Backoff });
        var failure = await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        (failure.Status, failure.Attempts, gateway.Relays).ShouldBe((status, 1, 1)); // nobody knows what became of it: no repetition
    }

    [Fact]
    public async Task A_whole_answer_without_its_end()
    {
        await using var gateway = await RelayGateway.StartAsync(call =>
        {
            call.Writer.KeepAlive();
            return call.FlushAsync();
        });
        using var client = gateway.Client();
        await Should.ThrowAsync<StreamTruncatedException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
    }

    [Fact]
    public async Task A_stream_whose_final_chunk_is_stripped_though_its_engine_had_ended()
    {
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync(Chats.Chunk("all", "stop"));
            await call.SendAsync("[DONE]");
        });
        using var client = gateway.Client();
        var seen = new List<string>();
        await Should.ThrowAsync<StreamTruncatedException>(() => client.ReadAsync(seen, Cancellation));
        seen.ShouldBe(["all"]);
    }

    [Fact]
    public async Task A_stream_that_its_node_ended_before_the_engine_did()
    {
        await using var gateway = await RelayGateway.StartAsync(call => call.StreamAsync(Chats.Chunk("some")));
        using var client = gateway.Client();
        await Should.ThrowAsync<StreamTruncatedException>(() => client.ReadAsync(cancellation: Cancellation));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4096)]
    public async Task Bytes_after_the_final_chunk(int count)
    {
        await using var gateway = await RelayGateway.StartAsync(call => call.BytesAsync([.. call.Sealed(Chats.Answer), .. new byte[count]]));
        using var client = gateway.Client();
        await Should.ThrowAsync<AnswerAuthenticationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
    }

    [Fact]
    public async Task A_flipped_bit()
    {
        await using var gateway = await RelayGateway.StartAsync(call =>
        {
            var bytes = call.Sealed(Chats.Answer);
            bytes[RandomNumberGenerator.GetInt32(bytes.Length - 1024, bytes.Length)] ^= 0x10;
            return call.BytesAsync(bytes);
        });
        using var client = gateway.Client();
        await Should.ThrowAsync<AnswerAuthenticationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
    }

    [Fact]
    public async Task Hanging_up_before_the_answer_and_within_it()
    {
        var hangUp = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync(Chats.Chunk("some"));
            await hangUp.Task;
            call.Context.Abort();
        });
        using var client = gateway.Client(options => options with { Retries = RetryConfig.Default });
        await using var chunks = client.ConfidentialChat.CreateStreamAsync(Chats.Request, Cancellation).GetAsyncEnumerator(Cancellation);
        (await chunks.MoveNextAsync()).ShouldBeTrue();
        hangUp.SetResult();
        await Should.ThrowAsync<StreamTruncatedException>(async () => await chunks.MoveNextAsync());
        gateway.Serve = call =>
        {
            call.Context.Abort();
            return Task.CompletedTask;
        };
        await Should.ThrowAsync<GatewayConnectionException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        gateway.Relays.ShouldBe(2); // a connection that broke is no word to repeat by
    }

    [Theory]
    [InlineData(null)]
    [InlineData(false)]
    public async Task The_word_that_the_key_is_unknown_for_ever(bool? forwarded)
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Relay = context => context.ProblemAsync(RequestError.UnknownNodeKey, forwarded);
        using var client = gateway.Client(options => options with { Retries = RetryConfig.Backoff });
        var failure = await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        failure.Code.ShouldBe("UNKNOWN_NODE_KEY");
        (gateway.Lists, gateway.Bundles, gateway.Relays, failure.Attempts).ShouldBe((2, 2, 2, 2)); // fetched and verified once more, then refused
    }

    [Fact]
    public async Task The_word_that_the_key_is_unknown_with_a_key_of_the_gateways_own()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Relay = context =>
        {
            var forged = new TestNode { IssuedAt = gateway.Node.IssuedAt.AddSeconds(1) };
            forged.Bundle = TestNode.Splice(statement: forged, evidence: gateway.Node);
            gateway.Nodes.Add(forged);
            return context.ProblemAsync(RequestError.UnknownNodeKey);
        };
        using var client = gateway.Client();
        await Should.ThrowAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        gateway.Relays.ShouldBe(1);
    }

    [Fact]
    public async Task Lists_that_are_none()
    {
        foreach (var list in (string[])["", "[]", "{}", """{"nodes":{}}""", """{"nodes":[{"id":-1}]}""", """{"nodes":[{"id":3,"key_set":"x","bundle":"y"}]}""",
            "{\"nodes\":[],\"nodes\":[]}", new string('[', 1000), $$"""{"nodes":[],"x":"{{new string('x', 1 << 20)}}"}"""])
        {
            await using var gateway = await RelayGateway.StartAsync();
            gateway.List = context => context.JsonAsync(list);
            using var client = gateway.Client();
            await Should.ThrowAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        }
    }

    // The first factor that refuses the only node; nothing was relayed.
    private static async Task<string> RefusedAsync(RelayGateway gateway)
    {
        using var client = gateway.Client();
        var failure = await Should.ThrowAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        failure.Message.ShouldContain("node 3: ");
        failure.Message.ShouldContain("\nhint: ");
        gateway.Relays.ShouldBe(0);
        return failure.Refused.Single().Factors[0].Name.Value;
    }
}
