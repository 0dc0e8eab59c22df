// docs/operating.md, "Certificates".
using System.Security.Cryptography;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Hosting.Certificates;

/// <summary>
/// Keeps the certificate in use what is on the disk: it reads the files again every ten seconds and when it is asked to. It looks at what they
/// hold, not at their times or for events of the system: those miss a link that is turned elsewhere, and disks of other machines.
/// </summary>
internal sealed class CertificateWatch : IHostedService, IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan FirstWarning = TimeSpan.FromDays(21);
    private static readonly TimeSpan DailyWarning = TimeSpan.FromDays(7);

    private readonly CertificateFiles files;
    private readonly string? name;
    private readonly Reload reload;
    private readonly TimeProvider time;
    private readonly ILogger<CertificateWatch> log;
    private readonly Lock gate = new();
    private volatile ServerCertificate current;
    private ITimer? timer;
    private byte[]? served; // the files' digest, once they were found to hold what is in use
    private string? fault; // that was said last
    private int? stage; // of the end that comes nearer

    public CertificateWatch(CertificateFiles files, ServerCertificate first, string? name, Reload reload, TimeProvider time, ILogger<CertificateWatch> log)
    {
        this.files = files;
        this.name = name;
        this.reload = reload;
        this.time = time;
        this.log = log;
        current = first;
    }

    /// <summary>For the next handshake. Connections that are open keep what they began with.</summary>
    public ServerCertificate Current => current;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        Begin(time.GetUtcNow());
        reload.Asked += OnAsked;
        timer = time.CreateTimer(static watch => ((CertificateWatch)watch!).Look(isAsked: false), this, Interval, Interval);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask; // while it drains, connections still come

    public void Dispose()
    {
        reload.Asked -= OnAsked;
        timer?.Dispose();
    }

    private void OnAsked() => Look(isAsked: true);

    private void Look(bool isAsked)
    {
        lock (gate)
        {
            var now = time.GetUtcNow();
            var why = TryRead(now, out var found);
            if (why is not null)
            {
                if (isAsked || !string.Equals(why, fault, StringComparison.Ordinal))
                    log.CertificateKept(why);
            }
            else if (found is not null)
            {
                current = found;
                log.CertificateReplaced(files.Certificate, found);
                Begin(now);
            }
            else if (isAsked)
            {
                log.CertificateUnchanged(files.Certificate, current);
            }

            fault = why;
            WarnOfEnd(now);
        }
    }

    // What is to be used from now on, if anything; else why not what is there.
    private string? TryRead(DateTimeOffset now, out ServerCertificate? found)
    {
        found = null;
        byte[] digest;
        ServerCertificate read;
        try
        {
            digest = files.Digest();
            if (served is not null && CryptographicOperations.FixedTimeEquals(digest, served))
                return null;
            read = files.Read();
        }
        catch (CertificateException e)
        {
            return $"{e.Message} hint: {e.Hint}";
        }
        catch (Exception e) // on a timer's thread it would end the server, which serves well with what it has
        {
            return $"{files.Certificate} and {files.Key} cannot be used ({e.GetType().Name}).";
        }

        if (read.IsSameAs(current))
        {
            read.Dispose();
            served = digest;
            return null;
        }

        // Clients take the one in use and would not take this one. Where they take neither the operator's last word holds.
        if (read.Faults(now, name).FirstOrDefault() is { } why && !current.Faults(now, name).Any())
        {
            read.Dispose(); // and judged anew at the next look: it may begin meanwhile
            return why;
        }

        // The one before is left to the collector: a handshake may be showing it.
        (found, served) = (read, digest);
        return null;
    }

    private void Begin(DateTimeOffset now)
    {
        foreach (var why in current.Faults(now, name))
            log.CertificateFaulty(why);
        stage = current.Ends < now ? Stage(now) : null; // that it has ended was said just now
        WarnOfEnd(now);
    }

    private void WarnOfEnd(DateTimeOffset now)
    {
        if (Stage(now) is not { } reached)
        {
            stage = null;
            return;
        }

        if (reached == stage)
            return;
        stage = reached;
        if (current.Ends < now)
            log.CertificateEnded(files.Certificate, current.Ends);
        else
            log.CertificateEnding(files.Certificate, (int)(current.Ends - now).TotalDays, current.Ends);
    }

    // A certificate of 90 days is renewed 30 days before its end, one of six days in its last third: earlier than that a warning is none.
    private int? Stage(DateTimeOffset now)
    {
        var (left, life) = (current.Ends - now, current.Ends - current.Begins);
        if (left > Least(FirstWarning, life / 4))
            return null;
        return left > Least(DailyWarning, life / 12) ? int.MaxValue : (int)Math.Floor(left.TotalDays);
    }

    private static TimeSpan Least(TimeSpan one, TimeSpan other) => one < other ? one : other;
}
