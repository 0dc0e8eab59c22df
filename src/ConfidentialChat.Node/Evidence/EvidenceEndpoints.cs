// spec/envelope-v2.md section 1; spec/attestation.md section 17.
using System.Text.Json;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Node.Errors;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Node.Relay;
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
        HttpContext http, RelayTokenCheck tokens, LiveChallenges challenges, BodyShare room, TimeProvider time, ILogger<LiveChallenges> log)
    {
        if (!tokens.TryAccept(http.Request.Headers[RelayToken.HeaderName], RelayHeaders.EvidenceEndpoint, out _))
        {
            await http.Response.WriteProblemAsync(new ProblemDocument(RequestError.AuthError));
            return;
        }

        http.Recognise(maxBodyBytes: MaxBody);
        var (body, fault) = await BodyReader.ReadAsync(http, new BodyLimits(MaxBody, TimeSpan.FromSeconds(10)), room, time);
        using (body)
        {
            if (body is null)
                await http.Response.WriteProblemAsync(
                    new ProblemDocument(fault == BodyFault.NoRoom ? RequestError.TooManyRequests : RequestError.BodyTooLarge));
            else if (Challenge(body.Memory) is not { } challenge)
                await http.Response.WriteProblemAsync(new ProblemDocument(RequestError.InvalidField));
            else
                await AnswerAsync(http, challenges, challenge, log);
        }
    }

    private static async Task AnswerAsync(HttpContext http, LiveChallenges challenges, byte[] challenge, ILogger log)
    {
        try
        {
            if (await challenges.AnswerAsync(challenge, http.RequestAborted) is not { } live)
            {
                await http.Response.WriteProblemAsync(new ProblemDocument(RequestError.TooManyRequests));
                return;
            }

            http.Response.ContentType = Json;
            http.Response.ContentLength = live.Length;
            await http.Response.Body.WriteAsync(live, http.RequestAborted);
        }
        catch (EvidenceUnavailableException e)
        {
            log.NoEvidence(e);
            await http.Response.WriteProblemAsync(new ProblemDocument(RequestError.ServiceUnavailable));
        }
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
