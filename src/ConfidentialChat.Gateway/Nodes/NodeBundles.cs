// spec/envelope-v2.md section 1; spec/attestation.md section 11.
using System.Collections.Concurrent;
using System.Net;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>
/// Fetches bundles of nodes. A gateway looks only whether a bundle is the announced one, and of these keys: whether it is to be believed
/// is for whoever asks. Safe from any thread.
/// </summary>
internal sealed class NodeBundles(NodeConnections connections, Seldom seldom, ILogger<NodeBundles> log)
{
    /// <summary>Where a node gives its evidence.</summary>
    public const string Path = "/v2/evidence";

    private static readonly TimeSpan NodeTime = TimeSpan.FromSeconds(65); // a quote may take 30 s, and there may be one before ours

    // The newest bundle of each node that somebody asked for, or the one way to it that is under way: what is replaced is asked for no more.
    private readonly ConcurrentDictionary<NodeId, BundleFetch> kept = new();

    /// <summary>The bundle of a node's newest key set, kept for whoever asks next; null where the node did not give it.</summary>
    public Task<byte[]?> NewestAsync(KnownNode node, KnownKeySet newest) =>
        kept.AddOrUpdate(node.Id, _ => Begin(node, newest), (_, known) => known.IsOf(newest) && !known.HasFailed ? known : Begin(node, newest)).Bundle.Value;

    /// <summary>The statement of an announced bundle, of which nothing is kept; null where the node did not give it.</summary>
    public async Task<BundleStatement?> StatementAsync(KnownNode node, KnownKeySet keys, CancellationToken cancellation)
    {
        var bundle = kept.TryGetValue(node.Id, out var known) && known.IsOf(keys) && !known.HasFailed
            ? await known.Bundle.Value.WaitAsync(cancellation)
            : await FetchAsync(node, keys, cancellation);
        return bundle is not null && EvidenceBundle.TryParse(bundle, out var parsed) is null ? parsed!.Statement : null;
    }

    /// <summary>The node's whole answer, where it is within its bound; null else. Its words go no further.</summary>
    public async Task<(HttpStatusCode? Status, byte[]? Body)> AskAsync(
        KnownNode node, HttpRequestMessage request, int maxBytes, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(NodeTime);
        try
        {
            using var response = await connections.To(node.Address).SendAsync(request, limit.Token);
            if (response.StatusCode is not HttpStatusCode.OK)
                return (response.StatusCode, null);
            await using var stream = await response.Content.ReadAsStreamAsync(limit.Token);
            using var body = new MemoryStream();
            var buffer = new byte[16 * 1024];
            for (int read; (read = await stream.ReadAsync(buffer, limit.Token)) > 0;)
            {
                if (body.Length + read > maxBytes)
                    return (null, null);
                body.Write(buffer, 0, read);
            }

            return (HttpStatusCode.OK, body.ToArray());
        }
        catch (Exception e) when (e is HttpRequestException or IOException
            || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return (null, null);
        }
    }

    // For everybody who asks meanwhile, and so not of whoever began it.
    private BundleFetch Begin(KnownNode node, KnownKeySet keys) =>
        new(keys.Digest, keys.Bundle!, new Lazy<Task<byte[]?>>(() => FetchAsync(node, keys, CancellationToken.None)));

    private async Task<byte[]?> FetchAsync(KnownNode node, KnownKeySet keys, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"{node.Address.Prefix}{Path}/{keys.Digest}");
        if (await AskAsync(node, request, Bounds.Bundle, cancellation) is not (HttpStatusCode.OK, { } bundle))
            return null;
        if (Sha256.Hash(bundle).AsSpan().SequenceEqual(keys.Bundle)
            && EvidenceBundle.TryParse(bundle, out var parsed) is null
            && parsed!.Statement is { } statement
            && new KeySetDigest(statement.Keys.Digest()) == keys.Digest)
            return bundle;
        if (seldom.Says("Bundles that are not the announced ones, of node", node.Id.Value))
            log.OtherBundle(node.Id);
        return null;
    }

    /// <summary>One bundle, on its way or here.</summary>
    /// <param name="KeySet">Whose.</param>
    /// <param name="Digest">As it was announced.</param>
    /// <param name="Bundle">Null where the node did not give it.</param>
    private sealed record BundleFetch(KeySetDigest KeySet, byte[] Digest, Lazy<Task<byte[]?>> Bundle)
    {
        public bool HasFailed => Bundle is { IsValueCreated: true, Value: { IsCompleted: true } ended }
            && (!ended.IsCompletedSuccessfully || ended.Result is null);

        public bool IsOf(KnownKeySet keys) => KeySet == keys.Digest && Digest.AsSpan().SequenceEqual(keys.Bundle);
    }
}
