// spec/envelope-v2.md section 11.
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Node.Evidence;

/// <summary>Gets evidence for each key set before anybody is told of it, once the node knows its number.</summary>
internal sealed class KeyPublication(
    KeyRing ring, NodeEvidence evidence, GatewayEnrolment enrolment, NodeOptions options, TimeProvider time, ILogger<KeyPublication> log) : BackgroundService
{
    /// <summary>Between two attempts, where the processor gives none.</summary>
    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(5);

    private static readonly byte[] NoNonce = new byte[BundleStatement.NonceSize];

    private readonly SemaphoreSlim news = new(0);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        ring.Changed += Tell;
        enrolment.Changed += OnEnrolled;
        try
        {
            while (true)
            {
                var isDone = ring.Pending is not { } pending || enrolment.Current is not { } gateway || await TryPublishAsync(pending, gateway, stoppingToken);
                if (isDone)
                    await news.WaitAsync(stoppingToken);
                else
                    await Task.Delay(RetryDelay, time, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
        finally
        {
            ring.Changed -= Tell;
            enrolment.Changed -= OnEnrolled;
        }
    }

    public override void Dispose()
    {
        news.Dispose();
        base.Dispose();
    }

    private async Task<bool> TryPublishAsync(NodeKeySet set, EnrolledGateway gateway, CancellationToken cancellation)
    {
        try
        {
            // Published in its turn: a bundle of the keys before would else be issued after it, and shown to clients first.
            using var turn = await evidence.TakeTurnAsync(cancellation);
            var (began, now) = (time.GetTimestamp(), time.GetUtcNow());
            var notAfter = DateTimeOffset.FromUnixTimeSeconds((now + options.KeyLifetime + options.KeyGrace).ToUnixTimeSeconds()); // as the statement has it
            var lifetime = notAfter - now;
            var bundle = await turn.MakeAsync(gateway, set.Announced(default), notAfter, NoNonce, cancellation);
            if (enrolment.Current!.Node != gateway.Node)
                return false; // the node has another number by now, and another statement
            return ring.TryPublish(set, new KeySetEvidence(bundle, Sha256.Hash(bundle), began, lifetime, notAfter)) || ring.Pending != set;
        }
        catch (EvidenceUnavailableException e)
        {
            log.NoEvidence(e);
            return false;
        }
    }

    // Bundles name the node's number: under another one the keys that are held are nobody's.
    private void OnEnrolled(EnrolledGateway? before)
    {
        if (before is not null && before.Node != enrolment.Current!.Node)
            ring.TryRotate(eraseNow: true);
        Tell();
    }

    private void Tell()
    {
        if (news.CurrentCount == 0)
            news.Release();
    }
}
