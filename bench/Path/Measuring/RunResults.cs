using System.Text.Json;
using System.Text.Json.Serialization;

namespace ConfidentialChat.Bench.WholePath.Measuring;

/// <summary>A run's results, as they stand in <c>bench/results</c>. bench/Report reads them.</summary>
internal sealed record RunResults
{
    public required DateTimeOffset Date { get; init; }

    public required string Commit { get; init; }

    public string? BeforeCommit { get; init; }

    public required string Processor { get; init; }

    public required string System { get; init; }

    public required string Runtime { get; init; }

    /// <summary>Of the minute before the run: above 0.5, others had a part of the cores.</summary>
    public required double LoadBefore { get; init; }

    public required int Rounds { get; init; }

    public required bool IsQuick { get; init; }

    public List<RouteResults> Routes { get; init; } = [];

    /// <summary>Messages of nodes, as routes: whole answers only.</summary>
    public List<RouteResults> Messages { get; init; } = [];

    public List<CrowdResults> Crowds { get; init; } = [];

    public List<StartResults> Starts { get; init; } = [];

    /// <summary>What each database takes, without HTTP.</summary>
    public List<LedgerResults> Ledgers { get; init; } = [];

    public List<Goal> Goals { get; set; } = [];

    /// <summary>Peers that were not measured, each with its reason.</summary>
    public List<string> LeftOut { get; init; } = [];

    /// <summary>The routes of which the load's own processor time says something: those of the client library, and what they stand beside.</summary>
    [JsonIgnore]
    public IEnumerable<RouteResults> ByLoad =>
        ((string[])[RouteNames.Engine, RouteNames.PathWithLock, RouteNames.RawClient, RouteNames.Client]).Select(Route).OfType<RouteResults>();

    public RouteResults? Route(string name) => Routes.Find(route => route.Name == name);
}

/// <summary>One route, round by round.</summary>
internal sealed record RouteResults(string Name, List<RouteRound> Rounds)
{
    /// <summary>The middle over the rounds.</summary>
    public double Median(Func<RouteRound, double> figure) => Statistics.Median(Rounds.Select(figure));
}

/// <param name="LatencyMs">Whole answers, one at a time; median.</param>
/// <param name="FirstTokenMs">Streams, one at a time; median.</param>
/// <param name="RequestsPerSecond">Whole answers at 32 connections.</param>
/// <param name="RequestUs">Processor time of all tested processes for a whole answer, at 32 connections.</param>
/// <param name="AloneRequestUs">The same, one at a time.</param>
/// <param name="ChunkUs">Processor time for a chunk of a stream that comes as fast as it can.</param>
/// <param name="LoadUs">Processor time of the load itself for a whole answer, at 32 connections.</param>
/// <param name="Processes">The same figures by process.</param>
internal sealed record RouteRound(
    double LatencyMs, double FirstTokenMs, double RequestsPerSecond, double RequestUs, double AloneRequestUs, double ChunkUs, double LoadUs,
    List<ProcessRound> Processes);

internal sealed record ProcessRound(string Name, double RequestUs, double AloneRequestUs, double ChunkUs);

/// <summary>Many streams at once.</summary>
/// <param name="Name">The route.</param>
/// <param name="Streams">How many.</param>
/// <param name="Lost">Of them not whole, or not opened.</param>
/// <param name="Fault">What the first lost one met.</param>
/// <param name="ChunkUs">Processor time of all tested processes for a chunk, at the crowd's pace.</param>
/// <param name="Processes">By process.</param>
internal sealed record CrowdResults(string Name, int Streams, int Lost, string? Fault, double ChunkUs, List<CrowdProcess> Processes)
{
    [JsonIgnore]
    public double KiBPerStream => Processes.Sum(process => process.KiBPerStream);
}

internal sealed record CrowdProcess(string Name, double KiBPerStream, double ChunkUs);

/// <summary>From a process's start to its being ready.</summary>
internal sealed record StartResults(string Name, List<double> Seconds)
{
    [JsonIgnore]
    public double Median => Statistics.Median(Seconds);
}

/// <summary>Requests that are reserved at a price and settled, at one database.</summary>
/// <param name="Name">Of the database.</param>
/// <param name="ReserveMs">One after another; median.</param>
/// <param name="SettleMs">One after another, on the disk; median.</param>
/// <param name="RequestsPerSecond">Each reserved and settled by a report of its own, 32 at once.</param>
internal sealed record LedgerResults(string Name, double ReserveMs, double SettleMs, double RequestsPerSecond);

/// <summary>What was aimed at, as a figure of one run.</summary>
/// <param name="Name">What is compared with what.</param>
/// <param name="Value">Measured.</param>
/// <param name="Bound">Aimed at.</param>
/// <param name="IsUpper">Whether the bound is the most; else it is the least.</param>
/// <param name="Unit">Of value and bound.</param>
internal sealed record Goal(string Name, double Value, double Bound, bool IsUpper, string Unit)
{
    [JsonIgnore]
    public bool IsMet => IsUpper ? Value <= Bound : Value >= Bound;
}

internal static class Statistics
{
    public static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(RunResults))]
internal sealed partial class ResultsJson : JsonSerializerContext
{
    public static string Write(RunResults results) => JsonSerializer.Serialize(results, Default.RunResults);
}
