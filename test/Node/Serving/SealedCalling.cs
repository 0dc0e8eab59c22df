using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>What a client and a gateway do with sealed requests, in their place.</summary>
internal static class SealedCalling
{
    public const string Chat = """{"model":"test-model","messages":[{"role":"user","content":"one"}]}""";
    public const string ChatPath = "/v1/chat/completions";

    /// <summary>The same, as a stream.</summary>
    public static string Streamed => Chat.Replace("{\"model\"", "{\"stream\":true,\"model\"", StringComparison.Ordinal);

    public static int Inside(NodeUnderTest node) => SeatingOf(node).Inside;

    public static Node.Serving.Seating SeatingOf(NodeUnderTest node) => node.App.Services.GetRequiredService<Node.Serving.Seating>();

    /// <summary>Nothing of any request is left: no seat, no place, no buffer, no hold of a key.</summary>
    public static async Task ShouldBeEmptyAsync(NodeUnderTest node)
    {
        var (seating, bodies) = (SeatingOf(node), node.App.Services.GetRequiredService<BodyBudget>());
        await Waiting.UntilAsync(() => seating.Inside == 0); // it is left when the report is on its way already
        (seating.Running, seating.Queued, bodies.Taken, node.Ring.Openings).ShouldBe((0, 0, 0, 0));
    }

    public static VerifiedBundle Verify(ReadOnlyMemory<byte> bundle, ReadOnlyMemory<byte>? nonce = null, DateTimeOffset? at = null)
    {
        var verification = new BundleVerifier().Verify(bundle, Policy.Default with { AllowSimulated = true }, at ?? DateTimeOffset.UtcNow, nonce);
        verification.Verified.ShouldNotBeNull(string.Join('\n', verification.Verdict.Failures));
        return verification.Verified;
    }

    public static async Task<VerifiedBundle> VerifiedAsync(NodeUnderTest node, DateTimeOffset? at = null) =>
        Verify(await node.Client.GetByteArrayAsync(new Uri(node.Url, $"/v2/evidence/{node.Ring.Current.Digest}")), at: at);

    public static RelayToken Token(NodeUnderTest node, TimeProvider? time = null) => node.Gateway.Token() with
    {
        Endpoint = RelayHeaders.RelayEndpoint,
        KeySet = node.Ring.Current.Digest,
        Expires = (time ?? TimeProvider.System).GetUtcNow().AddSeconds(30),
    };

    public static InnerCall Inner(RelayToken token, DateTimeOffset? date = null, string body = Chat) => new()
    {
        Method = "POST",
        Path = ChatPath,
        Model = token.Model,
        Request = token.Request,
        MaxUnits = token.Units,
        Date = InnerCall.Minute(date ?? DateTimeOffset.UtcNow),
        Accept = "application/json",
        Body = Encoding.UTF8.GetBytes(body),
    };

    public static SealedCall Seal(VerifiedBundle bundle, RelayToken token, DateTimeOffset? date = null, string body = Chat) =>
        Seal(bundle, Inner(token, date, body));

    public static SealedCall Seal(VerifiedBundle bundle, InnerCall call)
    {
        KeyConfigurationList.TryParse(bundle.Keys.Ohttp.Span, out var list).ShouldBeTrue();
        list!.TryChoose(new HashSet<KemId> { KemId.MlKem768X25519 }, new HashSet<AeadId> { AeadId.Aes256Gcm }, out var key, out var suite).ShouldBeTrue();
        return SealedCall.Seal(call, key!, suite);
    }

    // Another message than the client's own code would write, under the same sealing.
    public static SealedCall SealRaw(VerifiedBundle bundle, InnerCall call, string field, string value)
    {
        var message = new ArrayBufferWriter<byte>();
        call.Write(message);
        BinaryRequest.TryParse(message.WrittenMemory, BinaryHttpLimits.Default, out var request, out _).ShouldBeTrue();
        var changed = new ArrayBufferWriter<byte>();
        new BinaryRequest(
            new RequestHead(request!.Head.Method, "https", "", request.Head.Path, FieldSection.Create([.. request.Head.Fields, new Field(field, value)])),
            request.Content).Write(changed);
        return SealBytes(bundle, changed.WrittenSpan.ToArray());
    }

