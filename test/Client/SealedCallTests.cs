using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client.Tests;

/// <summary>A caller who locks, seals and opens for themselves.</summary>
public sealed class SealedCallTests
{
    private const string Whole = """{"model":"tiny","messages":[],"stream":false}""";
    private const string Streamed = """{"model":"tiny","messages":[],"stream":true}""";

    [Fact]
    public async Task A_sealed_request_arrives_as_it_was_given_and_its_answer_comes_back_sealed()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        using var request = gateway.Seal(Whole, stream: false);
        var answer = await client.ConfidentialChat.CreateAsync(SealedFields.From(request.Envelope));

        (answer.ResponseHash, answer.Signature, answer.Usage).ShouldBe((null, null, new ClearUsage(1, 2)));
        Encoding.UTF8.GetString(answer.Ciphertext.Span).ShouldNotContain(Chats.Secret);
        request.Answer.TryOpen(answer, out var opened).ShouldBeTrue();
        Encoding.UTF8.GetString(opened).TrimEnd().ShouldBe(Chats.Answer);
        gateway.Locks.ShouldBeEmpty();
        EnvelopeRequest.TryParse(gateway.Bodies.Single(), out var envelope, out _).ShouldBeTrue();
        envelope.PlaintextBodyHash.ToArray().ShouldBe(request.Envelope.PlaintextBodyHash.ToArray());
        (envelope.ModelName, envelope.Stack, envelope.Stream, envelope.Units).ShouldBe(("tiny", new StackId(7), false, null));
    }

    [Fact]
    public async Task The_fields_can_be_given_one_by_one_in_the_origins_order()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        using var request = gateway.Seal(Whole, stream: false);
        var e = request.Envelope;
        var answer = await client.ConfidentialChat.CreateAsync(
            Text(e.Ciphertext), e.ClientKey.ToString(), Text(e.Nonce), Text(e.PlaintextBodyHash), Text(e.Salt), e.NodeKey.ToString(), "tiny", 7, false, 9000);
        request.Answer.TryOpen(answer, out _).ShouldBeTrue();
        JsonNode.Parse(gateway.Bodies.Single())!.AsObject().Select(member => member.Key).ShouldBe(
        [
            "ciphertext", "client_dh_public_key", "nonce", "plaintext_body_hash", "salt", "node_dh_public_key", "model_name", "stack_small_id", "stream",
            "num_compute_units",
        ]);
        gateway.Calls.Single().Envelope.Units.ShouldBe(new ComputeUnits(9000));
    }

    [Fact]
    public async Task Five_fields_are_enough_and_nothing_is_added_to_them()
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.Inner.Stream ? call.StreamAsync(Chats.Chunk("a", "stop")) : call.WholeAsync(Chats.Answer));
        using var client = gateway.Client();
        using var whole = gateway.Seal(Whole, stream: false);
        using var streamed = gateway.Seal(Streamed, stream: true);
        var (w, s) = (whole.Envelope, streamed.Envelope);
        var answer = await client.ConfidentialChat.CreateAsync(
            Text(w.Ciphertext), w.ClientKey.ToString(), Text(w.Nonce), Text(w.PlaintextBodyHash), Text(w.Salt));
        var events = await client.ConfidentialChat.CreateStreamAsync(
            Text(s.Ciphertext), s.ClientKey.ToString(), Text(s.Nonce), Text(s.PlaintextBodyHash), Text(s.Salt), stream: null).ToListAsync();
        whole.Answer.TryOpen(answer, out _).ShouldBeTrue();
        streamed.Answer.TryOpen(events.Single(), out _).ShouldBeTrue();
        foreach (var body in gateway.Bodies)
            JsonNode.Parse(body)!.AsObject().Select(member => member.Key)
                .ShouldBe(["ciphertext", "client_dh_public_key", "nonce", "plaintext_body_hash", "salt"]);
    }

    [Fact]
    public async Task The_events_of_a_stream_come_sealed_one_by_one()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(Chats.Chunk("a"), Chats.Chunk("b", "stop"), Chats.UsageChunk));
        using var client = gateway.Client();
        using var request = gateway.Seal(Streamed, stream: true);
        var (opened, order) = (new List<string>(), new EventOrder());
        await foreach (var answer in client.ConfidentialChat.CreateStreamAsync(SealedFields.From(request.Envelope)))
        {
            request.Answer.TryOpen(answer, out var plaintext).ShouldBeTrue();
            order.Take(plaintext, out var start).ShouldBe(EventTurn.Next);
            opened.Add(Encoding.UTF8.GetString(plaintext.AsSpan(start)).TrimEnd());
        }

        order.IsEnded.ShouldBeTrue();
        opened.ShouldBe([Chats.Chunk("a"), Chats.Chunk("b", "stop"), Chats.UsageChunk]);
    }

    [Fact]
    public async Task What_an_origin_node_adds_comes_out_and_what_is_odd_in_it_is_left_out()
    {
        var hash = Convert.ToBase64String(new byte[32]);
        var added = $$$"""{"ciphertext":"AAAAAAAAAAAAAAAAAAAAAA==","nonce":"AAAAAAAAAAAAAAAA","response_hash":"{{{hash}}}","signature":"AGFi","usage":{"prompt_tokens":5,"total_tokens":5}}""";
        await using var gateway = await TestGateway.StartAsync(call => call.Context.JsonAsync(added));
        using var client = gateway.Client();
        using var request = gateway.Seal(Whole, stream: false);
        var fields = SealedFields.From(request.Envelope);
        var answer = await client.ConfidentialChat.CreateAsync(fields);
        (answer.Signature, answer.Usage, answer.ResponseHash!.Value.Length, answer.Nonce.Length).ShouldBe(("AGFi", new ClearUsage(5, 0), 32, 12));

        added = added.Replace("\"AGFi\"", "7", StringComparison.Ordinal).Replace(":5,", ":-5,", StringComparison.Ordinal);
        answer = await client.ConfidentialChat.CreateAsync(fields);
        (answer.Signature, answer.Usage).ShouldBe((null, null));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("junk")]
    [InlineData(Chats.Answer)]
    [InlineData("""{"ciphertext":"AAAA","nonce":"AAAAAAAAAAAAAAAA"}""")]
    public async Task An_answer_that_is_no_sealed_object_is_refused_without_a_word_of_it(string answer)
    {
        await using var gateway = await TestGateway.StartAsync(call => call.Inner.Stream
            ? call.Context.TextAsync($"data: {answer}\n\n", "text/event-stream")
            : call.Context.JsonAsync(answer));
        using var client = gateway.Client();
        using var whole = gateway.Seal(Whole, stream: false);
        using var streamed = gateway.Seal(Streamed, stream: true);
        var fault = await Should.ThrowAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(SealedFields.From(whole.Envelope)));
        fault.ToString().ShouldNotContain(Chats.Secret);
        fault.Attempts.ShouldBe(1);
        await Should.ThrowAsync<InvalidAnswerException>(
            async () => await client.ConfidentialChat.CreateStreamAsync(SealedFields.From(streamed.Envelope)).ToListAsync());
    }

    [Fact]
    public async Task A_stream_that_breaks_off_or_brings_nothing_fails()
    {
        var breaks = true;
        var begun = new TaskCompletionSource();
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(breaks ? [Chats.Chunk("a")] : []);
            if (!breaks)
                return;
            await begun.Task;
            call.Context.Abort();
        });
        using var http = new HttpClient(new HeadWatch(begun));
        using var client = gateway.Client(options => options with { HttpClient = http });
        using var request = gateway.Seal(Streamed, stream: true);
        var stream = client.ConfidentialChat.CreateStreamAsync(SealedFields.From(request.Envelope));
        await Should.ThrowAsync<StreamTruncatedException>(async () => await stream.ToListAsync());
        breaks = false;
        await Should.ThrowAsync<StreamTruncatedException>(async () => await stream.ToListAsync());
    }

    [Fact]
    public async Task Breaking_out_of_the_sealed_events_stops_the_node()
    {
        var gone = new TaskCompletionSource();
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.HangAsync();
            gone.SetResult();
        });
        using var client = gateway.Client();
        using var request = gateway.Seal(Streamed, stream: true);
        await foreach (var _ in client.ConfidentialChat.CreateStreamAsync(SealedFields.From(request.Envelope)))
            break;
        await gone.Task.WaitAsync(TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task Every_confidential_endpoint_takes_sealed_requests()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync("{}");
        using var client = gateway.Client();
        foreach (var endpoint in new ConfidentialEndpoint[]
        {
            client.ConfidentialChat, client.ConfidentialCompletions, client.ConfidentialEmbeddings, client.ConfidentialImages,
        })
        {
            using var request = gateway.Seal(Whole, stream: false);
            request.Answer.TryOpen(await endpoint.CreateAsync(SealedFields.From(request.Envelope)), out _).ShouldBeTrue();
        }

        gateway.Paths.ShouldBe(
            ["/v1/confidential/chat/completions", "/v1/confidential/completions", "/v1/confidential/embeddings", "/v1/confidential/images/generations"]);
    }

    [Theory]
    [InlineData("ciphertext", "AAAA")]
    [InlineData("ciphertext", "not base64")]
    [InlineData("ciphertext", null)]
    [InlineData("clientDhPublicKey", "AAAA")]
    [InlineData("clientDhPublicKey", null)]
    [InlineData("nonce", "AAAA")]
    [InlineData("nonce", "AAAAAAAAAAAAAAA")]
    [InlineData("plaintextBodyHash", "AAAA")]
    [InlineData("salt", "AAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("nodeDhPublicKey", "")]
    [InlineData("modelName", "")]
    [InlineData("stackSmallId", -1L)]
    [InlineData("numComputeUnits", 0L)]
    [InlineData("numComputeUnits", (1L << 40) + 1)]
    [InlineData("stream", true)]
    public async Task A_field_that_cannot_be_right_is_the_callers_mistake_and_nothing_is_sent(string name, object? value)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        var key = Convert.ToBase64String(new byte[32]);
        var given = new Dictionary<string, object?>(StringComparer.Ordinal)
        {
            ["ciphertext"] = Convert.ToBase64String(new byte[16]),
            ["clientDhPublicKey"] = key,
            ["nonce"] = Convert.ToBase64String(new byte[12]),
            ["plaintextBodyHash"] = key,
            ["salt"] = Convert.ToBase64String(new byte[16]),
            ["nodeDhPublicKey"] = key,
            [name] = value,
        };
        await Should.ThrowAsync<ArgumentException>(() => client.ConfidentialChat.CreateAsync(
            (string)given["ciphertext"]!,
            (string)given["clientDhPublicKey"]!,
            (string)given["nonce"]!,
            (string)given["plaintextBodyHash"]!,
            (string)given["salt"]!,
            (string?)given["nodeDhPublicKey"],
            (string?)given.GetValueOrDefault("modelName"),
            (long?)given.GetValueOrDefault("stackSmallId"),
            (bool?)given.GetValueOrDefault("stream"),
            (long?)given.GetValueOrDefault("numComputeUnits")));
        gateway.Paths.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_whole_request_has_no_sealed_events_to_enumerate()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        using var request = gateway.Seal(Whole, stream: false);
        Should.Throw<ArgumentException>(() => client.ConfidentialChat.CreateStreamAsync(SealedFields.From(request.Envelope)));
        gateway.Paths.ShouldBeEmpty();
    }

    private static string Text(ReadOnlyMemory<byte> bytes) => Convert.ToBase64String(bytes.Span);
}
