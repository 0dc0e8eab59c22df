// spec/attestation.md section 17.
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Keys;

namespace ConfidentialChat.Node.Evidence;

/// <summary>Answers challenges in batches: one quote for all that came while the one before was made.</summary>
internal sealed class LiveChallenges(NodeEvidence evidence, KeyRing ring, GatewayEnrolment enrolment)
{
    /// <summary>Callers that wait for the next quote; beyond them 429.</summary>
    public const int MaxWaiting = 1024;

    private readonly Lock gate = new();
    private List<Waiting> waiting = [];
    private bool isMaking;

    /// <summary>Callers that wait for the next quote now.</summary>
    public int Waiters
    {
        get
        {
            lock (gate)
                return waiting.Count;
        }
    }

    /// <summary>The answer to a challenge; null where too many wait already.</summary>
    /// <param name="challenge">32 bytes.</param>
    /// <param name="cancellation">The caller is gone; others go on waiting.</param>
    /// <exception cref="EvidenceUnavailableException">The processor gave none.</exception>
    public async Task<LiveAnswer?> AnswerAsync(ReadOnlyMemory<byte> challenge, CancellationToken cancellation)
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

        try
        {
            return await mine.Answer.Task.WaitAsync(cancellation);
        }
        finally
        {
            mine.IsGone = true;
            lock (gate)
                waiting.Remove(mine); // who leaves keeps nobody out
        }
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
                var answers = new LiveAnswers(await MakeAsync(tree.Root), tree); // with the bundle once, however many wait for it
                for (var index = 0; index < batch.Count; index++)
                {
                    if (!batch[index].IsGone)
                        batch[index].Answer.TrySetResult(new LiveAnswer(answers.Beginning, answers.End(index)));
                }
            }
            catch (Exception e)
            {
                // Whoever came meanwhile has a quote tried anew; nobody else does.
                foreach (var one in batch)
                    one.Answer.TrySetException(e);
            }
        }
    }

    private async Task<byte[]> MakeAsync(ReadOnlyMemory<byte> nonce)
    {
        using var turn = await evidence.TakeTurnAsync(CancellationToken.None);
        var gateway = enrolment.Current ?? throw new EvidenceUnavailableException("The node is not enrolled.");
        var keys = ring.KeySets is [var newest, ..] ? newest : throw new EvidenceUnavailableException("No key set has evidence yet.");
        var cached = ring.EvidenceOf(keys.Digest) ?? throw new EvidenceUnavailableException("The key set is not held any more.");
        return await turn.MakeAsync(gateway, keys, cached.NotAfter, nonce, CancellationToken.None);
    }

    private sealed class Waiting(ReadOnlyMemory<byte> challenge)
    {
        public ReadOnlyMemory<byte> Challenge => challenge;

        public TaskCompletionSource<LiveAnswer> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public volatile bool IsGone;
    }
}

/// <summary>A live bundle with the way from one challenge to it; spec/attestation.md section 17.</summary>
/// <param name="Beginning">Shared with all of its batch.</param>
/// <param name="End">Of this challenge.</param>
internal sealed record LiveAnswer(ReadOnlyMemory<byte> Beginning, ReadOnlyMemory<byte> End);
