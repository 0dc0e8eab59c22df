// spec/gateway.md section 7.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Hosting;

namespace ConfidentialChat.Gateway.State;

/// <summary>Notices within a second what another process, such as an operator's command, changed in the database.</summary>
internal sealed class ForeignChanges(
    IStateWriter state, KnownApiKeys apiKeys, KnownNodes nodes, TimeProvider time, Seldom seldom, ILogger<ForeignChanges> log) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);

    /// <summary>Between two looks that strangers asked for; real time, because it spares a real database.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private readonly SemaphoreSlim looking = new(1);
    private readonly Lock gate = new();
    private Task? asked; // and has not begun to look
    private long seen = -1;

    /// <summary>Looks once, and reads anew where something changed.</summary>
    public async Task LookAsync()
    {
        await looking.WaitAsync();
        try
        {
            var version = await state.RunAsync(rows => rows.ForeignVersionAsync());
            if (version == seen)
                return;
            await apiKeys.ReloadAsync();
            await nodes.ReloadAsync();
            seen = version; // a change in between is seen next time
        }
        finally
        {
            looking.Release();
        }
    }

    /// <summary>
    /// Completes after a look that began after this call: a key that was made a moment ago opens. However many ask, and whoever they are,
    /// there is one look in each pause.
    /// </summary>
    public Task LookSoonAsync()
    {
        lock (gate)
            return asked ??= PauseAndLookAsync();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            await TryLookAsync();
    }

    public override void Dispose()
    {
        looking.Dispose();
        base.Dispose();
    }

    // Whatever it is, it is tried again; what is shown stays.
    private async Task TryLookAsync()
    {
        try
        {
            await LookAsync();
        }
        catch (GatewayStateException)
        {
            // who met it first has logged it
        }
        catch (Exception e)
        {
            if (seldom.Says("Looks at the database that failed"))
                log.RefreshFailed(e);
        }
    }

    private async Task PauseAndLookAsync()
    {
        await Task.Delay(Pause);
        lock (gate)
            asked = null;
        await TryLookAsync();
    }
}
