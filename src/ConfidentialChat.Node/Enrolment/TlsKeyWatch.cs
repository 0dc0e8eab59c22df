// docs/operating.md, "Certificates".
using ConfidentialChat.Hosting;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>Keeps the node's own certificate what is on the disk, as an operator puts it there: looked at every ten seconds and on SIGHUP.</summary>
internal sealed class TlsKeyWatch(NodeIdentity identity, Reload reload, TimeProvider time, ILogger<TlsKeyWatch> log) : IHostedService, IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private readonly Lock gate = new();
    private ITimer? timer;
    private string? fault; // that was said last

    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (identity.Certificate is null)
            return Task.CompletedTask;
        identity.TlsPinChanged += OnPinChanged;
        reload.Asked += Look;
        timer = time.CreateTimer(static watch => ((TlsKeyWatch)watch!).Look(), this, Interval, Interval);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        identity.TlsPinChanged -= OnPinChanged;
        reload.Asked -= Look;
        timer?.Dispose();
    }

    private void OnPinChanged() => log.TlsKeyChanged();

    private void Look()
    {
        lock (gate)
        {
            try
            {
                if (identity.TakeCertificate())
                    log.CertificateTaken();
                fault = null;
            }
            catch (NodeOptionsException e)
            {
                Keep(e.Message, e.Hint);
            }
            catch (Exception e) // on a timer's thread it would end the node, which serves well with what it has
            {
                Keep($"tls.p12 cannot be used ({e.GetType().Name}).", "restore the one before");
            }
        }
    }

    private void Keep(string why, string hint)
    {
        if (!string.Equals(fault, why, StringComparison.Ordinal))
            log.CertificateKept(why, hint);
        fault = why;
    }
}
