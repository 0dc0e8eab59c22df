namespace ConfidentialChat.Bench.WholePath.Measuring;

/// <summary>What was aimed at. All of one run, so that the machine falls out.</summary>
internal static class Goals
{
    public static IEnumerable<Goal> Of(RunResults results)
    {
        Func<RouteRound, double> request = round => round.RequestUs, chunk = round => round.ChunkUs;
        Func<RouteRound, double> latency = round => round.LatencyMs, rate = round => round.RequestsPerSecond;
        Goal?[] goals =
        [
            Ratio("gateway : YARP, CPU a request", RouteNames.Gateway, RouteNames.Yarp, request, 1.5),
            Ratio("gateway with its lock call : YARP, CPU a request", RouteNames.GatewayWithLock, RouteNames.Yarp, request, 2.5),
            Ratio("gateway : YARP, CPU a chunk", RouteNames.Gateway, RouteNames.Yarp, chunk, 1.2),
            Ratio("node : its floor, CPU a request", RouteNames.Node, RouteNames.FloorNode, request, 1.3),
            Ratio("node : its floor, CPU a chunk", RouteNames.Node, RouteNames.FloorNode, chunk, 1.3),
            Ratio("gateway v2 : YARP, CPU a request", RouteNames.GatewayV2, RouteNames.Yarp, request, 1.5),
            Apart("gateway v2, added latency of a price", RouteNames.GatewayV2Priced, RouteNames.GatewayV2, 0.3),
            Apart("gateway v2 on PostgreSQL, added latency to a file", RouteNames.GatewayV2Server, RouteNames.GatewayV2, 0.3),
            Ratio("node v2 : floor v2, CPU a request", RouteNames.NodeV2, RouteNames.FloorNodeV2, request, 1.3),
            Ratio("node v2 : floor v2 with receipts and vouchers, CPU a request", RouteNames.NodeV2, RouteNames.FloorNodeV2Signing, request, 1.3),
            Ratio("node v2 : floor v2, CPU a chunk", RouteNames.NodeV2, RouteNames.FloorNodeV2, chunk, 1.3),
            Added("client + gateway + node, added latency", RouteNames.Client, 0.8),
            Added("client + gateway + node v2, added latency", RouteNames.ClientV2, 1.2),
            Ratio("gateway + node : YARP behind YARP, requests a second", RouteNames.Path, RouteNames.YarpBehindYarp, rate, 0.4, isUpper: false),
            Ratio("gateway + node v2 : YARP behind YARP, requests a second", RouteNames.PathV2, RouteNames.YarpBehindYarp, rate, 0.33, isUpper: false),
            Ratio("gateway + node : EHBP in Node.js, requests a second", RouteNames.Path, RouteNames.Ehbp, rate, 8, isUpper: false),
            results.Crowds.Find(crowd => crowd.Name == RouteNames.Path) is { } streams
                ? new Goal($"memory a stream at {streams.Streams}, gateway + node", streams.KiBPerStream, 40, IsUpper: true, "KiB")
                : null,
            results.Crowds.Find(crowd => crowd.Name == RouteNames.Path) is { } whole
                ? new Goal($"streams lost of {whole.Streams}", whole.Lost, 0, IsUpper: true, "")
                : null,
            .. results.Ledgers.Select(ledger => new Goal($"a reservation, {ledger.Name}", ledger.ReserveMs, 0.3, IsUpper: true, "ms")),
            Start(RouteNames.HelpStart, 0.2),
            Start(RouteNames.GatewayStart, 0.6),
            Start(RouteNames.NodeStart, 0.6),
            Start(RouteNames.UpStart, 2),
        ];
        return goals.OfType<Goal>();

        Goal? Ratio(string name, string route, string baseline, Func<RouteRound, double> figure, double bound, bool isUpper = true) =>
            results.Route(route) is { } ours && results.Route(baseline) is { } theirs
                ? new Goal(name, ours.Median(figure) / theirs.Median(figure), bound, isUpper, "×")
                : null;

        Goal? Added(string name, string route, double bound) =>
            results.Route(route) is { } client && results.Route(RouteNames.Engine) is { } engine
                ? new Goal(name, client.Median(latency) - engine.Median(latency), bound, IsUpper: true, "ms")
                : null;

        Goal? Apart(string name, string route, string baseline, double bound) =>
            results.Route(route) is { } ours && results.Route(baseline) is { } theirs
                ? new Goal(name, ours.Median(latency) - theirs.Median(latency), bound, IsUpper: true, "ms")
                : null;

        Goal? Start(string name, double bound) =>
            results.Starts.Find(start => start.Name == name) is { Seconds.Count: > 0 } start ? new Goal(name, start.Median, bound, IsUpper: true, "s") : null;
    }
}
