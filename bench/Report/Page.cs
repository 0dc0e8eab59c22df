using System.Globalization;
using System.Text;
using ConfidentialChat.Bench.WholePath.Measuring;

namespace ConfidentialChat.Bench.Report;

/// <summary>docs/benchmarks.md: made from a run, but for what is said about it by hand, which stays.</summary>
internal static class Page
{
    private const string Begin = "<!-- by hand: from here -->";
    private const string End = "<!-- by hand: to here -->";

    /// <summary>What stands between the marks of an earlier page.</summary>
    public static string? WrittenByHand(string page)
    {
        var (from, to) = (page.IndexOf(Begin, StringComparison.Ordinal), page.IndexOf(End, StringComparison.Ordinal));
        return from >= 0 && to > from ? page[(from + Begin.Length)..to].Trim('\n') : null;
    }

    public static string Write(RunResults results, string file, string? byHand)
    {
        var page = new StringBuilder();
        page.Append(CultureInfo.InvariantCulture, $"""
            # Benchmarks of the whole path

            `./bench.sh` made this page from `bench/results/{file}`; [bench/README.md](../bench/README.md) says how it measures. What counts are ratios within the run: another machine has other times.

            {results.Date:yyyy-MM-dd HH:mm} UTC, {results.Processor}, {results.System}, {results.Runtime}, {results.Rounds} rounds, load before the run {results.LoadBefore:0.0}{(results.LoadBefore > 0.5 ? " (others used the machine: times wander, and chunks that wait come in fewer pieces)" : "")}. Commit `{results.Commit}`{(results.BeforeCommit is { } before ? $", before it `{before}`" : "")}.

            ## Goals
            | goal | measured | aimed at | met |
            |---|---:|---:|---|

            """);
        foreach (var goal in results.Goals)
        {
            var (measured, bound) = (F(goal.Value, goal.Unit == "" ? 0 : 2), goal.Bound.ToString(CultureInfo.InvariantCulture));
            page.AppendLine(
                $"| {goal.Name} | {Unit(measured, goal.Unit)} | {(goal.IsUpper ? "≤" : "≥")} {Unit(bound, goal.Unit)} | {(goal.IsMet ? "yes" : "**no**")} |");
        }

        page.Append("""

            ## Routes
            Whole answers and bursts of chunks; a request has 2 KiB. Processor time is that of the processes under test, which share one core; ± is half of what lies between the least and the most of the rounds.

            | route | latency | added | first token | requests/s | CPU a request | : YARP | CPU a chunk | : YARP |
            |---|---:|---:|---:|---:|---:|---:|---:|---:|

            """);
        var (engine, yarp) = (results.Route(RouteNames.Engine), results.Route(RouteNames.Yarp));
        foreach (var route in results.Routes)
        {
            var added = route.Median(r => r.LatencyMs) - (engine?.Median(r => r.LatencyMs) ?? double.NaN);
            page.AppendLine(
                $"| {route.Name} | {F(route.Median(r => r.LatencyMs), 2, " ms")} | {(engine is null || route == engine ? "" : F(added, 2, " ms"))}"
                + $" | {F(route.Median(r => r.FirstTokenMs), 2, " ms")} | {F(route.Median(r => r.RequestsPerSecond), 0)}"
                + $" | {F(route.Median(r => r.RequestUs), 0, " µs")}{F(Half(route, r => r.RequestUs), 0, before: " ± ")} | {By(route, yarp, r => r.RequestUs)}"
                + $" | {F(route.Median(r => r.ChunkUs), 1, " µs")}{F(Half(route, r => r.ChunkUs), 1, before: " ± ")} | {By(route, yarp, r => r.ChunkUs)} |");
        }

        page.Append("""

            ![Processor time a request](benchmarks/request.svg)

            ![Processor time a chunk](benchmarks/chunk.svg)

            ![Latency](benchmarks/latency.svg)

            ## By process
            | route | process | CPU a request | one at a time | CPU a chunk |
            |---|---|---:|---:|---:|

            """);
        foreach (var route in results.Routes)
        {
            for (var i = 0; i < route.Rounds[0].Processes.Count; i++)
            {
                var process = i;
                page.AppendLine(
                    $"| {route.Name} | {route.Rounds[0].Processes[i].Name} | {F(route.Median(r => r.Processes[process].RequestUs), 0)} µs"
                    + $" | {F(route.Median(r => r.Processes[process].AloneRequestUs), 0)} µs | {F(route.Median(r => r.Processes[process].ChunkUs), 1, " µs")} |");
            }
        }

        page.Append("""

            ## The client
            What a whole answer costs the caller, at 32 connections. Caller and load are one process: counting and the clock are in it. "engine direct" sends prepared bytes over bare sockets, "gateway + node, lock counted" takes a lock and seals with the protocol's code over the same sockets; what a client library adds is what stands above them.

            | route | CPU a request, caller | gateway + node |
            |---|---:|---:|

            """);
        foreach (var route in results.ByLoad)
        {
            page.AppendLine(
                $"| {route.Name} | {F(route.Median(r => r.LoadUs), 0, " µs")}{F(Half(route, r => r.LoadUs), 0, before: " ± ")}"
                + $" | {(route == engine ? "" : F(route.Median(r => r.RequestUs), 0, " µs"))} |");
        }

        if (results.Messages.Count > 0)
        {
            page.Append("""

                ## Messages of nodes and clients
                What a message costs the gateway, with 32 nodes or clients that send at once; YARP is its relayed request above. An enrolment is one of a node that comes back: a token spent, a relay key agreed, the row on the disk. A report settles requests that the gateway relayed before. Lists and bundles are what a client of envelope v2 asks for once in a node's period, beside its requests.

                | message | CPU a message | one at a time | : YARP |
                |---|---:|---:|---:|

                """);
            foreach (var message in results.Messages)
            {
                page.AppendLine(
                    $"| {message.Name} | {F(message.Median(r => r.RequestUs), 0, " µs")}{F(Half(message, r => r.RequestUs), 0, before: " ± ")}"
                    + $" | {F(message.Median(r => r.AloneRequestUs), 0, " µs")} | {By(message, yarp, r => r.RequestUs)} |");
            }
        }

        if (results.Ledgers.Count > 0)
        {
            page.Append("""

                ## The ledger
                Without HTTP, within the load's own process and core: a request is reserved at a price, and settled by a report of its own, which is on the disk before it returns. PostgreSQL is Debian's on the same machine and disk, over loopback.

                | database | reserve | settle | both, 32 at once |
                |---|---:|---:|---:|

                """);
            foreach (var ledger in results.Ledgers)
            {
                page.AppendLine(
                    $"| {ledger.Name} | {F(ledger.ReserveMs, 2, " ms")} | {F(ledger.SettleMs, 2, " ms")} | {F(ledger.RequestsPerSecond, 0)} a second |");
            }
        }

        page.Append("""

            ## Many streams at once
            Paced, on fresh processes. A chunk that comes alone costs a wake-up at each hop; memory is what the resident set grew by.

            | route | streams | lost | memory a stream | CPU a chunk | by process |
            |---|---:|---:|---:|---:|---|

            """);
        foreach (var crowd in results.Crowds)
        {
            var processes = crowd.Processes.Select(process => $"{process.Name} {F(process.KiBPerStream, 1)} KiB and {F(process.ChunkUs, 1)} µs");
            page.AppendLine(
                $"| {crowd.Name} | {crowd.Streams} | {crowd.Lost} | {F(crowd.KiBPerStream, 1)} KiB | {F(crowd.ChunkUs, 1)} µs"
                + $" | {string.Join(", ", processes)} |");
        }

        page.Append("""

            ## Starts
            From the process's start until it is ready, with a fresh data directory, on both cores.

            | what | seconds | of |
            |---|---:|---|

            """);
        foreach (var start in results.Starts.Where(start => start.Seconds.Count > 0))
            page.AppendLine($"| {start.Name} | {F(start.Median, 2)} | {string.Join(", ", start.Seconds.Select(seconds => F(seconds, 2)))} |");
        foreach (var peer in results.LeftOut)
            page.Append(CultureInfo.InvariantCulture, $"\nLeft out: {peer}.\n");
        page.Append(CultureInfo.InvariantCulture, $"\n## What is left\n{Begin}\n{byHand ?? "Nothing has been said about this run yet."}\n{End}\n");
        return page.ToString();
    }

    private static double Half(RouteResults route, Func<RouteRound, double> figure) => (route.Rounds.Max(figure) - route.Rounds.Min(figure)) / 2;

    private static string By(RouteResults route, RouteResults? baseline, Func<RouteRound, double> figure) =>
        baseline is null ? "" : F(route.Median(figure) / baseline.Median(figure), 2, " ×");

    private static string Unit(string value, string unit) => unit == "" ? value : $"{value} {unit}";

    private static string F(double value, int digits, string after = "", string before = "") =>
        double.IsNaN(value) ? "" : before + value.ToString("F" + digits, CultureInfo.InvariantCulture) + after;
}
