using System.Diagnostics;
using ConfidentialChat.Bench.WholePath.Load;
using ConfidentialChat.Bench.WholePath.Processes;

namespace ConfidentialChat.Bench.WholePath.Measuring;

/// <summary>Measures one route.</summary>
internal sealed class RouteMeter(Route route, RunOptions options)
{
    private const int CheckedCalls = 6;

    // A stream's own cost falls out of the difference.
    private static readonly Shape Short = new(16);
    private static readonly Shape Long = new(528);
    private static readonly Shape Paced = new(4, PaceMs: 2);

    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(0.4);

    private readonly TimeSpan quietAtMost = TimeSpan.FromSeconds(options.IsQuick ? 0.1 : 2);

    /// <summary>Opens and checks some answers of each shape, then lets the compiler see enough of them.</summary>
    public async Task WarmUpAsync()
    {
        Place();
        route.Checks = true;
        foreach (var shape in route.Streams ? (Shape[])[Shape.Whole, Short, Long, Paced] : [Shape.Whole])
            await RunAsync(shape, connections: 2, CheckedCalls);
        route.Checks = false;
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < options.WarmUp;)
        {
            await RunAsync(Shape.Whole, RunOptions.Connections, Math.Min(options.IsQuick ? 50 : 480, route.CallsMax));
            if (route.Streams)
                await RunAsync(Long, RunOptions.StreamConnections, options.IsQuick ? 2 : 12);
        }
    }

    public async Task<RouteRound> MeasureAsync()
    {
        Place();
        // Hops keep connections to each other, and not for ever.
        await RunAsync(Shape.Whole, RunOptions.Connections, Math.Min(2 * RunOptions.Connections, route.CallsMax));
        var alone = await RunAsync(Shape.Whole, 1, Math.Min(options.SequentialCalls, route.CallsMax));
        var many = await RunAsync(Shape.Whole, RunOptions.Connections, Math.Min(options.Calls, route.CallsMax));
        var streams = route.Streams ? options.Streams : 0;
        var first = await RunAsync(Paced, 1, route.Streams ? options.FirstTokenCalls : 0);
        var brief = await RunAsync(Short, RunOptions.StreamConnections, streams);
        var longer = await RunAsync(Long, RunOptions.StreamConnections, streams);
        var processes = route.Tested.Select((hop, i) => new ProcessRound(
            hop.Name, many.UsPerCall(i), alone.UsPerCall(i), (longer.UsPerCall(i) - brief.UsPerCall(i)) / (Long.Chunks - Short.Chunks))).ToList();
        return new RouteRound(
            Statistics.Median(alone.WholeMs),
            Statistics.Median(first.FirstByteMs),
            many.Calls / many.Time.TotalSeconds,
            processes.Sum(process => process.RequestUs),
            processes.Sum(process => process.AloneRequestUs),
            processes.Sum(process => process.ChunkUs),
            many.OwnCpu.TotalMicroseconds / many.Calls,
            processes);
    }

    private void Place()
    {
        foreach (var hop in route.Tested)
            hop.MoveTo(Machine.TestedCore);
        foreach (var hop in route.Aside)
            hop.MoveTo(Machine.OtherCore);
    }

    private async Task<Sample> RunAsync(Shape shape, int connections, int calls)
    {
        var sample = new Sample(route.Tested.Count);
        for (var done = 0; done < calls;)
        {
            var batch = Math.Min(calls - done, route.BatchMax);
            await route.PrepareAsync(batch, shape);
            var open = Enumerable.Range(0, Math.Min(connections, batch)).Select(_ => new RawConnection(route.To)).ToList();
            await Task.WhenAll(open.Select(connection => connection.ConnectAsync()));
            await QuietAsync();
            await RunAsync(sample, shape, open, batch);
            open.ForEach(connection => connection.Dispose());
            done += batch;
        }

        return sample;
    }

    private async Task RunAsync(Sample sample, Shape shape, IReadOnlyList<RawConnection> connections, int calls)
    {
        var before = Cpu();
        var own = Machine.CpuTime(Environment.ProcessId);
        var started = Stopwatch.GetTimestamp();
        var next = 0;
        await Task.WhenAll(connections.Select(async connection =>
        {
            while (Interlocked.Increment(ref next) - 1 is var index && index < calls)
            {
                var begun = Stopwatch.GetTimestamp();
                var first = await route.CallAsync(connection, index, shape);
                sample.Add(Stopwatch.GetElapsedTime(begun, first), Stopwatch.GetElapsedTime(begun));
            }
        }));
        sample.Time += Stopwatch.GetElapsedTime(started);
        sample.OwnCpu += Machine.CpuTime(Environment.ProcessId) - own;

        // What a request leaves to be done, its usage report above all, is its cost too.
        var after = await QuietAsync();
        for (var i = 0; i < before.Length; i++)
            sample.Cpu[i] += after[i] - before[i];
    }

    // Until nothing on the way works any more.
    private async Task<TimeSpan[]> QuietAsync()
    {
        var (last, clock) = (Cpu(), Stopwatch.StartNew());
        while (true)
        {
            await Task.Delay(Glance);
            var now = Cpu();
            if (clock.Elapsed > quietAtMost || now.Zip(last).All(pair => pair.First - pair.Second < Quiet))
                return now;
            last = now;
        }
    }

    private TimeSpan[] Cpu() => [.. route.Tested.Select(hop => hop.Cpu)];

    private sealed class Sample(int processes)
    {
        private readonly Lock gate = new();

        public TimeSpan[] Cpu { get; } = new TimeSpan[processes];

        public TimeSpan OwnCpu { get; set; }

        public TimeSpan Time { get; set; }

        public List<double> WholeMs { get; } = [];

        public List<double> FirstByteMs { get; } = [];

        public int Calls => WholeMs.Count;

        public double UsPerCall(int process) => Cpu[process].TotalMicroseconds / Calls;

        public void Add(TimeSpan first, TimeSpan whole)
        {
            lock (gate)
            {
                FirstByteMs.Add(first.TotalMilliseconds);
                WholeMs.Add(whole.TotalMilliseconds);
            }
        }
    }
}
