using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Receipts;

namespace ConfidentialChat.Client.Tests;

/// <summary>spec/receipts.md: what a caller gets who asks for a receipt, and what a node or a gateway gets past them.</summary>
public sealed class ReceiptTests
{
    private const string Weights = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    private static readonly byte[] Question = Encoding.UTF8.GetBytes($$"""{"model":"tiny","messages":[{"role":"user","content":"{{Chats.Prompt}}"}]}""");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_answer_brings_a_receipt_that_says_what_was_asked_and_used()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted();
            call.Writer.KeepAlive();
            await call.WholeAsync(Chats.Answer);
        });
        var receipt = await AskAsync(gateway);
        (receipt.Model, receipt.Weights, receipt.Usage, receipt.Status, receipt.IsComplete).ShouldBe(("tiny", Weights, new Usage(1, 2), 200, true));
        receipt.Request.ShouldBe(gateway.Calls.Single().Inner.Request);
        receipt.MaxUnits.ShouldBe(gateway.Calls.Single().Inner.MaxUnits);
        (DateTimeOffset.UtcNow - receipt.Time).ShouldBeLessThan(TimeSpan.FromMinutes(1));
        (receipt.Tee, receipt.Statement.Node, receipt.Verdict.IsAccepted).ShouldBe(("simulated", 3, true));
        receipt.ToString().ShouldNotContain(Chats.Secret);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(40)]
    public async Task A_stream_brings_one_at_its_end_over_its_comments_too(int events)
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted();
            call.Writer.KeepAlive();
            call.BeginStream();
            for (var i = 1; i < events; i++)
                await call.SendAsync(Chats.Chunk(new string('x', i * 100)));
            call.Writer.KeepAlive();
            await call.SendAsync(Chats.Chunk("b", "stop"));
            await call.StreamEndAsync();
        });
        using var client = gateway.Client();
        VerifiedReceipt? receipt = null;
        var options = new CallOptions { OnReceipt = told => receipt = told };
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Chats.Request, options, Cancellation))
            receipt.ShouldBeNull(); // not before all of it is there
        Accepted(receipt.ShouldNotBeNull().ToFile().ToBytes()).IsComplete.ShouldBeTrue();
    }

    [Fact]
    public async Task An_engine_elsewhere_has_no_weights_to_name()
    {
        await using var gateway = await StartAsync(HonestAsync, new TestNode());
        (await AskAsync(gateway)).Weights.ShouldBeNull();
    }

    [Fact]
    public async Task A_raw_answer_has_its_receipt_once_it_was_read()
    {
        await using var gateway = await StartAsync(HonestAsync);
        using var client = gateway.Client(options => options with { RequireReceipts = true });
        await using var answer = await client.SendAsync(InferenceEndpoint.ChatCompletions, Question, cancellation: Cancellation);
        answer.Receipt.ShouldBeNull();
        await answer.ReadWholeAsync();
        answer.Receipt!.Usage.ShouldBe(new Usage(1, 2));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_program_that_knows_the_OpenAI_API_gets_a_receipt_with_its_response(bool stream)
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted();
            await (stream ? call.StreamAsync(Chats.Chunk("a", "stop")) : call.WholeAsync(Chats.Answer));
        });
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options with { RequireReceipts = true }));
        using var content = new ByteArrayContent(Question) { Headers = { ContentType = new("application/json") } };
        using var response = await http.PostAsync("https://any.example/v1/chat/completions", content, Cancellation);
        await response.Content.ReadAsStringAsync(Cancellation);
        Accepted(ConfidentialHttpHandler.ReceiptOf(response)!.ToFile().ToBytes()).Model.ShouldBe("tiny");
    }

    [Fact]
    public async Task Nobody_who_does_not_ask_is_bothered_with_one()
    {
        await using var gateway = await StartAsync(HonestAsync);
        using var client = gateway.Client();
        await using var answer = await client.SendAsync(InferenceEndpoint.ChatCompletions, Question, cancellation: Cancellation);
        Encoding.UTF8.GetString((await answer.ReadWholeAsync()).Span).ShouldBe(Chats.Answer);
        answer.Receipt.ShouldBeNull();
        using var forward = gateway.Client(options => options with { RequireReceipts = true });
        await using var unasked = await forward.SendAsync(
            InferenceEndpoint.ChatCompletions, Question, new CallOptions { RequireReceipt = false }, Cancellation);
        await unasked.ReadWholeAsync();
        unasked.Receipt.ShouldBeNull();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_without_the_receipt_that_was_asked_for_is_refused_as_such(bool stream)
    {
        await using var gateway = await StartAsync(call => stream ? call.StreamAsync(Chats.Chunk("a", "stop")) : call.WholeAsync(Chats.Answer));
        (await RefusedAsync(gateway, stream)).ShouldBe([("receipt.format", RejectionCode.Missing)]);
    }

    [Fact]
    public async Task Envelope_v1_which_has_none_is_no_way_out()
    {
        await using var gateway = await StartAsync(HonestAsync);
        using var client = gateway.Client(options => options with { Envelope = EnvelopeVersion.V1, RequireReceipts = true });
        await Should.ThrowAsync<ConfigurationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        gateway.Asked.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_receipt_of_another_request_is_refused()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(draft => call.Draft(draft.KeySet, new RequestId(Guid.NewGuid())));
            await call.WholeAsync(Chats.Answer);
        });
        (await RefusedAsync(gateway)).ShouldBe([("receipt.request_id", RejectionCode.Mismatch)]);
    }

    [Fact]
    public async Task A_receipt_of_another_sealing_of_the_same_words_is_refused()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(draft => call.Draft(draft.KeySet, draft.Request, encapsulation: new byte[1127]));
            await call.WholeAsync(Chats.Answer);
        });
        (await RefusedAsync(gateway)).ShouldBe([("receipt.encapsulation", RejectionCode.Mismatch)]);
    }

    [Fact]
    public async Task A_receipt_for_other_words_than_were_asked_is_refused()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(draft => call.Draft(draft.KeySet, draft.Request, message: [.. call.Inner.Message.Span, 0]));
            await call.WholeAsync(Chats.Answer);
        });
        (await RefusedAsync(gateway)).ShouldBe([("receipt.request", RejectionCode.Mismatch)]);
    }

    [Fact]
    public async Task A_receipt_that_another_node_signed_is_refused()
    {
        using var other = new TestNode { Id = 4 };
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(close: closing => closing with { Key = other.Signing });
            await call.WholeAsync(Chats.Answer);
        });
        (await RefusedAsync(gateway)).ShouldBe([("receipt.signature", RejectionCode.BadSignature)]);
    }

    [Fact]
    public async Task A_receipt_under_another_key_set_of_the_same_process_is_refused()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(draft => call.Draft(new KeySetDigest(new byte[32]), draft.Request));
            await call.WholeAsync(Chats.Answer);
        });
        (await RefusedAsync(gateway)).ShouldBe([("receipt.key_set", RejectionCode.Mismatch)]);
    }

    [Theory]
    [InlineData(-120, RejectionCode.NotYetValid)] // before the keys were made
    [InlineData(3600 + 86400 + 60, RejectionCode.Expired)] // longer after their end than any answer lasts
    public async Task A_receipt_of_another_time_is_refused(int seconds, RejectionCode code)
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(close: closing => closing with { Time = call.Node.IssuedAt.AddSeconds(seconds) });
            await call.WholeAsync(Chats.Answer);
        });
        (await RefusedAsync(gateway)).ShouldBe([("receipt.time", code)]);
    }

    [Fact]
    public async Task A_receipt_that_names_another_model_or_other_weights_is_refused()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(draft => call.Draft(draft.KeySet, draft.Request, model: "other"));
            await call.WholeAsync(Chats.Answer);
        });
        (await RefusedAsync(gateway)).ShouldBe([("receipt.model", RejectionCode.Mismatch)]);
        gateway.Serve = async call =>
        {
            call.Receipted(draft => call.Draft(draft.KeySet, draft.Request, weights: new byte[32]));
            await call.WholeAsync(Chats.Answer);
        };
        (await RefusedAsync(gateway)).ShouldBe([("receipt.weights", RejectionCode.Mismatch)]);
    }

    [Fact]
    public async Task A_receipt_over_more_than_was_allowed_is_refused()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(close: closing => closing with { Usage = new Usage(call.Inner.MaxUnits.Value, 1) });
            await call.WholeAsync(Chats.Answer);
        });
        (await RefusedAsync(gateway)).ShouldBe([("receipt.usage", RejectionCode.Forbidden)]);
        gateway.Serve = async call =>
        {
            call.Receipted(draft => call.Draft(draft.KeySet, draft.Request, units: new ComputeUnits(1L << 39)));
            await call.WholeAsync(Chats.Answer);
        };
        (await RefusedAsync(gateway)).ShouldBe([("receipt.usage", RejectionCode.Forbidden)]);
    }

    [Fact]
    public async Task A_stream_whose_engine_broke_off_is_truncated_and_its_receipt_says_so()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted();
            call.BeginStream();
            await call.SendAsync(Chats.Chunk("half an answer"));
            call.Writer.WriteEvents("data: {\"unfin"u8);
            await call.CutOffAsync();
        });
        using var client = gateway.Client();
        VerifiedReceipt? receipt = null;
        var seen = "";
        await Should.ThrowAsync<StreamTruncatedException>(async () =>
        {
            var options = new CallOptions { OnReceipt = told => receipt = told };
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Chats.Request, options, Cancellation))
                seen += chunk.Choices[0].Delta!.Content;
        });
        seen.ShouldBe("half an answer");
        receipt.ShouldNotBeNull().IsComplete.ShouldBeFalse();
        var verification = ReceiptFile.Verify(receipt.ToFile().ToBytes(), TestNode.Simulated);
        verification.Receipt!.IsComplete.ShouldBeFalse();
        verification.Verdict.Warnings.Select(factor => factor.Name.Value).ShouldContain("receipt.end");
    }

    [Fact]
    public async Task Whoever_does_not_ask_sees_a_stream_that_broke_off_as_truncated_too()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted();
            call.BeginStream();
            await call.SendAsync(Chats.Chunk("half an answer"));
            await call.CutOffAsync();
        });
        using var client = gateway.Client();
        await Should.ThrowAsync<StreamTruncatedException>(() => client.ReadAsync());
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var content = new ByteArrayContent(Question) { Headers = { ContentType = new("application/json") } };
        await Should.ThrowAsync<StreamTruncatedException>(() => http.PostAsync("https://any.example/v1/chat/completions", content, Cancellation));
    }

    [Fact]
    public async Task A_refusal_stays_the_nodes_refusal_with_or_without_a_receipt()
    {
        await using var gateway = await StartAsync(call => call.RefuseAsync(Protocol.Errors.RequestError.ContextTooLarge));
        using var client = gateway.Client(options => options with { RequireReceipts = true });
        (await Should.ThrowAsync<NodeApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation))).Status.ShouldBe(400);
    }

    [Fact]
    public async Task A_flipped_byte_anywhere_in_a_receipt_file_is_refused_by_name()
    {
        await using var gateway = await StartAsync(HonestAsync);
        var bytes = (await AskAsync(gateway)).ToFile().ToBytes();
        Accepted(bytes).Weights.ShouldBe(Weights);
        var names = new HashSet<string>();
        for (var at = 0; at < bytes.Length; at++)
        {
            var flipped = bytes.ToArray();
            flipped[at] ^= (byte)(1 << (at % 8));
            var verification = ReceiptFile.Verify(flipped, TestNode.Simulated);
            verification.Receipt.ShouldBeNull($"byte {at}");
            names.UnionWith(verification.Verdict.Failures.Select(factor => factor.Name.Value));
        }

        names.ShouldBe(["receipt.file"]);
        for (var length = 0; length < bytes.Length; length += 7)
            ReceiptFile.Verify(bytes.AsMemory(0, length), TestNode.Simulated).Receipt.ShouldBeNull();
        ReceiptFile.Verify((byte[])[.. bytes, (byte)'\n'], TestNode.Simulated).Receipt.ShouldBeNull();
    }

    // The digest of the file protects against accidents alone: whoever means it computes it anew.
    [Theory]
    [InlineData("receipt", "receipt.")]
    [InlineData("salts", "receipt.request receipt.answer")]
    [InlineData("encapsulation", "receipt.encapsulation")]
    [InlineData("request", "receipt.request")]
    [InlineData("answer", "receipt.answer")]
    [InlineData("bundle", "bundle. simulated. receipt.")]
    public async Task A_flipped_byte_within_a_part_is_refused_by_name_also_under_a_digest_that_fits(string part, string factors)
    {
        await using var gateway = await StartAsync(HonestAsync);
        var file = Encoding.UTF8.GetString((await AskAsync(gateway)).ToFile().ToBytes());
        var value = ReceiptFiles.Part(file, part);
        var step = part is "receipt" or "salts" ? 1 : 11; // what is signed byte by byte; what is hashed, here and there
        for (var at = 0; at < value.Length; at += step)
        {
            var flipped = value.ToArray();
            flipped[at] ^= (byte)(1 << (at % 8));
            var verification = ReceiptFile.Verify(ReceiptFiles.With(file, part, flipped), TestNode.Simulated);
            verification.Receipt.ShouldBeNull($"byte {at} of {part}");
            var failures = verification.Verdict.Failures.Select(factor => factor.Name.Value).ToList();
            failures.ShouldContain(name => factors.Split(' ').Any(factor => name.StartsWith(factor, StringComparison.Ordinal)), $"byte {at} of {part}");
            if (part is not ("receipt" or "bundle"))
                failures.ShouldAllBe(name => factors.Split(' ').Append("receipt.status").Append("receipt.request_id").Append("receipt.model")
                    .Append("receipt.usage").Contains(name));
        }
    }

    [Fact]
    public async Task Salts_that_were_swapped_are_refused()
    {
        await using var gateway = await StartAsync(HonestAsync);
        var file = Encoding.UTF8.GetString((await AskAsync(gateway)).ToFile().ToBytes());
        var salts = ReceiptFiles.Part(file, "salts");
        Refused(ReceiptFiles.With(file, "salts", [.. salts[ReceiptSalts.SaltSize..], .. salts[..ReceiptSalts.SaltSize]]))
            .ShouldBe(["receipt.request", "receipt.answer"]);
    }

    [Fact]
    public async Task Parts_of_two_files_do_not_go_together()
    {
        await using var gateway = await StartAsync(HonestAsync);
        var (first, second) = (await AskAsync(gateway), await AskAsync(gateway));
        var (one, other) = (Encoding.UTF8.GetString(first.ToFile().ToBytes()), Encoding.UTF8.GetString(second.ToFile().ToBytes()));
        Refused(ReceiptFiles.With(one, "answer", ReceiptFiles.Part(other, "answer"))).ShouldBeEmpty(); // the same words twice
        Refused(ReceiptFiles.With(one, "request", ReceiptFiles.Part(other, "request"))).ShouldBe(["receipt.request", "receipt.request_id"]);
        Refused(ReceiptFiles.With(one, "encapsulation", ReceiptFiles.Part(other, "encapsulation"))).ShouldBe(["receipt.encapsulation"]);
        Refused(ReceiptFiles.With(one, "receipt", ReceiptFiles.Part(other, "receipt"))).ShouldBe(
            ["receipt.encapsulation", "receipt.request", "receipt.request_id", "receipt.answer"]);
        using var stranger = new TestNode { Weights = Weights };
        Refused(ReceiptFiles.With(one, "bundle", stranger.Bundle)).ShouldBe(["receipt.key_set", "receipt.signature"]);
    }

    [Fact]
    public async Task A_file_in_another_spelling_or_with_another_member_is_refused()
    {
        await using var gateway = await StartAsync(HonestAsync);
        var file = Encoding.UTF8.GetString((await AskAsync(gateway)).ToFile().ToBytes());
        foreach (var changed in (string[])
        [
            file.Replace("\"version\":1", "\"version\": 1", StringComparison.Ordinal), file.Replace("\"version\":1", "\"version\":2", StringComparison.Ordinal),
            file.Replace("\"version\":1", "\"version\":1,\"more\":1", StringComparison.Ordinal),
            file.Replace("\"version\":1", "\"version\":1,\"version\":1", StringComparison.Ordinal),
            file.Replace("\"documents\":[]", "\"documents\":[[[[[]]]]]", StringComparison.Ordinal),
            file.Replace("\"documents\":[]", "\"documents\":[1]", StringComparison.Ordinal),
            file.Replace("\"salts\":\"", "\"salts\":\"AAAA", StringComparison.Ordinal), "{}\n", "", "null",
        ])
            Refused(ReceiptFiles.Digested(changed)).ShouldBe(["receipt.file"]);
        ReceiptFile.Verify(new byte[ReceiptFile.MaxSize + 1], TestNode.Simulated).Verdict.Failures.Single().Code.ShouldBe(RejectionCode.TooLarge);
    }

    [Fact]
    public async Task A_file_is_verified_ten_years_on_at_the_receipts_own_time_and_under_the_readers_policy()
    {
        await using var gateway = await StartAsync(HonestAsync);
        var bytes = (await AskAsync(gateway)).ToFile().ToBytes();
        Refused(bytes, DateTimeOffset.UtcNow.AddYears(10)).ShouldContain("bundle.time");
        ReceiptFile.Verify(bytes).Verdict.Failures.Select(factor => factor.Name.Value).ShouldContain("bundle.tee"); // the default accepts no simulation
        ReceiptFile.Verify(bytes, TestNode.Simulated with { RequireNonce = true }).Receipt.ShouldNotBeNull(); // the challenge was the caller's
    }

    [Fact]
    public async Task An_answer_that_ended_after_its_keys_has_a_receipt_all_the_same()
    {
        await using var gateway = await StartAsync(async call =>
        {
            call.Receipted(close: closing => closing with { Time = call.Node.IssuedAt + call.Node.Lifetime + TimeSpan.FromMinutes(30) });
            await call.WholeAsync(Chats.Answer);
        });
        Accepted((await AskAsync(gateway)).ToFile().ToBytes()).IsComplete.ShouldBeTrue();
    }

    private static Task<RelayGateway> StartAsync(Func<RelayedCall, Task> serve) => StartAsync(serve, new TestNode { Weights = Weights });

    private static async Task<RelayGateway> StartAsync(Func<RelayedCall, Task> serve, TestNode node)
    {
        var gateway = await RelayGateway.StartAsync(serve);
        gateway.Nodes.ForEach(old => old.Dispose());
        gateway.Nodes.Clear();
        gateway.Nodes.Add(node);
        return gateway;
    }

    private static Task HonestAsync(RelayedCall call)
    {
        call.Receipted();
        return call.WholeAsync(Chats.Answer);
    }

    private static async Task<VerifiedReceipt> AskAsync(RelayGateway gateway)
    {
        using var client = gateway.Client();
        VerifiedReceipt? receipt = null;
        await client.ConfidentialChat.CreateAsync(Chats.Request, new CallOptions { OnReceipt = told => receipt = told }, Cancellation);
        return receipt.ShouldNotBeNull();
    }

    private static async Task<IReadOnlyList<(string, RejectionCode?)>> RefusedAsync(RelayGateway gateway, bool stream = false)
    {
        using var client = gateway.Client(options => options with { RequireReceipts = true });
        var refused = await Should.ThrowAsync<ReceiptException>(
            () => stream ? client.ReadAsync() : client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation));
        refused.Attempts.ShouldBe(1);
        refused.Message.ShouldNotContain(Chats.Secret);
        return [.. refused.Refused.Select(factor => (factor.Name.Value, factor.Code))];
    }

    private static VerifiedReceipt Accepted(byte[] file)
    {
        var verification = ReceiptFile.Verify(file, TestNode.Simulated);
        return verification.Receipt.ShouldNotBeNull(verification.Verdict.ToText());
    }

    private static string[] Refused(byte[] file, DateTimeOffset? at = null)
    {
        var verification = ReceiptFile.Verify(file, TestNode.Simulated, at);
        string[] failures = [.. verification.Verdict.Failures.Select(factor => factor.Name.Value)];
        (verification.Receipt is null).ShouldBe(failures.Length > 0);
        return failures;
    }
}
