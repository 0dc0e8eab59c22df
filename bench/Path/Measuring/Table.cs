using System.Globalization;
using System.Text;

namespace ConfidentialChat.Bench.WholePath.Measuring;

/// <summary>A run's results for people at a terminal.</summary>
internal static class Table
{
    public static string Write(RunResults results)
    {
        var text = new StringBuilder();
        var (engine, yarp) = (results.Route(RouteNames.Engine), results.Route(RouteNames.Yarp));
        Add(text,
            [
                "ROUTE", "LATENCY ms", "ADDED ms", "1ST TOKEN ms", "REQUESTS/s", "CPU µs/REQUEST ALONE", "AT 32", ": YARP", "± %", "CPU µs/CHUNK", ": YARP",
                "± %", "BY PROCESS, µs/REQUEST and µs/CHUNK",
            ],
            results.Routes.Select(route => (string[])
            [
                route.Name, F(route.Median(r => r.LatencyMs), 3), F(Less(route, engine, r => r.LatencyMs), 3), F(route.Median(r => r.FirstTokenMs), 3),
                F(route.Median(r => r.RequestsPerSecond), 0), F(route.Median(r => r.AloneRequestUs), 0), F(route.Median(r => r.RequestUs), 0),
                F(By(route, yarp, r => r.RequestUs), 2), F(Spread(route, r => r.RequestUs), 0), F(route.Median(r => r.ChunkUs), 2),
                F(By(route, yarp, r => r.ChunkUs), 2), F(Spread(route, r => r.ChunkUs), 0), ByProcess(route),
            ]));
        Add(text,
            ["CLIENT", "OWN CPU µs/REQUEST", "± %"],
            results.ByLoad.Select(route => (string[])[route.Name, F(route.Median(r => r.LoadUs), 0), F(Spread(route, r => r.LoadUs), 0)]));
        Add(text,
            ["MESSAGE", "CPU µs/MESSAGE ALONE", "AT 32", ": YARP", "± %"],
            results.Messages.Select(message => (string[])
            [
                message.Name, F(message.Median(r => r.AloneRequestUs), 0), F(message.Median(r => r.RequestUs), 0), F(By(message, yarp, r => r.RequestUs), 2),
                F(Spread(message, r => r.RequestUs), 0),
            ]));
        Add(text,
            ["LEDGER", "RESERVE ms", "SETTLE ms", "BOTH, REQUESTS/s"],
            results.Ledgers.Select(ledger => (string[])[ledger.Name, F(ledger.ReserveMs, 3), F(ledger.SettleMs, 3), F(ledger.RequestsPerSecond, 0)]));
        Add(text,
            ["STREAMS AT ONCE", "STREAMS", "LOST", "KiB/STREAM", "CPU µs/CHUNK", "BY PROCESS, KiB/STREAM and µs/CHUNK"],
            results.Crowds.Select(crowd => (string[])
            [
                crowd.Name, $"{crowd.Streams}", $"{crowd.Lost}", F(crowd.KiBPerStream, 1), F(crowd.ChunkUs, 1),
                string.Join(", ", crowd.Processes.Select(process => $"{process.Name} {F(process.KiBPerStream, 1)} and {F(process.ChunkUs, 1)}")),
            ]));
        Add(text,
            ["START TO READY", "SECONDS", "± %"],
            results.Starts.Where(start => start.Seconds.Count > 0).Select(start => (string[])[start.Name, F(start.Median, 2), F(Spread(start.Seconds), 0)]));
        Add(text,
            ["GOAL", "MEASURED", "BOUND", results.IsQuick ? "(a quick run judges nothing)" : "MET"],
            results.Goals.Select(goal => (string[])
            [
                goal.Name, $"{F(goal.Value, goal.Unit.Length == 0 ? 0 : 2)} {goal.Unit}".Trim(),
                $"{(goal.IsUpper ? "≤" : "≥")} {goal.Bound.ToString(CultureInfo.InvariantCulture)} {goal.Unit}".Trim(),
                results.IsQuick ? "" : goal.IsMet ? "yes" : "no",
            ]));
        foreach (var peer in results.LeftOut)
            text.AppendLine($"left out: {peer}");
        return text.ToString();
    }

    private static string ByProcess(RouteResults route) => route.Rounds[0].Processes.Count < 2
        ? ""
        : string.Join(", ", route.Rounds[0].Processes.Select((process, i) =>
            $"{process.Name} {F(route.Median(round => round.Processes[i].RequestUs), 0)} and {F(route.Median(round => round.Processes[i].ChunkUs), 2)}"));

    private static double Less(RouteResults route, RouteResults? baseline, Func<RouteRound, double> figure) =>
        baseline is null || baseline == route ? double.NaN : route.Median(figure) - baseline.Median(figure);

    private static double By(RouteResults route, RouteResults? baseline, Func<RouteRound, double> figure) =>
        baseline is null ? double.NaN : route.Median(figure) / baseline.Median(figure);

    private static double Spread(RouteResults route, Func<RouteRound, double> figure) => Spread([.. route.Rounds.Select(figure)]);

    // Half of what lies between the least and the most, in percent of the median.
    private static double Spread(List<double> values) => values.Count < 2 ? double.NaN : (values.Max() - values.Min()) / 2 / Statistics.Median(values) * 100;

    private static string F(double value, int digits) => double.IsNaN(value) ? "-" : value.ToString("F" + digits, CultureInfo.InvariantCulture);

    private static void Add(StringBuilder text, string[] headings, IEnumerable<string[]> rows)
    {
        var all = rows.ToList();
        if (all.Count == 0)
            return;
        var widths = headings.Select((heading, column) => all.Select(row => row[column].Length).Append(heading.Length).Max()).ToArray();
        foreach (var row in all.Prepend(headings))
        {
            var cells = row.Select((cell, column) => column == 0 || column >= 12 || !char.IsAsciiDigit(cell.FirstOrDefault('x')) && cell.Length > 12
                ? cell.PadRight(widths[column])
                : cell.PadLeft(widths[column]));
            text.AppendLine(string.Join("  ", cells).TrimEnd());
        }

        text.AppendLine();
    }
}
