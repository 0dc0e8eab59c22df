// spec/attestation.md section 11.
using System.Reflection;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Evidence;

/// <summary>Makes bundles: what this process states of itself and its keys, and the processor's evidence that binds it. One at a time, whoever asks.</summary>
internal sealed class NodeEvidence(
    IEvidenceSource source, NodeOptions options, IInferenceBackend engine, TimeProvider time, ILoggerFactory logs) : IDisposable
{
    private static readonly NodeSoftware Software = new(
        "ConfidentialChat",
        typeof(NodeEvidence).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0");

    /// <summary>For one quote: whoever hangs longer gives none, and keys have to go on.</summary>
    private static readonly TimeSpan QuoteTime = TimeSpan.FromSeconds(30);

    /// <summary>How far ahead of a client's clock a bundle may be issued; <c>clock_skew</c> of spec/attestation.md section 10.</summary>
    private static readonly TimeSpan Skew = TimeSpan.FromMinutes(1);

    private readonly SemaphoreSlim turns = new(1);
    private Task collecting = Task.CompletedTask;
    private DateTimeOffset issuedLast = DateTimeOffset.MinValue;

    /// <summary>
    /// Waits for the turn to make a bundle. Until it is given back no other is made: what is done with a bundle in its turn is done in the
    /// order of their times.
    /// </summary>
    public async Task<Turn> TakeTurnAsync(CancellationToken cancellation)
    {
        await turns.WaitAsync(cancellation);
        return new Turn(this);
    }

    public void Dispose() => turns.Dispose();

    private async Task<byte[]> MakeAsync(
        EnrolledGateway gateway, KeySet keys, DateTimeOffset notAfter, ReadOnlyMemory<byte> nonce, CancellationToken cancellation)
    {
        // It is asked once at a time, also by those who do not wait any more.
        if (!collecting.IsCompleted)
            throw new EvidenceUnavailableException("The processor has still not given the evidence that was asked of it before.");
        var issuedAt = IssueTime();
        if (issuedAt >= notAfter)
            throw new EvidenceUnavailableException("By the clock of this machine the keys are over already.");
        var statement = Statement(gateway, keys, issuedAt, notAfter, nonce).ToBytes();
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        late.CancelAfter(QuoteTime);
        try
        {
            var asked = source.CollectAsync(BundleStatement.ReportData(statement), late.Token).AsTask();
            collecting = asked;
            var cpu = await asked.WaitAsync(late.Token);
            return EvidenceBundle.Write(statement, cpu, []);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new EvidenceUnavailableException($"The processor gave no evidence within {QuoteTime.TotalSeconds} s.");
        }
        catch (Exception e) when (e is not (EvidenceUnavailableException or OperationCanceledException))
        {
            throw new EvidenceUnavailableException("The source of evidence failed.", e); // a node that serves goes on serving
        }
    }

    // Never before the bundle that was issued last, where the clock was set back: clients refuse what is older than what they have. One that was
    // further ahead than any client takes nobody has, and it does not hold up a clock that was put right.
    private DateTimeOffset IssueTime()
    {
        var now = DateTimeOffset.FromUnixTimeSeconds(time.GetUtcNow().ToUnixTimeSeconds()); // to the second, as the statement has it
        return issuedLast = issuedLast > now && issuedLast <= now + Skew ? issuedLast : now;
    }

    /// <summary>The turn to make bundles, until its disposal.</summary>
    internal sealed class Turn(NodeEvidence evidence) : IDisposable
    {
        /// <summary>A bundle of these keys, issued now.</summary>
        /// <param name="gateway">Of whose node it speaks.</param>
        /// <param name="keys">A set of this node, the newest that has evidence or the one that waits for it.</param>
        /// <param name="notAfter">When the keys are erased.</param>
        /// <param name="nonce">32 bytes.</param>
        /// <param name="cancellation">Whoever asked is gone.</param>
        /// <exception cref="EvidenceUnavailableException">The source gave none.</exception>
        public Task<byte[]> MakeAsync(
            EnrolledGateway gateway, KeySet keys, DateTimeOffset notAfter, ReadOnlyMemory<byte> nonce, CancellationToken cancellation) =>
            evidence.MakeAsync(gateway, keys, notAfter, nonce, cancellation);

        public void Dispose() => evidence.turns.Release();
    }

    private BundleStatement Statement(EnrolledGateway gateway, KeySet keys, DateTimeOffset issuedAt, DateTimeOffset notAfter, ReadOnlyMemory<byte> nonce)
    {
        var description = engine.Description;
        return new BundleStatement
        {
            Node = gateway.Node.Value,
            Keys = new NodeKeys { Ohttp = keys.Ohttp.GetValueOrDefault(), X25519 = keys.X25519.Span.ToArray(), Signing = keys.Signing!.Span.ToArray() },
            IssuedAt = issuedAt,
            NotAfter = notAfter,
            Nonce = nonce,
            Software = Software,
            Models = [.. engine.Models.Select(model => new NodeModel(model, description.Weights.GetValueOrDefault(model)))],
            Configuration = new NodeConfiguration(
                description.Upstreams,
                [.. options.DangerousPlainHttp ? ["plain-http"] : Array.Empty<string>(), .. description.Dangerous],
                LogLevelName(),
                description.Arguments),
        };
    }

    // The most that is written of requests: a level below information is a way out for what is served.
    private string LogLevelName()
    {
        var log = logs.CreateLogger("Microsoft.AspNetCore");
        return log.IsEnabled(LogLevel.Trace) ? "trace" : log.IsEnabled(LogLevel.Debug) ? "debug" : "information";
    }
}