    public static SealedCall SealBytes(VerifiedBundle bundle, byte[] message)
    {
        KeyConfigurationList.TryParse(bundle.Keys.Ohttp.Span, out var list).ShouldBeTrue();
        return SealedCall.Seal(message, list!.Configurations[0], SymmetricSuite.Default);
    }

    public static Task<HttpResponseMessage> PostAsync(NodeUnderTest node, SealedCall call, RelayToken token) => PostAsync(node, call.Body.ToArray(), token);

    public static async Task<HttpResponseMessage> PostAsync(
        NodeUnderTest node, byte[] body, RelayToken? token, string? type = null, bool isChunked = false, HttpClient? client = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(node.Url, "/v2/relay"))
        {
            Version = client?.DefaultRequestVersion ?? HttpVersion.Version11,
            VersionPolicy = client?.DefaultVersionPolicy ?? HttpVersionPolicy.RequestVersionOrLower,
            Content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue(type ?? "message/ohttp-chunked-req") } },
        };
        if (token is not null)
            request.Headers.Add(RelayToken.HeaderName, token.Write(node.Gateway.RelayKey));
        request.Headers.TransferEncodingChunked = isChunked;
        return await (client ?? node.Client).SendAsync(request, HttpCompletionOption.ResponseHeadersRead).Soon();
    }

    public static async Task<HttpResponseMessage> ChallengeAsync(NodeUnderTest node, byte[] challenge)
    {
        using var request = ChallengeRequest(node, $$"""{"challenge":"{{Convert.ToBase64String(challenge)}}"}""");
        return await node.Client.SendAsync(request).Soon();
    }

    public static HttpRequestMessage ChallengeRequest(NodeUnderTest node, string body)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(node.Url, "/v2/evidence")) { Content = new StringContent(body) };
        request.Headers.Add(RelayToken.HeaderName, (Token(node) with { Endpoint = RelayHeaders.EvidenceEndpoint }).Write(node.Gateway.RelayKey));
        return request;
    }

    public static async Task<Opened> OpenAsync(SealedCall call, HttpResponseMessage response)
    {
        using (response)
        {
            response.StatusCode.ShouldBe(
                HttpStatusCode.OK, await (response.StatusCode == HttpStatusCode.OK ? Task.FromResult("") : response.Content.ReadAsStringAsync()));
            response.Content.Headers.ContentType!.MediaType.ShouldBe("message/ohttp-chunked-res");
            response.Headers.CacheControl!.NoStore.ShouldBeTrue();
            var bytes = await response.Content.ReadAsByteArrayAsync().Soon();
            using var reader = call.Open(PipeReader.Create(new ReadOnlySequence<byte>(bytes)), keptSize: 1 << 20);
            var head = await reader.ReadHeadAsync(default);
            var content = new ArrayBufferWriter<byte>();
            while (await reader.ReadContentAsync(default) is { Length: > 0 } piece)
                content.Write(piece.Span);
            return new Opened(
                head.Status, head.Fields.ToDictionary(field => field.Name, field => field.Value, StringComparer.Ordinal),
                Encoding.UTF8.GetString(content.WrittenSpan), bytes.Length)
            {
                Trailers = reader.Trailers,
                Message = reader.CopyMessage(),
            };
        }
    }

    public static async Task ShouldBeProblemAsync(HttpResponseMessage response, RequestError error)
    {
        var body = await response.Content.ReadAsByteArrayAsync();
        ProblemDocument.TryParse(body, out var problem).ShouldBeTrue(Encoding.UTF8.GetString(body));
        problem!.Error.ShouldBe(error);
        ((int)response.StatusCode).ShouldBe(error.Row().Status);
        response.Content.Headers.ContentType!.ToString().ShouldBe(ProblemDocument.MediaType);
    }

    public sealed record Opened(int Status, Dictionary<string, string> Fields, string Text, int SealedBytes)
    {
        public string ContentType => Fields["content-type"];

        public FieldSection? Trailers { get; init; }

        public byte[]? Message { get; init; }
    }
}
