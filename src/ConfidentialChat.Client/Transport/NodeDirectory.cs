// spec/envelope-v2.md section 2.
using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Client.Transport;

/// <summary>
/// Finds whom to seal to: lists a model's nodes, fetches their bundles, and hands out what the policy accepts, for as long as it stands. A call
/// that finds a node here waits for nobody and verifies nothing. Safe for concurrent use.
/// </summary>
internal sealed class NodeDirectory(GatewayConnection connection, NodeJudge judge) : IDisposable
{
    private const string Root = "v2/nodes";
    private const string Bytes = "application/octet-stream";
    private const int MaxModels = 32; // named to who asked for another

    // One look, with its list and its bundles, which a node may make now; whoever waits for it has a clock of their own.
    private static readonly TimeSpan LookLimit = TimeSpan.FromSeconds(75);

    private readonly TimeProvider time = judge.Time;
    private readonly ConcurrentDictionary<string, ModelNodes> models = new(StringComparer.Ordinal); // names that verified nodes serve, or are looked for
    private readonly ConcurrentDictionary<OfferedNode, VerifiedNode> kept = new(SameBundle.Instance);
    private readonly ConcurrentDictionary<NodeId, BundleOrder> orders = new(); // of accepted bundles alone: nobody else can fill it
    private readonly CancellationTokenSource closing = new();

    /// <summary>A node of the model, verified; it comes at once where one is known.</summary>
    /// <exception cref="AttestationException">The policy accepts none.</exception>
    public ValueTask<VerifiedNode> ChooseAsync(string model, CallClock clock)
    {
        var nodes = Of(model);
        if (nodes.Current is not { } list || list.Draw(time) is not { } node)
            return new(LookForAsync(model, nodes, clock));
        if (list.IsDue(time))
            nodes.LookLater(list, () => LookAsync(model, nodes, list), time); // behind this call's back: it has a node
        return new(node);
    }

    /// <summary>All nodes of the model that may be sealed to, verified where they are not.</summary>
    /// <exception cref="AttestationException">The policy accepts none.</exception>
    public async Task<IReadOnlyList<VerifiedNode>> VerifyAsync(string model, CallClock clock)
    {
        var drawn = await ChooseAsync(model, clock).ConfigureAwait(false);
        VerifiedNode[] nodes = [.. (Of(model).Current?.Accepted ?? []).Where(node => node.MayBeSealedTo(time))];
        return nodes.Length > 0 ? nodes : [drawn];
    }

    /// <summary>Looks anew, because a node does not hold its keys any more. Its bundle is fetched and verified again, should it be listed still.</summary>
    /// <exception cref="AttestationException">The policy accepts none.</exception>
    public async Task<VerifiedNode> ChooseAnewAsync(string model, VerifiedNode lost, CallClock clock)
    {
        foreach (var (bundle, node) in kept)
        {
            if (ReferenceEquals(node, lost))
                kept.TryRemove(new(bundle, node));
        }

        var nodes = Of(model);
        var list = await LookFromAsync(model, nodes, clock, seen => seen.Accepted.Any(node => ReferenceEquals(node, lost))).ConfigureAwait(false);
        return list.Draw(time) ?? throw Refusal(list);
    }

    /// <summary>What the node costs, as it was listed last; null where it is not any more.</summary>
    public UnitPrices? PriceOf(string model, VerifiedNode node) => Of(model).Current?.PriceOf(node);

    /// <summary>Looks anew, because a node costs more by now: it, or one that is cheaper then.</summary>
    /// <exception cref="AttestationException">The policy accepts none.</exception>
    public async Task<VerifiedNode> ChooseAgainAsync(string model, VerifiedNode node, UnitPrices? seen, CallClock clock)
    {
        var list = await LookFromAsync(model, Of(model), clock, look => look.PriceOf(node) == seen).ConfigureAwait(false);
        return list.Draw(time) ?? throw Refusal(list);
    }

    /// <summary>The verified node of the model that has this key of envelope v1. One that is not known is looked for once.</summary>
    /// <exception cref="AttestationException">There is none.</exception>
    public async Task<VerifiedNode> FindAsync(string model, X25519PublicKey key, CallClock clock)
    {
        var nodes = Of(model);
        var list = nodes.Current;
        if (list is null || Find(list, key) is null)
            list = await LookFromAsync(model, nodes, clock, seen => Find(seen, key) is null).ConfigureAwait(false);
        else if (list.IsDue(time))
            nodes.LookLater(list, () => LookAsync(model, nodes, list), time);
        if (Find(list, key) is { } node)
            return node;
        if (list.Accepted.Count == 0)
            throw Refusal(list);
        throw new AttestationException(
            [.. list.Accepted.Select(known => new UnverifiedNode(
                known.Id, [NodeFactors.Failed(NodeFactors.Lock, RejectionCode.Mismatch, "the key of a verified node", "another")])), .. list.Refused]);
    }

