using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using ConfidentialChat.Cli;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Gateway;
using Microsoft.Data.Sqlite;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>A start that cannot be: one line that names what was asked for, one that says what to do, the right exit code and nothing else.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class StartFaultTests : IDisposable
{
    private const string Engine = "--gateway http://127.0.0.1:9 --upstream http://127.0.0.1:9 --upstream-model m --upstream-kind vllm";
    private const string BareEngine = "--Gateway http://127.0.0.1:9 --Upstream http://127.0.0.1:9 --UpstreamModel m --UpstreamKind vllm";

    private readonly string data = Directory.CreateTempSubdirectory("cchat-start-").FullName;

    public void Dispose() => Directory.Delete(data, recursive: true);

    [Theory]
    [InlineData("cchat gateway --data DATA --port TAKEN", "--port")]
    [InlineData("cchat node --data DATA --port TAKEN " + Engine, "--port")]
    [InlineData("cchat up --data DATA --fixture --gateway-port TAKEN", "--gateway-port")]
    [InlineData("ConfidentialChat.Gateway --DataDirectory DATA --Port TAKEN", "Port")]
    [InlineData("ConfidentialChat.Node --Data DATA --Port TAKEN " + BareEngine, "Port")]
    public async Task A_port_in_use_is_named(string line, string option)
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        var port = ((IPEndPoint)taken.LocalEndPoint!).Port;

        var (message, hint) = await FailAsync(ExitCode.Usage, line.Replace("TAKEN", $"{port}", StringComparison.Ordinal));
        message.ShouldContain($"{port}");
        hint.ShouldContain(option);
        hint.ShouldNotContain("up:");
    }

    [Theory]
    [InlineData("cchat gateway --data DATA --listen 192.0.2.1 --dangerous-plain-http --port 0")]
    [InlineData("ConfidentialChat.Node --Data DATA --Listen 192.0.2.1 --Port 0 " + BareEngine)]
    public async Task An_address_of_another_machine_is_named(string line) =>
        (await FailAsync(ExitCode.Usage, line)).Message.ShouldContain("192.0.2.1");

    [Theory]
    [InlineData("cchat gateway --data DATA/own --port 1", "port 1 ")]
    [InlineData("ConfidentialChat.Node --Data DATA/own --Port 1 " + BareEngine, "port 1 ")]
    [InlineData("cchat gateway --data DATA/read-only --port 0", "DATA/read-only")]
    [InlineData("cchat gateway --data DATA/another --port 0", "DATA/another")]
    [InlineData("cchat node --data DATA/another --port 0 " + Engine, "DATA/another")]
    [InlineData("cchat up --data DATA/read-only --fixture --gateway-port 0 --node-port 0", "DATA/read-only")]
    [InlineData("cchat keys list --data DATA/another", "DATA/another")]
    public async Task What_this_user_may_not_do_is_named(string line, string mentions)
    {
        Assert.SkipUnless(
            OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess && File.Exists("/usr/bin/setpriv"), "another user is needed, and root becomes one");
        Assert.SkipWhen(await RunAsync("cchat --version", asNobody: true) is not (0, _, _), "the build is not open to other users");
        File.SetUnixFileMode(data, (UnixFileMode)0b111_101_101);
        Directory.CreateDirectory(Path.Combine(data, "own"));
        Directory.CreateDirectory(Path.Combine(data, "read-only"));
        await GatewayOperator.OpenAsync(Path.Combine(data, "another"), cancellation: TestContext.Current.CancellationToken);
        using (var give = Process.Start("chown", ["nobody", Path.Combine(data, "own")]))
            await give.WaitForExitAsync(TestContext.Current.CancellationToken);

        var (message, _) = await FailAsync(ExitCode.Usage, line, asNobody: true);
        message.ShouldContain(mentions.Replace("DATA", data, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_path_too_long_for_the_database_is_named()
    {
        var deep = string.Concat(Enumerable.Repeat("/" + new string('x', 200), 3));
        (await FailAsync(ExitCode.Usage, $"cchat gateway --data DATA{deep} --port 0")).Message.ShouldContain("too long");
        Directory.Exists(data + "/" + new string('x', 200)).ShouldBeFalse();

        // Where only a link leads there, the system says it.
        var link = Path.Combine(data, "link");
        Directory.CreateSymbolicLink(link, Directory.CreateDirectory(data + deep).FullName);
        (await FailAsync(ExitCode.Failure, "cchat gateway --data DATA/link --port 0")).Hint.ShouldContain("500 bytes");
    }

    [Theory]
    [InlineData("keys list --data DATA")]
    [InlineData("nodes token --data DATA")]
    [InlineData("version --data DATA")]
    public async Task A_file_that_is_no_database_is_named_by_commands(string line)
    {
        var path = Path.Combine(data, "gateway.db");
        await File.WriteAllBytesAsync(path, RandomNumberGenerator.GetBytes(4096), TestContext.Current.CancellationToken);
        var (exitCode, output, errors) = await InProcess.RunAsync(line.Replace("DATA", data, StringComparison.Ordinal).Split(' '));
        (exitCode, output).ShouldBe((ExitCode.Failure, ""), errors);
        errors.ShouldMatch($"^error: .*{path}.*\nhint: .*\n$");
    }

    [Fact]
    public async Task A_database_of_a_later_version_is_refused_by_a_process_and_shown_by_version()
    {
        await GatewayOperator.OpenAsync(data, cancellation: TestContext.Current.CancellationToken);
        (await InProcess.RunAsync("version", "--data", data)).Output.ShouldContain($"database  {GatewayOperator.NewestTables()} (this version's)");
        await using (var connection = new SqliteConnection($"Data Source={Path.Combine(data, "gateway.db")};Pooling=False"))
        {
            await connection.OpenAsync(TestContext.Current.CancellationToken);
            await using var command = connection.CreateCommand();
            command.CommandText = "INSERT INTO __EFMigrationsHistory VALUES ('20990101000000_Mar\u001bvels', '30.0.0')";
            await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }

        foreach (var line in (string[])["cchat gateway --data DATA --port 0", "ConfidentialChat.Gateway --DataDirectory DATA --Port 0"])
            (await FailAsync(ExitCode.Failure, line)).Message.ShouldContain("later version");
        (await InProcess.RunAsync("version", "--data", data)).Output.ShouldContain("database  20990101000000_Mar\ufffdvels (of a later version");
        (await InProcess.RunAsync("version", "--data", data, "--json")).Output.ShouldContain("\"age\":\"later\"");
    }

    [Theory]
    [InlineData("ConfidentialChat.Gateway --DataDirectory DATA --Port eighty", "Port")]
    [InlineData("ConfidentialChat.Node --Data DATA --Port eighty " + BareEngine, "Port")]
    public async Task A_setting_that_is_no_number_is_named(string line, string setting) =>
        (await FailAsync(ExitCode.Usage, line)).Message.ShouldContain(setting);

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    public async Task Help_comes_to_an_end_in_a_terminal_of_few_columns(int columns)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/script"), "script makes a terminal");
        using var terminal = Process.Start(new ProcessStartInfo(
            "/usr/bin/script", ["-qec", $"stty cols {columns}; exec '{Path.Combine(AppContext.BaseDirectory, "cchat")}' gateway --help", "/dev/null"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        var output = terminal.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await terminal.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(30));
        terminal.ExitCode.ShouldBe(0, await output);
        (await output).ShouldContain("--trusted-proxies");
    }

    private async Task<(string Message, string Hint)> FailAsync(int expected, string line, bool asNobody = false)
    {
        var (exitCode, output, errors) = await RunAsync(line, asNobody);
        (exitCode, output).ShouldBe((expected, ""), errors);
        var said = errors.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .SkipWhile(text => text.StartsWith("gateway: ", StringComparison.Ordinal) || text.StartsWith("warning: ", StringComparison.Ordinal)).ToList();
        said.Count.ShouldBe(2, errors);
        said[0].ShouldStartWith("error: ");
        said[1].ShouldStartWith("hint: ");
        return (said[0], said[1]);
    }

    private async Task<(int ExitCode, string Output, string Errors)> RunAsync(string line, bool asNobody = false)
    {
        var words = line.Replace("DATA", data, StringComparison.Ordinal).Split(' ');
        string[] command = [Path.Combine(AppContext.BaseDirectory, words[0]), .. words[1..]];
        var start = asNobody
            ? new ProcessStartInfo(
                "/usr/bin/setpriv", ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", .. command])
            : new ProcessStartInfo(command[0], command[1..]);
        (start.RedirectStandardInput, start.RedirectStandardOutput, start.RedirectStandardError) = (true, true, true);
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60));
        return (process.ExitCode, await output, await errors);
    }
}
