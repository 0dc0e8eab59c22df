using ConfidentialChat.Bench.WholePath.Measuring;
using ScottPlot;

namespace ConfidentialChat.Bench.Report;

/// <summary>The plots of a run, as SVG by name.</summary>
internal static class Plots
{
    private const int Width = 900;
    private const int RowHeight = 34;
    private const int Margin = 110;

    private static readonly Color[] Colours = [Color.FromHex("#1f6feb"), Color.FromHex("#d29922"), Color.FromHex("#57606a")];

    public static IEnumerable<(string Name, string Svg)> Of(RunResults results)
    {
        yield return ("request", Bars(results, "Processor time a request", "µs", (round, i) => round.Processes[i].RequestUs));
        yield return ("chunk", Bars(results, "Processor time a chunk", "µs", (round, i) => round.Processes[i].ChunkUs));
        yield return (
            "latency", Bars(results, "Latency of a whole answer at one connection", "ms", (round, i) => i == 0 ? round.LatencyMs : 0, byProcess: false));
    }

    // One bar a route, one part of it a process; the line shows the least and the most of the rounds.
    private static string Bars(RunResults results, string title, string unit, Func<RouteRound, int, double> figure, bool byProcess = true)
    {
        using var plot = new Plot();
        var routes = results.Routes.AsEnumerable().Reverse().ToList();
        for (var row = 0; row < routes.Count; row++)
        {
            var at = 0.0;
            for (var i = 0; i < (byProcess ? routes[row].Rounds[0].Processes.Count : 1); i++)
            {
                var (route, process) = (routes[row], i);
                var value = route.Median(round => figure(round, process));
                value = double.IsNaN(value) ? 0 : Math.Max(0, value);
                plot.Add.Bar(new Bar
                {
                    Position = row,
                    ValueBase = at,
                    Value = at + value,
                    FillColor = Colours[i % Colours.Length],
                    Orientation = Orientation.Horizontal,
                    LineWidth = 0,
                });
                at += value;
            }

            var sums = routes[row].Rounds.Select(round => Enumerable.Range(0, byProcess ? round.Processes.Count : 1).Sum(i => figure(round, i))).ToList();
            if (double.IsNaN(sums[0]))
                continue; // it does not stream
            plot.Add.Line(Math.Max(0, sums.Min()), row, sums.Max(), row).Color = Colors.Black;
            plot.Add.Text($"  {at:0.##} {unit}", Math.Max(at, sums.Max()), row).LabelAlignment = Alignment.MiddleLeft;
        }

        plot.Axes.Left.SetTicks([.. Enumerable.Range(0, routes.Count).Select(row => (double)row)], [.. routes.Select(route => route.Name)]);
        plot.Axes.Left.MajorTickStyle.Length = 0;
        plot.Axes.Margins(left: 0, right: 0.15);
        plot.HideGrid();
        plot.Title($"{title}, medians of {results.Rounds} rounds");
        plot.XLabel(unit);
        return plot.GetSvgXml(Width, RowHeight * routes.Count + Margin);
    }
}
