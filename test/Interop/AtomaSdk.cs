using System.Diagnostics;
using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.Interop.Tests;

/// <summary>Runs one scenario of <c>atoma/run.mjs</c>.</summary>
internal static class AtomaSdk
{
    public static async Task<JsonElement> RunAsync(string scenario, RunningStack stack)
    {
        var start = new ProcessStartInfo("node") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(Path.Combine(Tree.Root, "test", "Interop", "atoma", "run.mjs"));
        start.ArgumentList.Add(scenario);
        start.Environment["GATEWAY"] = stack.Gateway.ToString().TrimEnd('/');
        start.Environment["API_KEY"] = stack.ApiKey;
        start.Environment["MODEL"] = stack.Model;
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        process.ExitCode.ShouldBe(0, await errors);
        return JsonDocument.Parse(output).RootElement;
    }
}
