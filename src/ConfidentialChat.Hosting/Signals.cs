// docs/operating.md, "Signals".
using System.Runtime.InteropServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ConfidentialChat.Hosting;

/// <summary>
/// The signals that a process takes, from its first line to its end: the first that asks it to end cancels <see cref="Stopping"/>, and a further
/// SIGINT or SIGTERM ends it at once, whatever it still does.
/// </summary>
internal sealed partial class Signals : IDisposable
{
    /// <summary>What shells add to a signal's number to say that it ended a process.</summary>
    private const int ExitCodeBase = 128;

    /// <summary>Milliseconds. timeout(1), npm and others send a signal to a process and to its group: that is one wish, and no impatience.</summary>
    private const long OneWish = 500;

    private readonly CancellationTokenSource stopping = new();
    private readonly CancellationTokenSource endingAtOnce = new();
    private readonly Func<PosixSignal, bool> isTaken;
    private readonly List<PosixSignalRegistration> registrations = [];
    private readonly Lock gate = new();
    private (int Number, long At)? first;

    /// <param name="isTaken">Asked first: whether a signal was for something smaller than the process, and has been obeyed.</param>
    /// <param name="isServer">A supervisor may also send SIGQUIT; elsewhere that is for who wants a core.</param>
    /// <remarks>What was ignored at the start, as SIGHUP is under nohup and SIGINT in a script's background, the runtime leaves so.</remarks>
    public Signals(Func<PosixSignal, bool> isTaken, bool isServer)
    {
        this.isTaken = isTaken;
        Register(PosixSignal.SIGINT);
        Register(PosixSignal.SIGTERM);
        Register(PosixSignal.SIGHUP);
        if (isServer)
            Register(PosixSignal.SIGQUIT);
    }

    /// <summary>Cancelled once the process is asked to end.</summary>
    public CancellationToken Stopping => stopping.Token;

    /// <summary>Cancelled right before the process ends at once: the moment to take along what may not outlive it.</summary>
    public CancellationToken EndingAtOnce => endingAtOnce.Token;

    /// <summary>Of a process that was asked to end before it had done its work.</summary>
    public int ExitCode
    {
        get
        {
            lock (gate)
                return ExitCodeBase + (first?.Number ?? 0);
        }
    }

    /// <summary>The host leaves signals to whoever made one of these.</summary>
    public static void LeaveTo(IServiceCollection services) => services.AddSingleton<IHostLifetime, WithoutSignals>();

    public void Dispose()
    {
        foreach (var registration in registrations)
            registration.Dispose();
        stopping.Dispose();
        endingAtOnce.Dispose();
    }

    private void Register(PosixSignal signal) => registrations.Add(PosixSignalRegistration.Create(signal, Take));

    private void Take(PosixSignalContext context)
    {
        context.Cancel = true;
        if (isTaken(context.Signal))
            return;
        var (number, now) = (Number(context.Signal), Environment.TickCount64);
        lock (gate)
        {
            // A terminal that closes says so several times: by the kernel, and by the shell.
            if (first is { } earlier && (context.Signal is PosixSignal.SIGHUP || now - earlier.At < OneWish))
                return;
            if (first is not null)
                EndAtOnce(number);
            first = (number, now);
        }

        stopping.Cancel();
    }

    private void EndAtOnce(int number)
    {
        try
        {
            endingAtOnce.Cancel();
        }
        finally
        {
            // Not Environment.Exit: it would wait for what runs, or let native code meet an engine that is being taken down.
            if (OperatingSystem.IsWindows())
                Environment.Exit(ExitCodeBase + number);
            else
                ExitNow(ExitCodeBase + number);
        }
    }

    private static int Number(PosixSignal signal) => signal switch
    {
        PosixSignal.SIGHUP => 1,
        PosixSignal.SIGINT => 2,
        PosixSignal.SIGQUIT => 3,
        _ => 15,
    };

    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void ExitNow(int code);

    private sealed class WithoutSignals : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
