using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Shape;

using static ConfidentialChat.Node.Tests.Serving.SealedCalling;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/envelope-v2.md section 6: answers to readers who are slow, stall or leave, and of engines that stop in the middle.</summary>
public sealed class EnvelopeV2AnswerTests : IDisposable
{
    private static readonly TimeSpan ReaderTimeout = TimeSpan.FromMilliseconds(700);

    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_reader_who_takes_a_large_answer_steadily_gets_all_of_it_however_long_that_lasts(bool isStream)
    {
        await using var node = await LargeAsync(isStream, out var text);
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, body: isStream ? Streamed : Chat);
        using var response = await PostAsync(node, call, token);
        var began = TimeProvider.System.GetTimestamp();
        var pipe = PipeReader.Create(new SteadyStream(await response.Content.ReadAsStreamAsync()));
        using var reader = call.Open(pipe);
        await reader.ReadHeadAsync(default);
        var read = new ArrayBufferWriter<byte>();
        while (await reader.ReadContentAsync(default).AsTask().Soon() is { Length: > 0 } piece)
            read.Write(piece.Span);
        TimeProvider.System.GetElapsedTime(began).ShouldBeGreaterThan(2 * ReaderTimeout);
        var unpadded = new ArrayBufferWriter<byte>();
        var unpadder = new EventUnpadder();
        unpadder.Unpad(read.WrittenSpan, unpadded);
        unpadder.Complete(unpadded);
        Encoding.UTF8.GetString(isStream ? unpadded.WrittenSpan : read.WrittenSpan).Contains(text, StringComparison.Ordinal).ShouldBeTrue();
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_reader_who_stalls_in_a_large_answer_is_cut_off_and_what_was_computed_is_reported(bool isStream)
    {
        await using var node = await LargeAsync(isStream, out _);
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, body: isStream ? Streamed : Chat);
        using var response = await PostAsync(node, call, token);
        await using var body = await response.Content.ReadAsStreamAsync();
        await body.ReadExactlyAsync(new byte[100_000]);
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
        node.Log.Text.ShouldContain($"{token.Request}: READER_TOO_SLOW");
        await ShouldBeEmptyAsync(node);
        node.Log.Text.ShouldNotContain(" fail: "); // nothing writes on to the connection that was cut
    }

    /// <summary>A flush that waits for a window ends as if it had been sent when the request is aborted: dotnet/aspnetcore 40788.</summary>
    [Fact]
    public async Task A_reader_who_stalls_behind_the_window_of_HTTP2_is_cut_off_as_well()
    {
        await using var node = await LargeAsync(isStream: false, out _, options => options with { Tls = true });
        var token = Token(node);
        var pin = (await node.Gateway.EnrolmentAsync()).TlsPin;
        using var client = new HttpClient(new SocketsHttpHandler
        {
            SslOptions =
            {
                RemoteCertificateValidationCallback = (_, certificate, _, _) =>
                    Convert.ToBase64String(SHA256.HashData(((X509Certificate2)certificate!).PublicKey.ExportSubjectPublicKeyInfo())) == pin,
            },
        })
        {
            DefaultRequestVersion = System.Net.HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        using var call = Seal(Verify(await client.GetByteArrayAsync(new Uri(node.Url, $"/v2/evidence/{node.Ring.Current.Digest}"))), token);
        using var response = await PostAsync(node, call.Body.ToArray(), token, client: client);
        response.Version.ShouldBe(System.Net.HttpVersion.Version20);
        await using var body = await response.Content.ReadAsStreamAsync();
        await body.ReadExactlyAsync(new byte[100_000]);
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
        node.Log.Text.ShouldContain($"{token.Request}: READER_TOO_SLOW");
        await ShouldBeEmptyAsync(node);
        node.Log.Text.ShouldNotContain(" fail: ");
    }

    [Theory]
    [InlineData("a chunk without a finish reason")]
    [InlineData("a failure")]
    public async Task A_stream_that_its_engine_cut_off_does_not_pass_for_whole(string end)
    {
        var gate = new Gate();
        await using var node = await StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Cut()) { Finishes = false }));
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, body: Streamed);
        using var response = await PostAsync(node, call, token);
        using var reader = call.Open(PipeReader.Create(await response.Content.ReadAsStreamAsync()));
        (await reader.ReadHeadAsync(default)).Status.ShouldBe(200);
        // The caller's, come what may.
        Encoding.UTF8.GetString((await reader.ReadContentAsync(default)).Span).ShouldStartWith($"data: {ScriptedBackend.Chunk("a")}\n");
        gate.Open();
        var text = "";
        var cut = await Should.ThrowAsync<Exception>(async () =>
        {
            while (await reader.ReadContentAsync(default).AsTask().Soon() is { Length: > 0 } piece)
                text += Encoding.UTF8.GetString(piece.Span);
        });
        (cut is IOException).ShouldBeTrue(cut.ToString()); // broken off, or truncated
        text.ShouldBe("");
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));
        node.Log.Text.ShouldContain($"{token.Request}: CUT_OFF");
        await ShouldBeEmptyAsync(node);

        async IAsyncEnumerable<string> Cut()
        {
            yield return ScriptedBackend.Chunk("a");
            await gate.PassAsync();
            if (end == "a failure")
                throw new InferenceException(InferenceFailure.Failed, "It broke.");
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Who_leaves_before_the_refusal_of_an_engine_that_timed_out_is_charged_what_it_computed(bool isStream)
    {
        var gate = new Gate();
        CancellationToken left = default;
        await using var node = await StartAsync(new ScriptedBackend
        {
            Script = async (_, cancellation) =>
            {
                left = cancellation;
                await gate.PassAsync(CancellationToken.None);
                throw new InferenceException(InferenceFailure.TimedOut, "It took too long.") { Usage = new Usage(5, 6) };
            },
        });
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, body: isStream ? Streamed : Chat);
        var answer = await PostAsync(node, call, token);
        await gate.Reached; // who leaves before that has no engine asked
        answer.Dispose();
        await Waiting.UntilAsync(() => left.IsCancellationRequested);
        gate.Open();
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(5, 6));
        await ShouldBeEmptyAsync(node);
    }

    private Task<NodeUnderTest> StartAsync(ScriptedBackend engine, Func<NodeOptions, NodeOptions>? change = null) =>
        NodeUnderTest.StartAsync(engine, change, evidence: platform);

    private Task<NodeUnderTest> LargeAsync(bool isStream, out string text, Func<NodeOptions, NodeOptions>? change = null)
    {
        var content = new string('x', 12 << 20);
        text = content;
        return StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(
                isStream ? ScriptedBackend.Chunk(content) : ScriptedBackend.Whole.Replace("an answer", content, StringComparison.Ordinal)))),
            options => (change?.Invoke(options) ?? options) with { ReaderTimeout = ReaderTimeout });
    }

    /// <summary>Takes a little at a time, and never rests for long.</summary>
    private sealed class SteadyStream(Stream inner) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        private long taken;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await inner.ReadAsync(buffer, cancellationToken);
            if ((taken + read) >> 17 != taken >> 17) // every 128 KiB
                await Task.Delay(20, cancellationToken);
            taken += read;
            return read;
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
