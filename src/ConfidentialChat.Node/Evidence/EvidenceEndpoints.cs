// spec/envelope-v2.md section 1; spec/attestation.md section 17.
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Node.Errors;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Node.Relay;
using ConfidentialChat.Node.Serving;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Node.Evidence;

/// <summary>
/// A node's bundles. Those that are made already are for everybody: they are what
/// clients are shown. Another is made for the gateway's callers alone.
/// </summary>
internal static class EvidenceEndpoints
{
    private const string Path = "/v2/evidence";
    private const string Json = "application/json";

    /// <summary>Of a challenge: <c>{"challenge": base64 of 32 bytes}</c> with room for blanks.</summary>
    private const int MaxBody = 1024;

    private static readonly TimeSpan BodyTime = TimeSpan.FromSeconds(10);

    public static void MapEvidence(this WebApplication app)
    {
        app.MapGet(Path + "/{keySet}", (HttpContext http, string keySet, KeyRing ring) =>
        {
            if (!KeySetDigest.TryParse(keySet, out var digest) || ring.EvidenceOf(digest) is not { } evidence)
                return http.Response.WriteProblemAsync(new ProblemDocument(RequestError.UnknownNodeKey));
            http.Response.ContentType = Json;
            http.Response.ContentLength = evidence.Bundle.Length;
            http.Response.Headers.ETag = $"\"{Convert.ToHexStringLower(evidence.Digest.Span)}\"";
            return http.Response.Body.WriteAsync(evidence.Bundle).AsTask();
        });
        app.MapPost(Path, ChallengeAsync);
    }

    private static async Task ChallengeAsync(
        HttpContext http, RelayTokenCheck tokens, LiveChallenges challenges, BodyShare room, TimeProvider time, Seldom seldom, ILogger<LiveChallenges> log)
    {
        if (!tokens.TryAccept(http.Request.Headers[RelayToken.HeaderName], RelayHeaders.EvidenceEndpoint, out _))
        {
            await http.Response.WriteProblemAsync(new ProblemDocument(RequestError.AuthError));
            return;
        }

        http.Recognise(maxBodyBytes: null); // the reader bounds it
        try
        {
            var (challenge, fault) = await ReadAsync(http, room, time);
            if (challenge is null)
                await http.Response.WriteProblemAsync(new ProblemDocument(fault));
            else if (await challenges.AnswerAsync(challenge, http.RequestAborted) is { } live)
                await WriteAsync(http, live);
            else
                await http.Response.WriteProblemAsync(new ProblemDocument(RequestError.TooManyRequests));
        }
        catch (EvidenceUnavailableException e)
        {
            if (seldom.Says("Challenges without evidence"))
                log.NoLiveEvidence(e);
            await http.Response.WriteProblemAsync(new ProblemDocument(RequestError.ServiceUnavailable));
        }
        catch (Exception e) when (e is CallerGoneException || (e is OperationCanceledException && http.RequestAborted.IsCancellationRequested))
        {
            http.Abort();
        }
    }

    private static async ValueTask<(byte[]? Challenge, RequestError Fault)> ReadAsync(HttpContext http, BodyShare room, TimeProvider time)
    {
        var (body, fault) = await BodyReading.ReadAsync(http, new BodyLimits(MaxBody, BodyTime), room, time);
        using (body)
            return body is null ? (null, fault) : (Challenge(body.Memory), RequestError.InvalidField);
    }

    private static async Task WriteAsync(HttpContext http, LiveAnswer live)
    {
        http.Response.ContentType = Json;
        http.Response.ContentLength = live.Beginning.Length + live.End.Length;
        await http.Response.Body.WriteAsync(live.Beginning, http.RequestAborted);
        await http.Response.Body.WriteAsync(live.End, http.RequestAborted);
    }

    private static byte[]? Challenge(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 4, AllowDuplicateProperties = false });
            return document.RootElement.ValueKind == JsonValueKind.Object
                && document.RootElement.TryGetProperty("challenge"u8, out var member) && member.ValueKind == JsonValueKind.String
                && StrictBase64.TryDecode(member.GetString(), out var challenge) && challenge.Length == ChallengeTree.ChallengeSize
                ? challenge
                : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
