// spec/envelope-v2.md section 1; spec/attestation.md section 17.
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Client;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Cli.Commands;

/// <summary>The evidence of a gateway's nodes, as the gateway hands it on: a stranger's bytes, bounded and nothing else.</summary>
internal sealed class GatewayEvidence : IDisposable
{
    /// <summary>For a whole answer; a processor may take 30 s for a quote.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    private const int MaxProblem = 64 << 10; // bytes

    private readonly HttpClient http;

    /// <exception cref="ConfigurationException">The options name no usable gateway or key.</exception>
    public GatewayEvidence(ConfidentialChatOptions options)
    {
        using (new ConfidentialChatClient(options)) // its rules of what a gateway and a key are
        {
        }

        var url = new UriBuilder(options.ServerUrl!);
        var path = url.Path.TrimEnd('/');
        url.Path = (path.EndsWith("/v1", StringComparison.Ordinal) ? path[..^3] : path) + "/";
        http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false, UseProxy = url.Scheme == Uri.UriSchemeHttps })
        {
            BaseAddress = url.Uri,
            Timeout = Timeout.InfiniteTimeSpan, // one of ours, which holds for the body too
        };
        http.DefaultRequestHeaders.Authorization =
            new AuthenticationHeaderValue("Bearer", options.BearerKey ?? CommonOptions.Secret(ConfidentialChatOptions.BearerKeyVariable));
    }

    /// <summary>The bundle of a node's newest key set. One that is larger than its bound is cut one byte beyond it: the verifier then says so.</summary>
    public Task<byte[]> BundleAsync(long node, CancellationToken cancellation) => SendAsync(HttpMethod.Get, node, null, Bounds.Bundle, cancellation);

    /// <summary>A bundle that was made just now, and the nonce that it has to have for the challenge that was sent.</summary>
    /// <exception cref="CommandException">What came leads from the challenge to no nonce.</exception>
    public async Task<(byte[] Bundle, byte[] Nonce)> LiveAsync(long node, CancellationToken cancellation)
    {
        var challenge = RandomNumberGenerator.GetBytes(ChallengeTree.ChallengeSize);
        var answer = await SendAsync(HttpMethod.Post, node, $$"""{"challenge":"{{Convert.ToBase64String(challenge)}}"}""", Bounds.LiveEvidence, cancellation);
        var rejection = LiveEvidence.TryParse(answer, out var live);
        if (live?.NonceOf(challenge) is { } nonce)
            return (live.Bundle.ToArray(), nonce);
        throw new CommandException(
            $"the evidence is refused: it does not answer the challenge: {(rejection is null ? "its path fits no tree" : rejection.Code.Spell())}.",
            "spec/attestation.md section 17 says what an answer to a challenge is", ExitCode.EvidenceRefused);
    }

    /// <summary>What a bundle's devices name by digest, as far as the gateway has it.</summary>
    public async Task<IReadOnlyList<byte[]>> DocumentsAsync(EvidenceBundle bundle, CancellationToken cancellation)
    {
        var documents = new List<byte[]>();
        foreach (var digest in bundle.NamedDocuments.Take(Bounds.DeviceDocuments))
        {
            if (await TrySendAsync(HttpMethod.Get, $"v2/collateral/{digest}", null, Bounds.DeviceDocument, cancellation) is (HttpStatusCode.OK, var document))
                documents.Add(document);
        }

        return documents;
    }

    public void Dispose() => http.Dispose();

    private async Task<byte[]> SendAsync(HttpMethod method, long node, string? json, int bound, CancellationToken cancellation)
    {
        var (status, body) = await TrySendAsync(method, $"v2/nodes/{node}/evidence", json, bound, cancellation);
        return status is HttpStatusCode.OK ? body : throw Refusal(status, body, node);
    }

    private async Task<(HttpStatusCode Status, byte[] Body)> TrySendAsync(
        HttpMethod method, string path, string? json, int bound, CancellationToken cancellation)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        late.CancelAfter(Patience);
        try
        {
            using var request = new HttpRequestMessage(method, new Uri(path, UriKind.Relative));
            if (json is not null)
                request.Content = new StringContent(json, Encoding.UTF8, "application/json");
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, late.Token);
            var isGiven = response.StatusCode is HttpStatusCode.OK;
            return (response.StatusCode, await ReadAsync(response, isGiven ? bound : MaxProblem, late.Token));
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw NotReached("could not be reached, or the connection to it broke");
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw NotReached($"gave no answer within {Patience.TotalSeconds} s");
        }
    }

    // One byte more than the bound, where there is more.
    private static async Task<byte[]> ReadAsync(HttpResponseMessage response, int bound, CancellationToken cancellation)
    {
        await using var body = await response.Content.ReadAsStreamAsync(cancellation);
        using var copy = new MemoryStream();
        var piece = new byte[64 << 10];
        int read;
        while (copy.Length <= bound && (read = await body.ReadAsync(piece, cancellation)) > 0)
            copy.Write(piece, 0, read);
        return copy.GetBuffer()[..(int)Math.Min(copy.Length, bound + 1)];
    }

    private CommandException NotReached(string what) => new(
        $"The gateway at {http.BaseAddress!.GetLeftPart(UriPartial.Authority)} {what}.", "is the gateway running there? --gateway names another",
        ExitCode.NotReached);

    private static CommandException Refusal(HttpStatusCode status, byte[] body, long node)
    {
        if (status is HttpStatusCode.Unauthorized)
            return Invocation.UnknownApiKey();
        var row = ProblemDocument.TryParse(body, out var problem) ? problem.Error.Row() : null;
        return status is HttpStatusCode.NotFound
            ? new CommandException(
                $"the gateway has no evidence of a node {node}{(row is null ? "" : $" ({row.Code})")}.",
                "./cchat nodes list shows a gateway's nodes; one that runs without --evidence has none", ExitCode.Refused)
            : new CommandException(
                row is null ? $"the gateway answered {(int)status} ({status})." : $"the gateway answered {(int)status} {row.Code}: {row.Message}",
                row is { Retry: not Retry.No } ? "try again" : "look at the gateway's log, or whether this is one", ExitCode.Refused);
    }
}
