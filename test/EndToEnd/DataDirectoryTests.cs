using System.Diagnostics;
using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Gateway;
using Microsoft.Data.Sqlite;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>Who may use a data directory: one gateway, commands beside it, and its owner alone.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class DataDirectoryTests : IDisposable
{
    private readonly string data = Directory.CreateTempSubdirectory("cchat-data-").FullName;

    public void Dispose() => Directory.Delete(data, recursive: true);

    [Fact]
    public async Task A_second_gateway_is_refused_by_name_until_the_first_is_killed_and_keys_are_made_beside_it()
    {
        string[] gateway = ["gateway", "--data", data, "--port", "0", "--json"];
        using var first = RunningStack.Start(gateway);
        _ = first.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        (await first.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)).ShouldNotBeNull();

        var (exitCode, output, errors) = await RunningStack.RunAsync(gateway);
        (exitCode, output).ShouldBe((2, ""), errors);
        errors.ShouldStartWith("error: ");
        errors.ShouldContain(data);
        errors.ShouldContain($"process {first.Id}");
        errors.ShouldContain("hint: ");

        // Eight at once: none waits for another's compilation.
        var keys = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => RunningStack.RunAsync(["keys", "create", "--data", data, "--user", $"user-{i}"])));
        keys.ShouldAllBe(key => key.ExitCode == 0 && key.Output.StartsWith("cc_"));

        await RunningStack.SignalAsync(first.Id, "KILL");
        await first.WaitForExitAsync(TestContext.Current.CancellationToken);
        using var next = RunningStack.Start(gateway);
        _ = next.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        (await next.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)).ShouldNotBeNull();
        await RunningStack.SignalAsync(next.Id, "TERM");
        await next.WaitForExitAsync(TestContext.Current.CancellationToken);
        next.ExitCode.ShouldBe(0);
    }

    [Fact]
    public async Task A_busy_database_has_a_message_and_an_exit_code_of_its_own()
    {
        await GatewayOperator.OpenAsync(data, cancellation: TestContext.Current.CancellationToken);
        await using var holder = new SqliteConnection($"Data Source={Path.Combine(data, "gateway.db")};Pooling=False");
        await holder.OpenAsync(TestContext.Current.CancellationToken);
        await using var transaction = holder.BeginTransaction();

        var gateway = Path.Combine(AppContext.BaseDirectory, "ConfidentialChat.Gateway");
        using var bare = Process.Start(new ProcessStartInfo(gateway, ["--DataDirectory", data, "--Port", "0"])
        {
            RedirectStandardError = true,
        })!;
        var start = bare.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var (exitCode, output, errors) = await InProcess.RunAsync("keys", "create", "--data", data);
        (exitCode, output).ShouldBe((8, ""), errors);
        await bare.WaitForExitAsync(TestContext.Current.CancellationToken);
        bare.ExitCode.ShouldBe(8);
        (await start).ShouldMatch("^waiting .* 10 s at most\nerror: .*gateway.db is busy.*\nhint: .*\n$"); // said once, and nothing of a log
        errors.ShouldMatch("^waiting .* 10 s at most\nerror: .*busy.*\nhint: .*try again.*\n$");
        (await InProcess.RunAsync("keys", "list", "--data", data)).ExitCode.ShouldBe(0); // reading waits for nobody
    }

    [Fact]
    public async Task A_directory_of_any_name_serves_and_one_that_a_link_leads_to_and_under_a_strict_umask()
    {
        if (OperatingSystem.IsWindows())
            return;
        var odd = Directory.CreateDirectory(Path.Combine(data, "a;b'c\"d e=%20|?#&Mode=ReadOnly", new string('x', 120))).FullName; // too long for a socket
        var link = Path.Combine(data, "link");
        Directory.CreateSymbolicLink(link, odd);
        using var up = Process.Start(new ProcessStartInfo(
            "sh",
            [
                "-c", "umask 077; exec \"$@\"", "sh", Path.Combine(AppContext.BaseDirectory, "cchat"),
                "up", "--fixture", "--json", "--gateway-port", "0", "--node-port", "0", "--data", link,
            ])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var errors = up.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var ready = await up.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        ready.ShouldNotBeNull(ready is null ? await errors : "");

        var (exitCode, output, said) = await InProcess.RunAsync("nodes", "list", "--data", odd);
        exitCode.ShouldBe(0, said);
        output.ShouldContain("ready");
        (await InProcess.RunAsync("node", "rotate", "--data", link)).ExitCode.ShouldBe(0);
        File.Exists(Path.Combine(odd, "gateway", "gateway.db")).ShouldBeTrue();
        await RunningStack.SignalAsync(up.Id, "TERM");
        await up.WaitForExitAsync(TestContext.Current.CancellationToken);
        up.ExitCode.ShouldBe(0, await errors);
    }

    [Fact]
    public async Task Whatever_the_umask_nobody_else_reads_what_up_writes()
    {
        if (OperatingSystem.IsWindows())
            return;
        var fresh = Path.Combine(data, "a", "b", "c");
        using (var gateway = Process.Start(Bare("gateway", "--data", fresh, "--port", "0", "--json"))!)
        {
            (await gateway.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)).ShouldNotBeNull();
            await RunningStack.SignalAsync(gateway.Id, "TERM");
            await gateway.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        foreach (var directory in Directory.GetDirectories(data, "*", SearchOption.AllDirectories))
            Others(directory).ShouldBe(UnixFileMode.None, directory);

        var place = Path.Combine(data, "up");
        var logs = Directory.CreateDirectory(Path.Combine(place, "logs")).FullName; // as an earlier version left them
        await File.WriteAllTextAsync(Path.Combine(logs, "node.log"), "old\n", TestContext.Current.CancellationToken);
        File.SetUnixFileMode(Path.Combine(logs, "node.log"), (UnixFileMode)0b110_110_110);
        File.SetUnixFileMode(place, (UnixFileMode)0b111_000_000);
        using var up = Process.Start(Bare("up", "--fixture", "--json", "--gateway-port", "0", "--node-port", "0", "--data", place))!;
        var errors = up.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var ready = await up.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        ready.ShouldNotBeNull(ready is null ? await errors : "");
        JsonElement.Parse(ready!).GetProperty("api_key").GetString().ShouldNotBeNull();

        foreach (var directory in Directory.GetDirectories(place))
            Others(directory).ShouldBe(UnixFileMode.None, directory);
        string[] open = ["fixture.gguf", "control.sock"]; // is no secret; lies in a directory that nobody else enters
        var files = Directory.GetFiles(place, "*", SearchOption.AllDirectories).Where(file => !open.Contains(Path.GetFileName(file))).ToList();
        files.Select(Path.GetFileName).ShouldBeSubsetOf(
        [
            "api-key", "policy.toml", "in-use", "gateway.log", "node.log", "sidecar.log",
            "gateway.db", "gateway.db-shm", "gateway.db-wal", "gateway.key", "gateway.lock",
            "gateway.pid", "identity.key", "enrolment.json", "vouchers",
        ]);
        foreach (var file in files)
            Others(file).ShouldBe(UnixFileMode.None, file);

        await RunningStack.SignalAsync(up.Id, "TERM");
        await up.WaitForExitAsync(TestContext.Current.CancellationToken);
        up.ExitCode.ShouldBe(0, await errors);

        static ProcessStartInfo Bare(params string[] arguments) => new(
            "sh", ["-c", "umask 000; exec \"$@\"", "sh", Path.Combine(AppContext.BaseDirectory, "cchat"), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        static UnixFileMode Others(string path) => File.GetUnixFileMode(path)
            & (UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
                | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute);
    }
}
