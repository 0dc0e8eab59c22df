using System.Diagnostics;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Hosting;

namespace ConfidentialChat.Cli.Stack;

/// <summary>
/// A gateway or node in a process of its own. It says on standard output, as one JSON line, when it is ready; its standard error
/// goes to a log file; and it stops in good order when its standard input ends, so that it never outlives this process.
/// </summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    /// <summary>Tells a child to stop when its standard input ends.</summary>
    public const string FollowParentOption = "--exit-with-stdin";

    private static readonly TimeSpan Long = TimeSpan.FromSeconds(10);

    private readonly Process process;
    private readonly CancellationTokenRegistration atOnce;
    private readonly Task logging;
    private readonly string name;
    private readonly string logPath;

    private ChildProcess(string name, Process process, string logPath)
    {
        this.name = name;
        this.process = process;
        this.logPath = logPath;
        logging = LogAsync();
        atOnce = Interrupt.EndingAtOnce.Register(Kill);
    }

    /// <summary>Ends when the process does.</summary>
    public Task Exited => process.WaitForExitAsync();

    /// <summary>Starts <c>cchat</c> with these arguments.</summary>
    /// <param name="name">What it is called in messages and in its log's name.</param>
    /// <param name="arguments">Without secrets: other users can read them.</param>
    /// <param name="environment">May hold secrets.</param>
    /// <param name="logDirectory">Where the log goes.</param>
    public static ChildProcess Start(
        string name, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment, string logDirectory)
    {
        var start = new ProcessStartInfo
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        var self = Environment.ProcessPath!;
        start.FileName = self;
        if (string.Equals(Path.GetFileNameWithoutExtension(self), "dotnet", StringComparison.Ordinal))
            start.ArgumentList.Add(typeof(ChildProcess).Assembly.Location);
        foreach (var argument in arguments.Append("--json").Append(FollowParentOption))
            start.ArgumentList.Add(argument);
        foreach (var (variable, value) in environment)
            start.Environment[variable] = value;
        PrivateFile.CreateDirectory(logDirectory);
        return new ChildProcess(name, Process.Start(start)!, Path.Combine(logDirectory, name + ".log"));
    }

    /// <summary>Waits for the line that says it is ready.</summary>
    /// <param name="progress">Told once where the log is, if it takes long.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="CommandException">It ended instead; the message holds what it said.</exception>
    public async Task<JsonElement> ReadyAsync(Action<string> progress, CancellationToken cancellation)
    {
        var reading = process.StandardOutput.ReadLineAsync(cancellation).AsTask();
        if (await Task.WhenAny(reading, Task.Delay(Long, cancellation)) != reading)
            progress($"{name}: not ready yet; what it waits for is in {logPath}");
        var line = await reading;
        if (line is not null)
            return JsonDocument.Parse(line).RootElement;
        await process.WaitForExitAsync(cancellation);
        await logging;
        throw await EndedAsync("did not start");
    }

    /// <summary>What to say of a process that ended by itself.</summary>
    public async Task<CommandException> EndedAsync(string what)
    {
        await logging;
        var lines = await File.ReadAllLinesAsync(logPath);
        var said = string.Join(Environment.NewLine, lines.TakeLast(5));
        var hint = lines.LastOrDefault(line => line.StartsWith("hint: ", StringComparison.Ordinal))?["hint: ".Length..] ?? $"its log is {logPath}";
        hint = hint.Replace("--port", $"--{name}-port", StringComparison.Ordinal); // the option of who started it
        var error = lines.LastOrDefault(line => line.StartsWith("error: ", StringComparison.Ordinal))?["error: ".Length..] ?? said;
        var exitCode = process.ExitCode is ExitCode.Usage or ExitCode.DatabaseBusy ? process.ExitCode : ExitCode.Failure;
        return new CommandException($"the {name} {what} (exit code {process.ExitCode}): {error}", hint, exitCode);
    }

    /// <summary>Asks it to stop, and ends it if it does not within the time it was given.</summary>
    public async Task StopAsync(TimeSpan patience)
    {
        if (!process.HasExited)
        {
            process.StandardInput.Close();
            using var impatience = new CancellationTokenSource(patience);
            try
            {
                await process.WaitForExitAsync(impatience.Token);
            }
            catch (OperationCanceledException)
            {
                Kill();
            }
        }

        await logging;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync(TimeSpan.FromSeconds(5));
        await atOnce.DisposeAsync();
        process.Dispose();
    }

    private void Kill()
    {
        try
        {
            process.Kill();
        }
        catch (InvalidOperationException)
        {
            // It has ended by itself.
        }
    }

    private async Task LogAsync()
    {
        await using var log = new StreamWriter(PrivateFile.Open(logPath, FileMode.Append, FileAccess.Write)) { AutoFlush = true };
        while (await process.StandardError.ReadLineAsync() is { } line)
            await log.WriteLineAsync(line);
    }
}