    public void Dispose() => closing.Cancel();

    private VerifiedNode? Find(NodeList list, X25519PublicKey key) =>
        list.Accepted.FirstOrDefault(node => node.X25519.Equals(key) && node.MayBeSealedTo(time));

    private ModelNodes Of(string model) => models.TryGetValue(model, out var nodes) ? nodes : models.GetOrAdd(model, _ => new ModelNodes());

    private async Task<VerifiedNode> LookForAsync(string model, ModelNodes nodes, CallClock clock)
    {
        var list = await LookFromAsync(model, nodes, clock, seen => seen.Draw(time) is null).ConfigureAwait(false);
        return list.Draw(time) ?? throw Refusal(list);
    }

    // A look that others began before may have missed what this call knows: then there is one more.
    private async Task<NodeList> LookFromAsync(string model, ModelNodes nodes, CallClock clock, Func<NodeList, bool> isStale)
    {
        for (var others = true; ;)
        {
            var before = nodes.Current;
            var look = nodes.LookAsync(before, () => LookAsync(model, nodes, before), out var isOurs);
            NodeList list;
            try
            {
                list = await look.WaitAsync(clock.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException e) when (clock.IsOver)
            {
                throw clock.Explain(e, broken => broken);
            }

            if (isOurs || !others || !isStale(list))
                return list;
            others = false;
        }
    }

    // A program may ask for any number of names: those that no verified node serves are not remembered.
    private async Task<NodeList> LookAsync(string model, ModelNodes nodes, NodeList? before)
    {
        NodeList? list = null;
        try
        {
            return list = await LookNowAsync(model, before).ConfigureAwait(false);
        }
        finally
        {
            if (list is null ? nodes.Current is null : list.Accepted.Count == 0)
                models.TryRemove(new(model, nodes));
        }
    }

    private async Task<NodeList> LookNowAsync(string model, NodeList? before)
    {
        using var clock = new CallClock(LookLimit, LookLimit, time, closing.Token);
        // What is kept needs no other answer than "as before"; else all of it is wanted.
        var isWhole = before?.Listed.All(listed => Kept(listed) is not null) is true;
        var (tag, listed) = await ListAsync(model, isWhole ? before : null, clock).ConfigureAwait(false);
        var list = await VerifyAsync(model, tag, listed, clock).ConfigureAwait(false);
        if (list.Refused.Any(node => node.Factors[0].Name == NodeFactors.Bundle))
        {
            // The newest bundle is another than was listed: made in between, and listed by now.
            (tag, listed) = await ListAsync(model, null, clock).ConfigureAwait(false);
            list = await VerifyAsync(model, tag, listed, clock).ConfigureAwait(false);
        }

        foreach (var (bundle, node) in kept)
        {
            if (!node.MayBeSealedTo(time))
                kept.TryRemove(new(bundle, node));
        }

        return list;
    }

    private async Task<(string? Tag, IReadOnlyList<OfferedNode> Listed)> ListAsync(string model, NodeList? before, CallClock clock)
    {
        var path = $"{Root}?model={Uri.EscapeDataString(model)}";
        HttpResponseMessage response;
        try
        {
            response = await connection.AskAsync(HttpMethod.Get, path, null, before?.Tag, clock).ConfigureAwait(false);
        }
        catch (GatewayApiException e) when (e.IsModelUnknown)
        {
            throw e.With(await ModelsAsync(clock).ConfigureAwait(false));
        }

        using var _ = response;
        if (response.StatusCode is System.Net.HttpStatusCode.NotModified)
            return (before!.Tag, before.Listed);
        var body = await GatewayConnection.ReadBodyAsync(response, clock, eachPiece: null, OfferedNode.MaxListSize).ConfigureAwait(false);
        var listed = OfferedNode.ReadList(body) ?? throw new InvalidAnswerException("The gateway's list of nodes is malformed.");
        if (listed.Count == 0)
        {
            // As a gateway says it that lists nothing.
            throw GatewayApiException.Of(RequestError.ModelNotFound).With(await ModelsAsync(clock).ConfigureAwait(false));
        }

        return (response.Headers.ETag?.ToString(), listed);
    }

    // For who mistyped one; whatever fails here says less than what failed before.
    private async Task<IReadOnlyList<string>?> ModelsAsync(CallClock clock)
    {
        try
        {
            var json = await connection.ReadJsonAsync(HttpMethod.Get, "v1/models", null, clock).ConfigureAwait(false);
            return OpenAIJson.TryRead<ModelList>(json.Span)?.Data.Take(MaxModels).Select(model => ForeignText.Line(model.Id, ModelNames.MaxLength)).ToList();
        }
        catch (ConfidentialChatException)
        {
            return null;
        }
    }

    private async Task<NodeList> VerifyAsync(string model, string? tag, IReadOnlyList<OfferedNode> listed, CallClock clock)
    {
        var looks = await Task.WhenAll(listed.Select(node => VerifyAsync(node, clock))).ConfigureAwait(false);
        var accepted = new List<(VerifiedNode, UnitPrices)>();
        var refused = new List<UnverifiedNode>();
        foreach (var (entry, (node, refusal, _)) in listed.Zip(looks))
        {
            if (node?.Serves(model) is true)
                accepted.Add((node, entry.Price));
            else
                refused.Add(refusal ?? Refused(entry.Node, NodeFactors.Model, RejectionCode.Mismatch, "the model that was asked for", "others"));
        }

        // Where nobody was refused by evidence and nobody is left, what failed is the way to the gateway.
        if (accepted.Count == 0 && looks.All(look => look.Failure is not null))
            throw looks[0].Failure!;
        return new NodeList(tag, listed, accepted, refused, time);
    }

    private VerifiedNode? Kept(OfferedNode listed) => kept.TryGetValue(listed, out var node) && node.MayBeSealedTo(time) ? node : null;

    private async Task<(VerifiedNode? Node, UnverifiedNode? Refused, ConfidentialChatException? Failure)> VerifyAsync(OfferedNode listed, CallClock clock)
    {
        if (Kept(listed) is { } known)
            return (known, null, null);
        try
        {
            var (json, nonce, refused) = await (judge.Policy.RequireNonce ? ChallengeAsync(listed, clock) : FetchAsync(listed, clock)).ConfigureAwait(false);
            if (refused is not null)
                return (null, refused, null);
            var documents = await DocumentsAsync(json, clock).ConfigureAwait(false);
            var earliest = BundleOrder.Earliest(orders.GetValueOrDefault(listed.Node), listed.KeySet);
            var node = VerifiedNode.Verify(json, documents, listed.Node, listed.KeySet, earliest, judge, nonce, out refused);
            if (node is not null)
            {
                var issuedAt = node.Statement.IssuedAt;
                orders.AddOrUpdate(
                    node.Id, _ => BundleOrder.Add(null, node.KeySet, issuedAt), (_, order) => BundleOrder.Add(order, node.KeySet, issuedAt));
                kept[listed] = node;
            }

            return (node, refused, null);
        }
        catch (ConfidentialChatException e)
        {
            return (null, Refused(listed.Node, NodeFactors.Bundle, RejectionCode.Missing, "a bundle", "none"), e);
        }
    }

    private async Task<(ReadOnlyMemory<byte> Bundle, ReadOnlyMemory<byte>? Nonce, UnverifiedNode? Refused)> FetchAsync(OfferedNode listed, CallClock clock)
    {
        using var response = await connection.AskAsync(HttpMethod.Get, PathOf(listed.Node), null, null, clock).ConfigureAwait(false);
        var bundle = await GatewayConnection.ReadBodyAsync(response, clock, eachPiece: null, Bounds.Bundle).ConfigureAwait(false);
        return Convert.ToHexStringLower(Sha256.Hash(bundle.Span)) == listed.Bundle
            ? (bundle, null, null)
            : (default, null, Refused(listed.Node, NodeFactors.Bundle, RejectionCode.Mismatch, "the bundle that is listed", "another"));
    }

    // What devices name by digest: the same files for months, so that those of the nodes that are known are not asked for again. One that does
    // not come, or is another, is missing to the verifier, which says so.
    private async Task<DocumentSet> DocumentsAsync(ReadOnlyMemory<byte> json, CallClock clock)
    {
        if (judge.Policy.IgnoreDevices || EvidenceBundle.TryParse(json, out var bundle) is not null || bundle!.Devices.Count == 0)
            return DocumentSet.Empty;
        var documents = new List<ReadOnlyMemory<byte>>();
        foreach (var name in bundle.NamedDocuments.Take(Bounds.DeviceDocuments))
        {
            var digest = Convert.FromHexString(name);
            if (kept.Values.Select(node => node.Documents.Find(digest)).FirstOrDefault(known => known is not null) is { } known)
                documents.Add(known);
            else if (await FetchDocumentAsync(name, clock).ConfigureAwait(false) is { } fetched)
                documents.Add(fetched);
        }

        return new DocumentSet(documents);
    }

    private async Task<ReadOnlyMemory<byte>?> FetchDocumentAsync(string digest, CallClock clock)
    {
        try
        {
            using var response = await connection.AskAsync(HttpMethod.Get, $"v2/collateral/{digest}", null, null, clock, Bytes).ConfigureAwait(false);
            return await GatewayConnection.ReadBodyAsync(response, clock, eachPiece: null, Bounds.DeviceDocument).ConfigureAwait(false);
        }
        catch (GatewayApiException e) when (e.Status == (int)System.Net.HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    // spec/attestation.md section 17.
    private async Task<(ReadOnlyMemory<byte> Bundle, ReadOnlyMemory<byte>? Nonce, UnverifiedNode? Refused)> ChallengeAsync(OfferedNode listed, CallClock clock)
    {
        var challenge = RandomNumberGenerator.GetBytes(ChallengeTree.ChallengeSize);
        var body = JsonSerializer.SerializeToUtf8Bytes(new ChallengeRequest(challenge), ChallengeJson.Default.ChallengeRequest);
        using var response = await connection.AskAsync(HttpMethod.Post, PathOf(listed.Node), body, null, clock).ConfigureAwait(false);
        var answer = await GatewayConnection.ReadBodyAsync(response, clock, eachPiece: null, Bounds.LiveEvidence).ConfigureAwait(false);
        return LiveEvidence.TryParse(answer, out var live) is null && live!.NonceOf(challenge) is { } nonce
            ? (live.Bundle, nonce, null)
            : (default, null, Refused(listed.Node, BundleFactors.Nonce, RejectionCode.Malformed, "an answer to the challenge", "something else"));
    }

    private static string PathOf(NodeId node) => string.Create(CultureInfo.InvariantCulture, $"{Root}/{node.Value}/evidence");

    private static UnverifiedNode Refused(NodeId node, FactorName factor, RejectionCode code, string expected, string found) =>
        new(node, [NodeFactors.Failed(factor, code, expected, found)]);

    private static AttestationException Refusal(NodeList list) => new(list.Refused);

    /// <summary>What is known of one model's nodes, and the one look that is under way.</summary>
    private sealed class ModelNodes
    {
        // Between two looks that nobody waits for: one that failed, or found nothing newer, is not to be followed by one for every call.
        private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

        private readonly Lock gate = new(); // taken by whoever has no node, and by one of those who find a look due
        private long later = long.MinValue;
        private volatile NodeList? current;
        private Task<NodeList>? look;

        public NodeList? Current => current;

        /// <summary>Begins a look that nobody waits for; a failure shows when somebody has to.</summary>
        public void LookLater(NodeList seen, Func<Task<NodeList>> begin, TimeProvider time)
        {
            var last = Volatile.Read(ref later);
            var now = time.GetTimestamp();
            if ((last == long.MinValue || time.GetElapsedTime(last, now) >= Pause) && Interlocked.CompareExchange(ref later, now, last) == last)
                _ = LookAsync(seen, begin, out _).ContinueWith(static look => look.Exception, TaskScheduler.Default);
        }

        /// <summary>Joins the look that is under way, or begins one; it is not of whoever began it.</summary>
        public Task<NodeList> LookAsync(NodeList? seen, Func<Task<NodeList>> begin, out bool isOurs)
        {
            lock (gate)
            {
                isOurs = false;
                if (look is { IsCompleted: false })
                    return look;
                if (!ReferenceEquals(current, seen))
                    return Task.FromResult(current!); // somebody looked meanwhile
                isOurs = true;
                return look = Task.Run(() => KeepAsync(begin));
            }
        }

        private async Task<NodeList> KeepAsync(Func<Task<NodeList>> begin) => current = await begin().ConfigureAwait(false);
    }

    // Whose bundle it is, whatever it costs.
    private sealed class SameBundle : IEqualityComparer<OfferedNode>
    {
        public static SameBundle Instance { get; } = new();

        public bool Equals(OfferedNode? one, OfferedNode? other) =>
            one is not null && other is not null && one.Node == other.Node && one.KeySet == other.KeySet && one.Bundle == other.Bundle;

        public int GetHashCode(OfferedNode listed) => HashCode.Combine(listed.Node, listed.KeySet);
    }
}

internal sealed record ChallengeRequest(byte[] Challenge);

[System.Text.Json.Serialization.JsonSourceGenerationOptions(
    PropertyNamingPolicy = System.Text.Json.Serialization.JsonKnownNamingPolicy.SnakeCaseLower)]
[System.Text.Json.Serialization.JsonSerializable(typeof(ChallengeRequest))]
internal sealed partial class ChallengeJson : System.Text.Json.Serialization.JsonSerializerContext;
