// spec/attestation.md section 11.
using System.Reflection;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Evidence;

/// <summary>Makes bundles: what this process states of itself and its keys, and the processor's evidence that binds it. One at a time, whoever asks.</summary>
internal sealed class NodeEvidence(IEvidenceSource source, NodeOptions options, IInferenceBackend engine, ILoggerFactory logs) : IDisposable
{
    private static readonly NodeSoftware Software = new(
        "ConfidentialChat",
        typeof(NodeEvidence).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0");

    /// <summary>For one quote: whoever hangs longer gives none, and keys have to go on.</summary>
    private static readonly TimeSpan QuoteTime = TimeSpan.FromSeconds(30);

    private readonly SemaphoreSlim turn = new(1);

    /// <summary>A bundle of these keys.</summary>
    /// <param name="gateway">Of whose node it speaks.</param>
    /// <param name="keys">A set of this node.</param>
    /// <param name="issuedAt">The node's clock.</param>
    /// <param name="notAfter">When the keys are erased.</param>
    /// <param name="nonce">32 bytes.</param>
    /// <param name="cancellation">Whoever asked is gone.</param>
    /// <exception cref="EvidenceUnavailableException">The source gave none.</exception>
    public async Task<byte[]> MakeAsync(
        EnrolledGateway gateway, KeySet keys, DateTimeOffset issuedAt, DateTimeOffset notAfter, ReadOnlyMemory<byte> nonce, CancellationToken cancellation)
    {
        await turn.WaitAsync(cancellation);
        try
        {
            var statement = Statement(gateway, keys, issuedAt, notAfter, nonce).ToBytes();
            using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            late.CancelAfter(QuoteTime);
            var cpu = await source.CollectAsync(BundleStatement.ReportData(statement), late.Token).AsTask().WaitAsync(late.Token);
            return EvidenceBundle.Write(statement, cpu, []);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new EvidenceUnavailableException($"The processor gave no evidence within {QuoteTime.TotalSeconds} s.");
        }
        finally
        {
            turn.Release();
        }
    }

    public void Dispose() => turn.Dispose();

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
