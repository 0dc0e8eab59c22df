using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Shape;
using ConfidentialChat.Protocol.V2;
using Microsoft.Extensions.Time.Testing;

using static ConfidentialChat.Node.Tests.Serving.SealedCalling;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/envelope-v2.md sections 4 to 9, at a real node whose evidence is simulated.</summary>
public sealed class EnvelopeV2Tests : IDisposable
{
    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Fact]
    public async Task A_request_sealed_to_a_verified_key_is_answered_sealed_and_counted()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var keys = await VerifiedAsync(node);
        var token = Token(node);
        using var call = Seal(keys, token);
        var answer = await OpenAsync(call, await PostAsync(node, call, token));
        answer.Status.ShouldBe(200);
        answer.Text.ShouldBe(ScriptedBackend.Whole);
        answer.SealedBytes.ShouldBeInRange(2048, 2048 + 100); // all short answers have one size
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
    }

    [Theory]
    [InlineData(100_000, false)]
    [InlineData(100_000, true)]
    [InlineData(100, true)]
    public async Task A_large_request_and_one_of_unknown_length_are_answered_whole_and_counted_and_leave_no_room_taken(int size, bool isChunked)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, body: Chat.Replace("\"one\"", $"\"{new string('x', size)}\"", StringComparison.Ordinal));
        var answer = await OpenAsync(call, await PostAsync(node, call.Body.ToArray(), token, isChunked: isChunked));
        answer.Text.ShouldBe(ScriptedBackend.Whole);
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
        ((ConfidentialChat.Hosting.Bodies.BodyBudget)node.App.Services.GetService(typeof(ConfidentialChat.Hosting.Bodies.BodyBudget))!).Taken.ShouldBe(0);
    }

    [Fact]
    public async Task A_stream_is_an_event_a_chunk_of_whole_blocks_and_ends_with_done()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(
            ScriptedBackend.Chunk("a"), ScriptedBackend.Chunk(new string('b', 100)), ScriptedBackend.Chunk(new string('c', 20_000))))));
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, body: Chat.Replace("{\"model\"", "{\"stream\":true,\"model\"", StringComparison.Ordinal));
        var answer = await OpenAsync(call, await PostAsync(node, call, token));
        answer.ContentType.ShouldBe("text/event-stream");
        var unpadded = new ArrayBufferWriter<byte>();
        var unpadder = new EventUnpadder();
        unpadder.Unpad(Encoding.UTF8.GetBytes(answer.Text), unpadded);
        unpadder.Complete(unpadded);
        var text = Encoding.UTF8.GetString(unpadded.WrittenSpan);
        text.ShouldStartWith(
            string.Concat(((string[])["a", new string('b', 100), new string('c', 20_000)]).Select(words => $"data: {ScriptedBackend.Chunk(words)}\n\n")));
        text.ShouldEndWith("\n\ndata: [DONE]\n\n");
    }

    [Fact]
    public async Task The_bundle_binds_the_keys_and_names_node_models_and_configuration_and_a_live_one_carries_the_challenge()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var announced = node.Ring.Current;
        var bundle = await node.Client.GetByteArrayAsync(new Uri(node.Url, $"/v2/evidence/{announced.Digest}"));
        System.Security.Cryptography.SHA256.HashData(bundle).ShouldBe(announced.Bundle!.Value.ToArray());
        var verified = Verify(bundle);
        new KeySetDigest(verified.Keys.Digest()).ShouldBe(announced.Digest);
        verified.Statement.Node.ShouldBe(ScriptedGateway.Node.Value);
        verified.Statement.Models.ShouldBe([new NodeModel(ScriptedBackend.Model, null)]);
        verified.Statement.NotAfter.ShouldBe(verified.Statement.IssuedAt.AddMinutes(70));

        var challenges = Enumerable.Range(0, 20).Select(_ => System.Security.Cryptography.RandomNumberGenerator.GetBytes(32)).ToList();
        var answers = await Task.WhenAll(challenges.Select(challenge => ChallengeAsync(node, challenge)));
        for (var i = 0; i < challenges.Count; i++)
        {
            LiveEvidence.TryParse(await answers[i].Content.ReadAsByteArrayAsync(), out var live).ShouldBeNull();
            var nonce = live!.NonceOf(challenges[i])!;
            var fresh = Verify(live.Bundle, nonce);
            fresh.Keys.Digest().ShouldBe(verified.Keys.Digest());
            fresh.Statement.NotAfter.ShouldBe(verified.Statement.NotAfter);
        }

        await ShouldBeProblemAsync(await node.Client.PostAsync(new Uri(node.Url, "/v2/evidence"), null), RequestError.AuthError);
        await ShouldBeProblemAsync(await ChallengeAsync(node, new byte[31]), RequestError.InvalidField);
        await ShouldBeProblemAsync(
            await node.Client.GetAsync(new Uri(node.Url, $"/v2/evidence/{new KeySetDigest(new byte[32])}")), RequestError.UnknownNodeKey);
        await ShouldBeProblemAsync(await node.Client.GetAsync(new Uri(node.Url, "/v2/evidence/x")), RequestError.UnknownNodeKey);
    }

    [Fact]
    public async Task A_node_without_evidence_has_no_sealed_door()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        (await node.Client.PostAsync(new Uri(node.Url, "/v2/relay"), null)).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await node.Client.GetAsync(new Uri(node.Url, $"/v2/evidence/{node.Ring.Current.Digest}"))).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        node.Ring.Current.Ohttp.ShouldBeNull();
    }

    [Fact]
    public async Task A_replay_is_refused_outside_in_sequence_in_parallel_and_late()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var node = await StartAsync(ScriptedBackend.ThatServes(), time: time);
        var keys = await VerifiedAsync(node, time.GetUtcNow());
        var token = Token(node, time);
        using var call = Seal(keys, token, date: time.GetUtcNow());
        var bytes = call.Body.ToArray();

        // The gateway can write any number of tokens of one request's id only once; of others the inner id does not fit, but what opened is marked before.
        var parallel = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PostAsync(node, bytes, Token(node, time) with { Request = RequestId.New() })));
        parallel.Count(response => response.StatusCode == HttpStatusCode.OK).ShouldBe(1);
        foreach (var refused in parallel.Where(response => response.StatusCode != HttpStatusCode.OK))
            await ShouldBeProblemAsync(refused, RequestError.Replay);
        await ShouldBeProblemAsync(await PostAsync(node, bytes, token), RequestError.Replay);

        time.Advance(TimeSpan.FromMinutes(20));
        await ShouldBeProblemAsync(await PostAsync(node, bytes, Token(node, time) with { Request = token.Request }), RequestError.Replay);
        await ShouldBeEmptyAsync(node);
    }

    [Theory]
    [InlineData(-6, true)]
    [InlineData(-4, false)]
    [InlineData(4, false)]
    [InlineData(7, true)]
    public async Task A_date_outside_of_the_window_is_refused_inside_with_the_nodes_date(int minutes, bool isRefused)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, date: DateTimeOffset.UtcNow.AddMinutes(minutes));
        var answer = await OpenAsync(call, await PostAsync(node, call, token));
        answer.Status.ShouldBe(isRefused ? 400 : 200);
        if (!isRefused)
            return;
        answer.Text.ShouldContain(ProblemDocument.Date);
        DateTimeOffset.Parse(answer.Fields["date"], System.Globalization.CultureInfo.InvariantCulture).ShouldBe(DateTimeOffset.UtcNow, TimeSpan.FromMinutes(1));
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(default);
        await ShouldBeEmptyAsync(node);
    }

    public static TheoryData<string> Wrongs => new(
        "another request", "another model", "more units", "another path", "a method", "no JSON", "another model in the body", "a stream of embeddings",
        "an authorization", "a cookie", "a message of zeros");

    [Theory]
    [MemberData(nameof(Wrongs))]
    public async Task What_does_not_fit_inside_is_refused_inside_and_costs_nothing(string wrong)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var token = Token(node);
        var keys = await VerifiedAsync(node);
        InnerCall Of() => Inner(token);
        using var call = wrong switch
        {
            "another request" => Seal(keys, Of() with { Request = RequestId.New() }),
            "another model" => Seal(keys, Of() with { Model = "other" }),
            "more units" => Seal(keys, Of() with { MaxUnits = new ComputeUnits(token.Units.Value + 1) }),
            "another path" => Seal(keys, Of() with { Path = "/v1/files" }),
            "a method" => Seal(keys, Of() with { Method = "GET" }),
            "no JSON" => Seal(keys, Of() with { Body = "{"u8.ToArray() }),
            "another model in the body" => Seal(keys, Of() with { Body = """{"model":"other","messages":[]}"""u8.ToArray() }),
            "a stream of embeddings" =>
                Seal(keys, Of() with { Path = "/v1/embeddings", Body = """{"model":"test-model","stream":true,"input":"a"}"""u8.ToArray() }),
            "an authorization" => SealRaw(keys, Of(), "authorization", "Bearer secret"),
            "a cookie" => SealRaw(keys, Of(), "cookie", "a=b"),
            _ => SealBytes(keys, new byte[2048]),
        };
        var answer = await OpenAsync(call, await PostAsync(node, call, token));
        answer.Status.ShouldBe(wrong switch { "another path" => 404, "a method" => 405, _ => 400 });
        answer.Text.ShouldStartWith("{\"error\":{\"message\":");
        answer.ContentType.ShouldBe("application/json");
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(default);
        node.Log.Text.ShouldNotContain("Bearer secret");
        await ShouldBeEmptyAsync(node);
    }

    [Fact]
    public async Task The_list_of_models_needs_no_engine_and_costs_nothing()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatThrows(() => new InvalidOperationException()));
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), Inner(token) with { Method = "GET", Path = "/v1/models", Body = default });
        var answer = await OpenAsync(call, await PostAsync(node, call, token));
        answer.Status.ShouldBe(200);
        answer.Text.ShouldContain("\"id\":\"test-model\"");
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(default);
    }

    public static TheoryData<string, RequestError> Outsides => new()
    {
        { "no token", RequestError.AuthError },
        { "a token for another door", RequestError.AuthError },
        { "another key set", RequestError.UnknownNodeKey },
        { "another key id", RequestError.UnknownNodeKey },
        { "another suite", RequestError.UnknownNodeKey },
        { "a key of envelope v1's kind", RequestError.UnknownNodeKey },
        { "a flipped bit in enc", RequestError.DecryptionFailed },
        { "a flipped bit in the first chunk", RequestError.DecryptionFailed },
        { "nothing", RequestError.DecryptionFailed },
        { "a header alone", RequestError.DecryptionFailed },
        { "another type", RequestError.DecryptionFailed },
        { "a chunk of a gigabyte", RequestError.BodyTooLarge },
    };

    [Theory]
    [MemberData(nameof(Outsides))]
    public async Task What_does_not_open_is_refused_outside_and_marks_nothing(string wrong, RequestError error)
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var keys = await VerifiedAsync(node);
        var token = Token(node);
        using var call = Seal(keys, token);
        var good = call.Body.ToArray();
        var bytes = good.ToArray();
        string? type = null;
        RelayToken? shown = token;
        switch (wrong)
        {
            case "no token":
                shown = null;
                break;
            case "a token for another door":
                shown = token with { Endpoint = NodeUnderTest.ChatPath };
                break;
            case "another key set":
                shown = token with { KeySet = new KeySetDigest(new byte[32]) };
                break;
            case "another key id":
                bytes[0]++;
                break;
            case "another suite":
                bytes[6] = 1;
                break;
            case "a key of envelope v1's kind":
                (bytes[1], bytes[2]) = (0x00, 0x20);
                break;
            case "a flipped bit in enc":
                bytes[7] ^= 1;
                break;
            case "a flipped bit in the first chunk":
                bytes[^1] ^= 1;
                break;
            case "nothing":
                bytes = [];
                break;
            case "a header alone":
                bytes = bytes[..7];
                break;
            case "another type":
                type = "application/json";
                break;
            case "a chunk of a gigabyte":
                bytes = [.. bytes[..(7 + 1120)], 0xC0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3];
                break;
        }

        using var refused = await PostAsync(node, bytes, shown, type);
        await ShouldBeProblemAsync(refused, error);
        if (error == RequestError.UnknownNodeKey)
            (await refused.Content.ReadAsStringAsync()).ShouldContain(ProblemDocument.OhttpKey);
        // The very bytes open still, under another token, whose request they are not.
        (await OpenAsync(call, await PostAsync(node, good, Token(node)))).Status.ShouldBe(400);
        await ShouldBeEmptyAsync(node);
    }

    [Fact]
    public async Task A_later_chunk_that_does_not_open_is_answered_inside_and_one_that_is_missing_not_at_all()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatServes());
        var keys = await VerifiedAsync(node);
        var body = Chat.Replace("\"one\"", $"\"{new string('x', 40_000)}\"", StringComparison.Ordinal);
        var token = Token(node);
        using (var call = Seal(keys, token, body: body))
        {
            var bytes = call.Body.ToArray();
            bytes[^1] ^= 1;
            (await OpenAsync(call, await PostAsync(node, bytes, token))).Status.ShouldBe(400);
        }

        var second = Token(node);
        using var cut = Seal(keys, second, body: body);
        await Should.ThrowAsync<HttpRequestException>(() => PostAsync(node, cut.Body[..^16_000].ToArray(), second));
        (await node.Gateway.ReportAsync(second.Request)).Usage.ShouldBe(default);
        await ShouldBeEmptyAsync(node);
    }

    [Fact]
    public async Task Before_an_answer_that_takes_long_there_are_signs_of_life_in_whole_and_streamed_answers()
    {
        foreach (var stream in (bool[])[false, true])
        {
            var go = new TaskCompletionSource();
            await using var node = await StartAsync(
                new ScriptedBackend
                {
                    Script = async (request, _) =>
                    {
                        await go.Task;
                        return new InferenceStart.Started(
                            new ScriptedAnswer(_ => ScriptedBackend.Parts(stream ? ScriptedBackend.Chunk("a") : ScriptedBackend.Whole)).As(request));
                    },
                },
                options => options with { KeepAlive = TimeSpan.FromMilliseconds(100) });
            var token = Token(node);
            using var call = Seal(
                await VerifiedAsync(node), token,
                body: stream
                    ? Chat.Replace("{", "{\"stream\":true,", StringComparison.Ordinal).Replace("[{\"stream\":true,", "[{", StringComparison.Ordinal)
                    : Chat);
            using var response = await PostAsync(node, call, token);
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            var pipe = PipeReader.Create(await response.Content.ReadAsStreamAsync());
            var seen = await pipe.ReadAtLeastAsync(32 + 1500);
            seen.Buffer.Length.ShouldBeGreaterThan(1500);
            pipe.AdvanceTo(seen.Buffer.Start);
            go.SetResult();
            using var reader = call.Open(pipe);
            var head = await reader.ReadHeadAsync(default);
            head.Status.ShouldBe(200);
            head.Informational.Count.ShouldBeGreaterThan(1);
            head.Informational.ShouldAllBe(sign => sign.Status == 102);
            var text = "";
            while (await reader.ReadContentAsync(default) is { Length: > 0 } piece)
                text += Encoding.UTF8.GetString(piece.Span);
            text.ShouldContain(stream ? "[DONE]" : "an answer");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_node_that_is_full_says_so_outside_before_it_reads_and_inside_where_it_fills_up_meanwhile(int queued)
    {
        var go = new TaskCompletionSource();
        await using var node = await StartAsync(
            new ScriptedBackend
            {
                Script = async (request, _) =>
                {
                    await go.Task;
                    return new InferenceStart.Started(new ScriptedAnswer(_ => ScriptedBackend.Parts(ScriptedBackend.Whole)).As(request));
                },
            },
            options => options with { MaxConcurrent = 1, MaxQueued = queued - 1 });
        var keys = await VerifiedAsync(node);
        var calls = new List<SealedCall>();
        for (var i = 0; i < queued; i++)
        {
            var token = Token(node);
            calls.Add(Seal(keys, token));
            (await PostAsync(node, calls[^1], token)).StatusCode.ShouldBe(HttpStatusCode.OK); // opened, and waiting
            var seating = SeatingOf(node);
            while (seating.Running + seating.Queued < calls.Count)
                await Task.Delay(5);
        }

        var late = Token(node);
        using var refused = Seal(keys, late);
        await ShouldBeProblemAsync(await PostAsync(node, refused, late), RequestError.TooManyRequests);
        go.SetResult();
        calls.ForEach(call => call.Dispose());
    }

    [Fact]
    public async Task Rotations_under_streams_lose_none_and_erase_what_is_over()
    {
        await using var node = await StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(Slow)),
            options => options with { KeyLifetime = TimeSpan.FromSeconds(60), KeyGrace = TimeSpan.FromSeconds(30) });
        var streams = new List<Task<Opened>>();
        for (var i = 0; i < 30; i++)
        {
            var keys = await VerifiedAsync(node);
            var token = Token(node);
            var call = Seal(keys, token, body: Chat.Replace("{\"model\"", "{\"stream\":true,\"model\"", StringComparison.Ordinal));
            streams.Add(Task.Run(async () =>
            {
                using (call)
                    return await OpenAsync(call, await PostAsync(node, call, token));
            }));
            var before = node.Ring.Current.Digest;
            node.Ring.TryRotate().ShouldBeTrue();
            while (node.Ring.Current.Digest == before)
                await Task.Delay(5);
        }

        foreach (var answer in await Task.WhenAll(streams))
            answer.Text.ShouldEndWith("\n\n"); // whole
        node.Ring.KeySets.Count.ShouldBe(31);

        static async IAsyncEnumerable<string> Slow([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
        {
            for (var i = 0; i < 10; i++)
            {
                await Task.Delay(50, cancellation);
                yield return ScriptedBackend.Chunk("a");
            }
        }
    }

    /// <summary>As clients do it: a bundle is sealed to until 60 s before its end, and then the next one is fetched.</summary>
    [Fact(Explicit = true)]
    [TimeLimit(300)]
    public async Task A_hundred_rotations_at_one_a_second_with_keys_of_ninety_seconds_lose_none_of_fifty_parallel_streams()
    {
        const int Rotations = 100, Streams = 50;
        await using var node = await StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(Slow)),
            options => options with { KeyLifetime = TimeSpan.FromSeconds(60), KeyGrace = TimeSpan.FromSeconds(30), MaxConcurrent = Streams });
        var isOver = false;
        var (whole, bundles, oldest) = (0, 0, TimeSpan.Zero);
        var clients = Enumerable.Range(0, Streams).Select(_ => Task.Run(async () =>
        {
            VerifiedBundle? keys = null;
            while (!Volatile.Read(ref isOver))
            {
                if (keys is null || DateTimeOffset.UtcNow >= keys.SealBefore)
                {
                    keys = await VerifiedAsync(node);
                    Interlocked.Increment(ref bundles);
                }

                var token = Token(node) with { KeySet = new KeySetDigest(keys.Keys.Digest()) };
                using var call = Seal(keys, token, body: Streamed);
                (await OpenAsync(call, await PostAsync(node, call, token))).Status.ShouldBe(200); // read to its final chunk
                (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
                Interlocked.Increment(ref whole);
                lock (node)
                    oldest = DateTimeOffset.UtcNow - keys.Statement.IssuedAt is var age && age > oldest ? age : oldest;
            }
        })).ToList();
        using (var second = new PeriodicTimer(TimeSpan.FromSeconds(1)))
        {
            for (var i = 0; i < Rotations; i++)
            {
                (await second.WaitForNextTickAsync()).ShouldBeTrue();
                var before = node.Ring.Current.Digest;
                node.Ring.TryRotate().ShouldBeTrue();
                await Waiting.UntilAsync(() => node.Ring.Current.Digest != before);
                clients.ShouldAllBe(client => !client.IsCompleted); // one that failed ends the test here
            }
        }

        Volatile.Write(ref isOver, true);
        await Task.WhenAll(clients).Soon();
        whole.ShouldBeGreaterThan(Streams * 20);
        bundles.ShouldBeGreaterThan(Streams * 3);
        oldest.ShouldBeGreaterThan(TimeSpan.FromSeconds(29)); // keys that were replaced many times served still
        node.Ring.KeySets.Count.ShouldBeInRange(80, 92); // a set a second, for ninety seconds
        await ShouldBeEmptyAsync(node);
        node.Log.Text.ShouldNotContain(" fail: ");

        static async IAsyncEnumerable<string> Slow([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
        {
            for (var i = 0; i < 20; i++)
            {
                await Task.Delay(100, cancellation);
                yield return ScriptedBackend.Chunk("a");
            }
        }
    }

    private Task<NodeUnderTest> StartAsync(ScriptedBackend engine, Func<NodeOptions, NodeOptions>? change = null, TimeProvider? time = null) =>
        NodeUnderTest.StartAsync(engine, change, time, platform);
}
