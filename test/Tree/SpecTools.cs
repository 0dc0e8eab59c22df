using System.Diagnostics;
using System.Text.Json;

namespace ConfidentialChat.Tests;

/// <summary>The specification's own vectors, which are always there, and its Node.js tools, which are there once installed.</summary>
internal static class SpecTools
{
    /// <summary>A file of <c>spec/vectors</c>.</summary>
    public static JsonElement Vectors(string file) => JsonElement.Parse(File.ReadAllText(Path.Combine(Tree.Root, "spec", "vectors", file)));

    /// <summary>Runs a script of <c>spec/tools</c>, gives what it prints, and fails where it fails.</summary>
    public static async Task<string> RunAsync(string script, string input, params string[] arguments)
    {
        var tools = Path.Combine(Tree.Root, "spec", "tools");
        if (!Directory.Exists(Path.Combine(tools, "node_modules")))
            Assert.Skip("the second implementation is not installed: run spec/tools/install.sh");
        var start = new ProcessStartInfo("node")
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(Path.Combine(tools, script));
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        var cancellation = TestContext.Current.CancellationToken;
        var output = process.StandardOutput.ReadToEndAsync(cancellation);
        var errors = process.StandardError.ReadToEndAsync(cancellation);
        await process.StandardInput.WriteAsync(input.AsMemory(), cancellation);
        process.StandardInput.Close();
        await process.WaitForExitAsync(cancellation);
        process.ExitCode.ShouldBe(0, await errors);
        return await output;
    }
}
