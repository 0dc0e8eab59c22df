using System.Diagnostics;
using System.Text.Json;

namespace ConfidentialChat.Interop.Tests;

/// <summary>Programs of Node.js with published packages, run for one scenario against a sidecar.</summary>
internal static class JavaScript
{
    /// <summary>Runs the folder's <c>run.mjs</c> to its end.</summary>
    /// <param name="folder">Of <c>test/Interop</c>.</param>
    /// <param name="sidecar">Its base URL, ending in /v1.</param>
    /// <param name="model">Whom to ask.</param>
    /// <param name="scenario">Which, and what it takes.</param>
    /// <returns>The one JSON line of its standard output.</returns>
    public static async Task<JsonElement> RunAsync(string folder, Uri sidecar, string model, params string[] scenario)
    {
        var start = new ProcessStartInfo("node", [Path.Combine(Tree.Root, "test", "Interop", folder, "run.mjs"), .. scenario])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["SIDECAR"] = sidecar.ToString();
        start.Environment["MODEL"] = model;
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        process.ExitCode.ShouldBe(0, await errors);
        return JsonDocument.Parse(output).RootElement;
    }

    /// <summary>A member as text.</summary>
    public static string Text(this JsonElement answer, string name) => answer.GetProperty(name).ToString();
}
