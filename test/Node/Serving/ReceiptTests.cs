using System.IO.Pipelines;
using System.Text;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;

using static ConfidentialChat.Node.Tests.Serving.SealedCalling;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/receipts.md sections 2 and 3, at a real node whose evidence is simulated: every answer that ends has one.</summary>
public sealed class ReceiptTests : IDisposable
{
    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task An_answer_has_a_receipt_over_what_was_asked_answered_and_used(bool isStream, bool isPaced)
    {
        await using var node = await StartAsync(Answering("a", "b"));
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        var inner = Inner(token, body: isStream ? Streamed : Chat) with { IsPaced = isPaced };
        using var call = Seal(keys, inner);
        var receipt = Verify(keys, token, call, inner, await OpenAsync(call, await PostAsync(node, call, token)));
        (receipt.Status, receipt.Usage, receipt.End, receipt.Weights.HasValue).ShouldBe((200, new Usage(3, 4), AnswerEnd.Complete, false));
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(receipt.Usage);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Signs_of_life_before_the_head_and_within_a_stream_are_part_of_it(bool isStream)
    {
        var gate = new Gate();
        await using var node = await StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Slow())), options => options with { KeepAlive = TimeSpan.FromMilliseconds(50) });
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        var inner = Inner(token, body: isStream ? Streamed : Chat);
        using var call = Seal(keys, inner);
        var answer = await OpenAsync(call, await PostAsync(node, call, token));
        Verify(keys, token, call, inner, answer).Status.ShouldBe(200);
        answer.Message!.Length.ShouldBeGreaterThan(isStream ? 4 * 512 : 512); // signs of life are in it

        async IAsyncEnumerable<string> Slow()
        {
            await Task.Delay(200);
            yield return isStream ? ScriptedBackend.Chunk("a") : ScriptedBackend.Whole;
            await Task.Delay(200);
        }
    }

    [Fact]
    public async Task A_paced_stream_has_one_over_its_filler_too()
    {
        await using var node = await StartAsync(Answering("a", "b"));
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        var inner = Inner(token, body: Streamed) with { IsPaced = true };
        using var call = Seal(keys, inner);
        var answer = await OpenAsync(call, await PostAsync(node, call, token));
        (Verify(keys, token, call, inner, answer).Usage, answer.ContentType).ShouldBe((new Usage(3, 4), "text/event-stream"));
    }

    [Theory]
    [InlineData(InferenceRefusal.ContextTooLarge, 400)]
    [InlineData(InferenceRefusal.Busy, 429)]
    public async Task A_refusal_has_one_that_charges_nothing(InferenceRefusal reason, int status)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatRefuses(reason));
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        var inner = Inner(token);
        using var call = Seal(keys, inner);
        var receipt = Verify(keys, token, call, inner, await OpenAsync(call, await PostAsync(node, call, token)));
        (receipt.Status, receipt.Usage, receipt.End).ShouldBe((status, default(Usage), AnswerEnd.Complete));
    }

    [Fact]
    public async Task An_engine_that_took_too_long_has_one_over_what_is_charged()
    {
        await using var node = await StartAsync(
            ScriptedBackend.ThatThrows(() => new InferenceException(InferenceFailure.TimedOut, "late") { Usage = new Usage(10, 5) }));
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        var inner = Inner(token);
        using var call = Seal(keys, inner);
        var receipt = Verify(keys, token, call, inner, await OpenAsync(call, await PostAsync(node, call, token)));
        (receipt.Status, receipt.Usage).ShouldBe((500, new Usage(10, 5)));
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(receipt.Usage);
    }

    [Fact]
    public async Task The_list_of_models_has_one()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        var inner = Inner(token) with { Method = "GET", Path = "/v1/models", Body = default };
        using var call = Seal(keys, inner);
        Verify(keys, token, call, inner, await OpenAsync(call, await PostAsync(node, call, token))).Usage.ShouldBe(default);
    }

    [Fact]
    public async Task A_request_that_is_not_the_one_the_gateway_was_told_of_has_none()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        using var call = Seal(keys, Inner(token) with { Request = RequestId.New() });
        var answer = await OpenAsync(call, await PostAsync(node, call, token));
        (answer.Status, answer.Trailers!.Count).ShouldBe((400, 0));
    }

    [Theory]
    [InlineData("a failure", false)]
    [InlineData("no finish reason", false)]
    [InlineData("a failure", true)]
    [InlineData("no finish reason", true)]
    public async Task A_stream_whose_engine_broke_off_ends_with_a_receipt_and_without_its_final_chunk(string end, bool isPaced)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Cut()) { Finishes = false }));
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        var inner = Inner(token, body: Streamed) with { IsPaced = isPaced };
        using var call = Seal(keys, inner);
        using var response = await PostAsync(node, call, token);
        using var reader = call.Open(PipeReader.Create(await response.Content.ReadAsStreamAsync()), keptSize: 1 << 20);
        await reader.ReadHeadAsync(default);
        var cut = await Should.ThrowAsync<Protocol.Oblivious.MessageNotOpenedException>(async () =>
        {
            while (await reader.ReadContentAsync(default).AsTask().Soon() is { Length: > 0 })
            {
            }
        });
        cut.Outcome.ShouldBe(Protocol.Oblivious.OpenOutcome.Truncated);
        var receipt = Verify(keys, token, call, inner, reader.Trailers, reader.CopyMessage());
        (receipt.End, receipt.Usage, receipt.Status).ShouldBe((AnswerEnd.CutOff, new Usage(3, 4), 200));
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(receipt.Usage);
        await ShouldBeEmptyAsync(node);

        async IAsyncEnumerable<string> Cut()
        {
            await Task.CompletedTask;
            yield return ScriptedBackend.Chunk("a");
            if (end == "a failure")
                throw new InferenceException(InferenceFailure.Failed, "It broke.");
        }
    }

    [Fact]
    public async Task Who_leaves_early_gets_none_and_is_charged_all_the_same()
    {
        var gate = new Gate();
        await using var node = await StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(OneThenSilence) { Finishes = false }));
        var (keys, token) = (await VerifiedAsync(node), Token(node));
        using var call = Seal(keys, token, body: Streamed);
        using (var response = await PostAsync(node, call, token))
        {
            using var reader = call.Open(PipeReader.Create(await response.Content.ReadAsStreamAsync()));
            (await reader.ReadContentAsync(default)).IsEmpty.ShouldBeFalse();
            await gate.Reached;
            reader.Trailers.ShouldBeNull();
        }

        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
        node.Log.Text.ShouldContain($"{token.Request}: CLIENT_GONE");
        node.Log.Text.ShouldNotContain(" fail: ");
        await ShouldBeEmptyAsync(node);

        async IAsyncEnumerable<string> OneThenSilence([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken stopped)
        {
            yield return ScriptedBackend.Chunk("a");
            await gate.PassAsync(stopped);
        }
    }

    [Fact]
    public async Task Two_receipts_of_the_same_words_have_nothing_in_common()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var keys = await VerifiedAsync(node);
        var receipts = new List<Receipt>();
        for (var i = 0; i < 2; i++)
        {
            var token = Token(node);
            var inner = Inner(token);
            using var call = Seal(keys, inner);
            receipts.Add(Verify(keys, token, call, inner, await OpenAsync(call, await PostAsync(node, call, token))));
        }

        receipts[0].AnswerHash.ToArray().ShouldNotBe(receipts[1].AnswerHash.ToArray()); // salted: the same answer, and nobody sees it
    }

    private static ScriptedBackend Answering(params string[] texts) => new()
    {
        Script = (request, _) => Task.FromResult<InferenceStart>(new InferenceStart.Started(
            new ScriptedAnswer(_ => ScriptedBackend.Parts(request.Stream ? [.. texts.Select(ScriptedBackend.Chunk)] : [ScriptedBackend.Whole])).As(request))),
    };

    private static Receipt Verify(VerifiedBundle keys, RelayToken token, SealedCall call, InnerCall inner, Opened answer) =>
        Verify(keys, token, call, inner, answer.Trailers, answer.Message);

    // By hand, as the specification says it.
    private static Receipt Verify(VerifiedBundle keys, RelayToken token, SealedCall call, InnerCall inner, FieldSection? trailers, byte[]? message)
    {
        ReceiptTrailers.TryRead(trailers, out var bytes, out var salts).ShouldBeTrue();
        SignedReceipt.TryParse(bytes, out var signed).ShouldBe(CoseError.None);
        signed!.IsSignedBy(new Ed25519PublicKey(keys.Keys.Signing.Span)).ShouldBeTrue();
        var receipt = signed.Receipt;
        var request = new System.Buffers.ArrayBufferWriter<byte>();
        var size = inner.Write(request);
        (receipt.KeySet, receipt.Request, receipt.Model, receipt.MaxUnits).ShouldBe((token.KeySet, token.Request, token.Model, token.Units));
        receipt.Encapsulation.ToArray().ShouldBe(Sha256.Hash(call.Body.Span[..(7 + 1120)]));
        receipt.RequestHash.ToArray().ShouldBe(
            Sha256.Hash([.. salts.Request, .. "ConfidentialChat receipt v1 request"u8, .. request.WrittenSpan[..size]]));
        receipt.AnswerHash.ToArray().ShouldBe(Sha256.Hash([.. salts.Answer, .. "ConfidentialChat receipt v1 answer"u8, .. message!]));
        (DateTimeOffset.UtcNow - receipt.Time).Duration().ShouldBeLessThan(TimeSpan.FromMinutes(1));
        Encoding.UTF8.GetString(bytes).ShouldNotContain("an answer");
        return receipt;
    }

    private Task<NodeUnderTest> StartAsync(ScriptedBackend engine, Func<NodeOptions, NodeOptions>? change = null) =>
        NodeUnderTest.StartAsync(engine, change, evidence: platform);
}
