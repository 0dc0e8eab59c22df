// spec/attestation.md section 17.
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Keys;

namespace ConfidentialChat.Node.Evidence;

/// <summary>Answers challenges in batches: one quote for all that came while the one before was made.</summary>
internal sealed class LiveChallenges(NodeEvidence evidence, KeyRing ring, GatewayEnrolment enrolment, TimeProvider time)
{
    /// <summary>Callers that wait for the next quote; beyond them 429.</summary>
    public const int MaxWaiting = 1024;

    private readonly Lock gate = new();
    private List<Waiting> waiting = [];
    private bool isMaking;

    /// <summary>A bundle that carries the challenge; null where too many wait already.</summary>
    /// <param name="challenge">32 bytes.</param>
    /// <param name="cancellation">The caller is gone; others go on waiting.</param>
    /// <exception cref="EvidenceUnavailableException">The processor gave none.</exception>
    public async Task<byte[]?> AnswerAsync(ReadOnlyMemory<byte> challenge, CancellationToken cancellation)
    {
        var mine = new Waiting(challenge);
        lock (gate)
        {
            if (waiting.Count >= MaxWaiting)
                return null;
            waiting.Add(mine);
            if (!isMaking)
            {
                isMaking = true;
                _ = Task.Run(MakeAsync, CancellationToken.None);
            }
        }

        return await mine.Answer.Task.WaitAsync(cancellation);
    }

    private async Task MakeAsync()
    {
        while (true)
        {
            List<Waiting> batch;
            lock (gate)
            {
                if (waiting.Count == 0)
                {
                    isMaking = false;
                    return;
                }

                (batch, waiting) = (waiting, []);
            }

            try
            {
                var tree = new ChallengeTree([.. batch.Select(one => one.Challenge)]);
                var bundle = await MakeAsync(tree.Root);
                for (var index = 0; index < batch.Count; index++)
                    batch[index].Answer.TrySetResult(LiveEvidence.Write(bundle, tree, index));
            }
            catch (Exception e)
            {
                foreach (var one in batch)
                    one.Answer.TrySetException(e);
            }
        }
    }

    private async Task<byte[]> MakeAsync(ReadOnlyMemory<byte> nonce)
    {
        var gateway = enrolment.Current ?? throw new EvidenceUnavailableException("The node is not enrolled.");
        var keys = ring.KeySets is [var newest, ..] ? newest : throw new EvidenceUnavailableException("No key set has evidence yet.");
        var cached = ring.EvidenceOf(keys.Digest) ?? throw new EvidenceUnavailableException("The key set is not held any more.");
        var issuedAt = DateTimeOffset.FromUnixTimeSeconds(time.GetUtcNow().ToUnixTimeSeconds());
        return await evidence.MakeAsync(gateway, keys, issuedAt, cached.NotAfter, nonce, CancellationToken.None);
    }

    private sealed class Waiting(ReadOnlyMemory<byte> challenge)
    {
        public ReadOnlyMemory<byte> Challenge => challenge;

        public TaskCompletionSource<byte[]> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
