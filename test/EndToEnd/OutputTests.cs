using System.Diagnostics;
using System.Text;
using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Gateway;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>docs/operating.md, "Output": other encodings, pipes that close, disks that are full.</summary>
public sealed class OutputTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("cchat-output-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("LC_ALL", "en_US.ISO-8859-1")]
    [InlineData("LC_ALL", "C")]
    [InlineData("LANG", "ja_JP.SJIS")]
    public async Task What_programs_read_is_UTF8_whatever_the_locale_says(string variable, string locale)
    {
        await GatewayOperator.OpenAsync(directory);
        string[][] commands =
        [
            ["keys", "create", "--user", "Ωmega 漢字 é", "--json"],
            ["keys", "list", "--json"],
            ["keys", "list"],
        ];
        foreach (var command in commands)
        {
            var output = await BytesAsync(variable, locale, [.. command, "--data", directory]);
            var text = new UTF8Encoding(encoderShouldEmitUTF8Identifier: true, throwOnInvalidBytes: true).GetString(output);
            text.ShouldContain("Ωmega 漢字 é", customMessage: string.Join(' ', command));
            text[0].ShouldNotBe('\uFEFF');
            if (command[^1] == "--json")
                JsonDocument.Parse(output).Dispose();
        }

        // And what people read, where it goes into a file.
        var refused = await RunAsync($"""LC_ALL= {variable}={locale} "$0" keys list --data {directory}/Ωmega 2>&1 >/dev/null""");
        refused.ShouldContain("Ωmega");
    }

    [Fact]
    public async Task An_answer_that_nobody_reads_any_more_is_given_up_without_a_word()
    {
        await using var engine = await ScriptedEngine.StartAsync(new EngineScript { Model = ScriptedStack.Model, Events = 600, DelayMs = 50 });
        await using var stack = new RunningStack(["--upstream", engine.Url.ToString(), "--upstream-model", ScriptedStack.Model]);
        await stack.InitializeAsync();
        var began = Stopwatch.GetTimestamp();
        var said = await RunAsync(
            $$"""CONFIDENTIALCHAT_API_KEY={{stack.ApiKey}} CONFIDENTIALCHAT_POLICY={{stack.PolicyFile}} "$0" ask Hello --gateway {{stack.Gateway}} 2>{{directory}}/errors | head -c 1; echo "${PIPESTATUS[0]}" """);
        said.TrimEnd().ShouldEndWith("141");
        Stopwatch.GetElapsedTime(began).ShouldBeLessThan(TimeSpan.FromSeconds(20)); // the answer takes 30
        (await File.ReadAllTextAsync(Path.Combine(directory, "errors"), TestContext.Current.CancellationToken)).ShouldNotContain("   at ");
    }

    [Fact]
    public async Task A_list_into_a_closed_pipe_or_onto_a_full_disk_is_no_crash()
    {
        await GatewayOperator.OpenAsync(directory);
        (await RunAsync($$"""("$0" nodes list --data {{directory}}; echo "$?" >&2) 2>&1 >/dev/null | tail -n 3""")).ShouldBe("0\n");
        (await RunAsync($$"""{ sleep 0.2; "$0" nodes list --data {{directory}}; echo "$?" >&2; } 2>{{directory}}/e | head -n 0; cat {{directory}}/e""")).ShouldBe("0\n");
        var full = await RunAsync($"""TERM=dumb NO_COLOR=1 "$0" nodes list --data {directory} 2>&1 >/dev/full; echo "$?" """);
        full.ShouldStartWith("error: ");
        full.ShouldNotContain("   at ");
        full.TrimEnd().ShouldEndWith("\n1");
        (await RunAsync($"""TERM=dumb "$0" keys revoke x --data {directory} 2>/dev/full; echo "$?" """)).ShouldBe("2\n"); // not even the error finds a place
        (await RunAsync($"""(TERM=dumb "$0" keys list --data {directory} >&-) 2>/dev/null; echo "$?" """)).ShouldBe("1\n");
        (await RunAsync($"""(TERM=dumb "$0" keys revoke x --data {directory} 2>&-); echo "$?" """)).ShouldBe("2\n");
    }

    private static async Task<byte[]> BytesAsync(string variable, string locale, string[] arguments)
    {
        using var run = RunningStack.Start(arguments, new Dictionary<string, string> { ["LANG"] = "", ["LC_ALL"] = "", [variable] = locale });
        using var bytes = new MemoryStream();
        await run.StandardOutput.BaseStream.CopyToAsync(bytes, TestContext.Current.CancellationToken);
        await run.WaitForExitAsync(TestContext.Current.CancellationToken);
        run.ExitCode.ShouldBe(0, await run.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
        return bytes.ToArray();
    }

    /// <summary>What a shell's line prints; <c>$0</c> is <c>cchat</c>.</summary>
    private static async Task<string> RunAsync(string line)
    {
        using var shell = Process.Start(
            new ProcessStartInfo("bash", ["-c", line, Path.Combine(AppContext.BaseDirectory, "cchat")]) { RedirectStandardOutput = true })!;
        var output = await shell.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await shell.WaitForExitAsync(TestContext.Current.CancellationToken);
        return output;
    }
}
