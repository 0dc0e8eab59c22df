using System.Diagnostics;
using ConfidentialChat.Bench.WholePath.Load;
using ConfidentialChat.Bench.WholePath.Processes;

namespace ConfidentialChat.Bench.WholePath.Measuring;

/// <summary>Many paced streams at once: what each keeps in memory, what a chunk that comes alone costs, and whether any is lost.</summary>
internal sealed class CrowdMeter(Route route, RunOptions options)
{
    private const int BufferSize = 16 * 1024;
    private const int WarmUpCalls = 200;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    public async Task<CrowdResults> MeasureAsync()
    {
        foreach (var hop in route.Tested)
            hop.MoveTo(Machine.TestedCore);
        await WarmUpAsync();
        var shape = new Shape(options.CrowdChunks, options.CrowdPaceMs);
        await route.PrepareAsync(options.Crowd, shape);
        await Task.Delay(options.IsQuick ? 100 : 2000);
        var idle = route.Tested.Select(hop => hop.ResidentKiB).ToArray();

        route.Checks = true;
        var (begun, lost, fault) = (new CountdownEvent(options.Crowd), 0, (string?)null);
        var streams = Enumerable.Range(0, options.Crowd).Select(async index =>
        {
            await Task.Delay(index * 2); // as callers come, not in one instant
            using var connection = new RawConnection(route.To, BufferSize);
            var hasBegun = false;
            connection.OnFirstByte = () =>
            {
                hasBegun = true;
                begun.Signal();
            };
            try
            {
                await route.CallAsync(connection, index, shape);
            }
            catch (Exception e) when (e is LostAnswerException or System.Net.Sockets.SocketException)
            {
                Interlocked.Increment(ref lost);
                fault ??= e.Message;
                if (!hasBegun)
                    begun.Signal();
            }
        }).ToList();
        var whole = Task.WhenAll(streams).WaitAsync(Patience);
        await Task.WhenAny(Task.Run(begun.Wait), whole);

        // All have begun. None ends before the window does: the first began when the last had still to be let in.
        var window = TimeSpan.FromMilliseconds(options.CrowdPaceMs * options.CrowdChunks / 4);
        var (before, clock) = (Cpu(), Stopwatch.StartNew());
        await Task.Delay(window);
        var chunks = clock.Elapsed.TotalMilliseconds / options.CrowdPaceMs * (options.Crowd - lost);
        var cpu = Cpu().Zip(before, (now, then) => (now - then).TotalMicroseconds / chunks).ToArray();
        var full = route.Tested.Select(hop => hop.ResidentKiB).ToArray();
        await whole;
        route.Checks = false;
        var processes = route.Tested.Select((hop, i) => new CrowdProcess(hop.Name, (double)(full[i] - idle[i]) / options.Crowd, cpu[i])).ToList();
        return new CrowdResults(route.Name, options.Crowd, lost, fault, cpu.Sum(), processes);
    }

    private async Task WarmUpAsync()
    {
        var shape = new Shape(4, 1);
        var calls = options.IsQuick ? 20 : WarmUpCalls;
        await route.PrepareAsync(calls, shape);
        using var connection = new RawConnection(route.To);
        for (var i = 0; i < calls; i++)
            await route.CallAsync(connection, i, shape);
    }

    private TimeSpan[] Cpu() => [.. route.Tested.Select(hop => hop.Cpu)];
}
