// dotnet run --project bench/Report -c Release -- ROOT [RESULTS.json]   writes docs/benchmarks.md and its plots from the newest results
using System.Text.Json;
using ConfidentialChat.Bench.Report;
using ConfidentialChat.Bench.WholePath.Measuring;

if (args is not [var root, .. { Length: <= 1 } rest])
{
    await Console.Error.WriteLineAsync("usage: report ROOT [RESULTS.json]");
    return 2;
}

var file = rest is [var named] ? named : Directory.Exists(Path.Combine(root, "bench", "results"))
    ? Directory.GetFiles(Path.Combine(root, "bench", "results"), "*.json").Order(StringComparer.Ordinal).LastOrDefault()
    : null;
if (file is null || !File.Exists(file))
{
    await Console.Error.WriteLineAsync("error: there are no results");
    await Console.Error.WriteLineAsync("hint: ./bench.sh writes some to bench/results");
    return 2;
}

var results = JsonSerializer.Deserialize(await File.ReadAllTextAsync(file), ResultsJson.Default.RunResults)!;
var docs = Path.Combine(root, "docs");
var plots = Path.Combine(docs, "benchmarks");
Directory.CreateDirectory(plots);
foreach (var (name, svg) in Plots.Of(results))
    await File.WriteAllTextAsync(Path.Combine(plots, name + ".svg"), svg);
var page = Path.Combine(docs, "benchmarks.md");
var kept = File.Exists(page) ? Page.WrittenByHand(await File.ReadAllTextAsync(page)) : null;
await File.WriteAllTextAsync(page, Page.Write(results, Path.GetFileName(file), kept));
return 0;
