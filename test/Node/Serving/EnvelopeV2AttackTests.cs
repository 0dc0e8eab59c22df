using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Time.Testing;

using static ConfidentialChat.Node.Tests.Serving.SealedCalling;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>
/// spec/envelope-v2.md sections 5, 7 and 9: who sends the old, the slow, the endless and the broken, or leaves. Whatever it is, nothing is
/// charged that was not computed, and nothing of it is left in the node.
/// </summary>
public sealed class EnvelopeV2AttackTests : IDisposable
{
    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Fact]
    public async Task A_copy_is_refused_also_after_the_host_set_its_clock_back_and_so_is_a_new_request_of_the_time_that_is_past()
    {
        var clock = new SettableClock(DateTimeOffset.UtcNow);
        await using var node = await StartAsync(ScriptedBackend.ThatServes(), time: clock);
        var keys = await VerifiedAsync(node, clock.GetUtcNow());
        var began = clock.GetUtcNow();
        var token = Token(node, clock);
        using var call = Seal(keys, token, began);
        (await OpenAsync(call, await PostAsync(node, call, token))).Status.ShouldBe(200);
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));

        clock.Advance(TimeSpan.FromMinutes(11));
        clock.SetBy -= TimeSpan.FromMinutes(11);
        clock.GetUtcNow().ShouldBe(began);
        var again = Token(node, clock);
        await ShouldBeProblemAsync(await PostAsync(node, call.Body.ToArray(), again), RequestError.Replay);
        await ShouldCostNothingAsync(node, again);

        var late = Token(node, clock);
        using var old = Seal(keys, late, began);
        var answer = await OpenAsync(old, await PostAsync(node, old, late));
        (answer.Status, answer.Text.Contains(ProblemDocument.Date, StringComparison.Ordinal)).ShouldBe((400, true));
        DateTimeOffset.Parse(answer.Fields["date"], System.Globalization.CultureInfo.InvariantCulture).ShouldBe(began.AddMinutes(11), TimeSpan.FromMinutes(1));
        await ShouldCostNothingAsync(node, late);
    }

    [Fact]
    public async Task One_token_and_its_request_sent_many_times_at_once_is_served_once()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token);
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PostAsync(node, call, token)));
        (await OpenAsync(call, answers.Single(answer => answer.StatusCode == HttpStatusCode.OK))).Text.ShouldBe(ScriptedBackend.Whole);
        foreach (var refused in answers.Where(answer => answer.StatusCode != HttpStatusCode.OK))
            await ShouldBeProblemAsync(refused, RequestError.AuthError);
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
        await ShouldBeEmptyAsync(node);
    }

    [Fact]
    public async Task A_request_to_a_key_that_is_erased_is_told_so()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var node = await StartAsync(ScriptedBackend.ThatServes(), time: time);
        var (keys, digest) = (await VerifiedAsync(node, time.GetUtcNow()), node.Ring.Current.Digest);
        time.Advance(keys.Statement.NotAfter - time.GetUtcNow());
        var token = Token(node, time) with { KeySet = digest };
        using var call = Seal(keys, token, time.GetUtcNow());
        using var refused = await PostAsync(node, call, token);
        await ShouldBeProblemAsync(refused, RequestError.UnknownNodeKey);
        await ShouldCostNothingAsync(node, token);
    }

    [Fact]
    public async Task A_slow_upload_does_not_keep_a_key_beyond_its_time()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var node = await StartAsync(ScriptedBackend.ThatServes(), time: time);
        var (keys, digest) = (await VerifiedAsync(node, time.GetUtcNow()), node.Ring.Current.Digest);
        time.Advance(keys.Statement.NotAfter - time.GetUtcNow() - TimeSpan.FromSeconds(2));
        var token = Token(node, time) with { KeySet = digest };
        using var call = Seal(keys, token, time.GetUtcNow());
        using var upload = await BeginAsync(node, token, $"Content-Length: {call.Body.Length}", call.Body[..1000]);
        await Waiting.UntilAsync(() => Inside(node) == 1);
        time.Advance(TimeSpan.FromSeconds(3));
        await Waiting.UntilAsync(() => !node.Ring.TryFind(digest, out _));
        await upload.GetStream().WriteAsync(call.Body[1000..]);
        (await AnswerAsync(upload)).ShouldStartWith("HTTP/1.1 400 ");
        await ShouldCostNothingAsync(node, token);
    }

    [Fact]
    public async Task A_node_that_started_anew_opens_nothing_that_was_sealed_to_the_one_before_though_a_key_has_the_same_id()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var old = Token(node);
        using var call = Seal(await VerifiedAsync(node), old);
        await node.RestartAsync();
        await node.App.StartAsync();
        await NodeHost.WhenReadyAsync(node.App, TestContext.Current.CancellationToken).Soon();

        var sent = old with { Expires = DateTimeOffset.UtcNow.AddSeconds(30) };
        await ShouldBeProblemAsync(await PostAsync(node, call, sent), RequestError.UnknownNodeKey);
        await ShouldCostNothingAsync(node, sent);

        // The id of a key is a byte: sooner or later one comes again.
        var token = Token(node);
        using var other = Seal(await VerifiedAsync(node), token);
        var bytes = call.Body.ToArray();
        bytes[0] = other.Body.Span[0];
        await ShouldBeProblemAsync(await PostAsync(node, bytes, token), RequestError.DecryptionFailed);
        await ShouldCostNothingAsync(node, token);
    }

    [Theory]
    [InlineData("Content-Length: 100000")]
    [InlineData("Transfer-Encoding: chunked")]
    public async Task An_upload_that_drips_is_cut_off_at_its_time_and_holds_nothing_afterwards(string framing)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes(), options => options with { UploadTimeout = TimeSpan.FromMilliseconds(500) });
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token);
        using var upload = await BeginAsync(node, token, framing, default);
        var (stream, isChunked, began) = (upload.GetStream(), framing.StartsWith('T'), TimeProvider.System.GetTimestamp());
        var dripping = Task.Run(async () =>
        {
            for (var i = 0; i < 1000; i++, await Task.Delay(20))
                await stream.WriteAsync(isChunked ? [.. "1\r\n"u8, call.Body.Span[i], .. "\r\n"u8] : new[] { call.Body.Span[i] });
        });
        var status = new byte["HTTP/1.1 500".Length];
        await stream.ReadExactlyAsync(status).AsTask().Soon();
        Encoding.ASCII.GetString(status).ShouldBe("HTTP/1.1 500"); // who is slow is the gateway
        TimeProvider.System.GetElapsedTime(began).ShouldBeLessThan(TimeSpan.FromSeconds(3));
        await ShouldCostNothingAsync(node, token);
        await Should.ThrowAsync<IOException>(dripping.Soon()); // hung up, after the moment that Kestrel gives a sender to see its answer
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_request_of_chunks_of_a_byte_is_opened_up_to_the_bound_of_chunks_and_answered_inside_beyond_it(bool isBeyond)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var token = Token(node);
        var message = new ArrayBufferWriter<byte>();
        Inner(token, body: isBeyond ? Chat.Replace("one", new string('x', 4000), StringComparison.Ordinal) : Chat).Write(message);
        KeyConfigurationList.TryParse((await VerifiedAsync(node)).Keys.Ohttp.Span, out var list).ShouldBeTrue();
        var body = new ArrayBufferWriter<byte>();
        using var sealer = ChunkedRequestSealer.Start(list!.Configurations[0], Protocol.Hpke.SymmetricSuite.Default, body);
        foreach (var one in message.WrittenSpan.ToArray())
            sealer.Seal([one]);
        sealer.SealFinal([]);

        using var response = await PostAsync(node, body.WrittenSpan.ToArray(), token);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        using var opener = sealer.OpenAnswer(PipeReader.Create(await response.Content.ReadAsStreamAsync()), ChunkLimits.Answer);
        var chunk = await opener.ReadAsync();
        chunk.Outcome.ShouldBe(OpenOutcome.Final);
        Encoding.UTF8.GetString(chunk.Plaintext.Span).ShouldContain(isBeyond ? "BODY_TOO_LARGE" : "an answer");
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(isBeyond ? default : new Usage(3, 4));
        await ShouldBeEmptyAsync(node);
    }

    [Fact]
    public async Task A_request_that_comes_a_byte_at_a_time_is_served()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token);
        using var upload = await BeginAsync(node, token, "Transfer-Encoding: chunked", default);
        upload.NoDelay = true;
        foreach (var one in call.Body.ToArray())
            await upload.GetStream().WriteAsync(new byte[] { (byte)'1', 13, 10, one, 13, 10 });
        await upload.GetStream().WriteAsync("0\r\n\r\n"u8.ToArray());
        (await AnswerAsync(upload)).ShouldStartWith("HTTP/1.1 200 ");
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
        await ShouldBeEmptyAsync(node);
    }

    /// <summary>HPKE of others has panicked on a key that was cut off: cloudflare/circl 614, cloudflare/odoh-rs 28.</summary>
    [Fact]
    public async Task Every_beginning_of_a_request_is_refused_outside_whatever_is_cut_and_the_whole_is_served_still()
    {
        const int Header = 7, Enc = 1120;
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token);
        foreach (var length in (int[])
        [
            0, 1, Header - 1, Header, Header + 1, Header + 1087, Header + Enc - 1, Header + Enc, Header + Enc + 1, Header + Enc + 2, Header + Enc + 17,
            call.Body.Length - 1,
        ])
        {
            var cut = Token(node);
            await ShouldBeProblemAsync(await PostAsync(node, call.Body[..length].ToArray(), cut, isChunked: length % 2 == 0), RequestError.DecryptionFailed);
            await ShouldCostNothingAsync(node, cut);
        }

        (await OpenAsync(call, await PostAsync(node, call, token))).Text.ShouldBe(ScriptedBackend.Whole);
    }

    [Theory]
    [InlineData("announced")]
    [InlineData("of unknown length")]
    [InlineData("of one chunk that does not end")]
    public async Task An_upload_that_is_too_large_is_refused_outside_and_marks_nothing(string what)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes(), options => options with { MaxBodyBytes = 64 * 1024 });
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, body: Chat.Replace("one", new string('x', 70_000), StringComparison.Ordinal));
        if (what == "of one chunk that does not end")
        {
            using var upload = await BeginAsync(node, token, "Transfer-Encoding: chunked", Encoding.ASCII.GetBytes("7fffffff\r\n"));
            var sending = Task.Run(async () =>
            {
                while (true)
                    await upload.GetStream().WriteAsync(new byte[16 * 1024]);
            });
            (await AnswerAsync(upload)).ShouldStartWith("HTTP/1.1 413 ");
            upload.Close();
            await Should.ThrowAsync<Exception>(sending);
        }
        else
        {
            await ShouldBeProblemAsync(await PostAsync(node, call.Body.ToArray(), token, isChunked: what != "announced"), RequestError.BodyTooLarge);
        }

        await ShouldCostNothingAsync(node, token);
    }

    [Theory]
    [InlineData("before the body", false, 0)]
    [InlineData("in the body", false, 0)]
    [InlineData("in the queue", false, 0)]
    [InlineData("in the queue", true, 0)]
    [InlineData("before the engine has begun", false, 0)]
    [InlineData("before the engine has begun", true, 0)]
    [InlineData("before the first byte", false, 10)]
    [InlineData("before the first byte", true, 10)]
    [InlineData("in the stream", true, 10)]
    public async Task Who_hangs_up_is_charged_what_was_computed_and_leaves_nothing_behind(string when, bool isStream, int computed)
    {
        var (gate, first) = (new Gate(), new Gate());
        var isFirst = true;
        await using var node = await StartAsync(
            new ScriptedBackend
            {
                Script = async (request, cancellation) =>
                {
                    if (when == "in the queue" && isFirst)
                    {
                        isFirst = false;
                        await first.PassAsync(cancellation);
                        return new InferenceStart.Started(new ScriptedAnswer(_ => ScriptedBackend.Parts(ScriptedBackend.Whole)).As(request));
                    }

                    if (when == "before the engine has begun")
                        await gate.PassAsync(cancellation);
                    return new InferenceStart.Started(new ScriptedAnswer(stopped => PartsAsync(stopped)) { Used = new Usage(computed, 0) }.As(request));
                },
            },
            options => options with { MaxConcurrent = 1, MaxQueued = 1 });
        var keys = await VerifiedAsync(node);
        var served = Token(node);
        using var before = Seal(keys, served);
        using var answer = when == "in the queue" ? await PostAsync(node, before, served) : null;
        if (answer is not null)
            await first.Reached;

        var token = Token(node);
        using var call = Seal(keys, token, body: isStream ? Streamed : Chat);
        var sent = when switch { "before the body" => 0, "in the body" => call.Body.Length / 2, _ => call.Body.Length };
        using (var upload = await BeginAsync(node, token, $"Content-Length: {call.Body.Length}", call.Body[..sent]))
        {
            if (when == "in the queue")
                await Waiting.UntilAsync(() => SeatingOf(node).Queued == 1);
            else if (sent == call.Body.Length)
                await gate.Reached;
            else
                await Waiting.UntilAsync(() => Inside(node) == 1);
            if (when == "in the stream")
                await UntilReadAsync(upload, 2000);
        }

        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(computed, 0));
        first.Open();
        await ShouldBeEmptyAsync(node);
        node.Log.Text.ShouldContain($"{token.Request}: CLIENT_GONE");
        node.Log.Text.ShouldNotContain(" fail: ");
        node.Gateway.Reports.Count(report => report.Request == token.Request.Value).ShouldBe(1);

        async IAsyncEnumerable<string> PartsAsync([EnumeratorCancellation] CancellationToken stopped)
        {
            if (when == "in the stream")
            {
                for (var i = 0; i < 4; i++)
                    yield return ScriptedBackend.Chunk("a");
            }

            await gate.PassAsync(stopped);
        }
    }

    private static async Task ShouldCostNothingAsync(NodeUnderTest node, RelayToken token)
    {
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(default);
        await ShouldBeEmptyAsync(node);
        node.Log.Text.ShouldNotContain(" fail: ");
    }

    private Task<NodeUnderTest> StartAsync(ScriptedBackend engine, Func<NodeOptions, NodeOptions>? change = null, TimeProvider? time = null) =>
        NodeUnderTest.StartAsync(engine, change, time, platform);

    // A gateway that stops where the test says.
    private static async Task<TcpClient> BeginAsync(NodeUnderTest node, RelayToken token, string framing, ReadOnlyMemory<byte> body)
    {
        var connection = new TcpClient();
        await connection.ConnectAsync(IPAddress.Loopback, node.Url.Port);
        var head = $"POST /v2/relay HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Type: message/ohttp-chunked-req\r\n"
            + $"{RelayToken.HeaderName}: {token.Write(node.Gateway.RelayKey)}\r\n{framing}\r\n\r\n";
        await connection.GetStream().WriteAsync((byte[])[.. Encoding.ASCII.GetBytes(head), .. body.Span]);
        return connection;
    }

    // All of it, up to the end of the connection.
    private static async Task<string> AnswerAsync(TcpClient connection)
    {
        var answer = new MemoryStream();
        try
        {
            await connection.GetStream().CopyToAsync(answer).Soon();
        }
        catch (IOException) when (answer.Length > 0)
        {
            // What was sent too much resets it, once the answer is out.
        }

        return Encoding.Latin1.GetString(answer.ToArray());
    }

    private static async Task UntilReadAsync(TcpClient connection, int bytes)
    {
        var buffer = new byte[4096];
        for (int read; bytes > 0; bytes -= read)
            (read = await connection.GetStream().ReadAsync(buffer).AsTask().Soon()).ShouldBeGreaterThan(0);
    }
}
