using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;

namespace ConfidentialChat.Bench.WholePath.Processes;

/// <summary>A process on the way of a request. It ends with this one: its standard input is ours.</summary>
internal sealed class Hop : IAsyncDisposable
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(10);

    private readonly Process process;
    private readonly bool endsWithInput;

    private Hop(string name, Process process, bool endsWithInput)
    {
        Name = name;
        this.process = process;
        this.endsWithInput = endsWithInput;
    }

    public string Name { get; }

    public Uri Url { get; private set; } = new("http://127.0.0.1");

    /// <summary>What it said when it was ready; undefined where it says nothing.</summary>
    public JsonElement Said { get; private set; }

    public int Id => process.Id;

    /// <summary>Its processor time, its children's included.</summary>
    public TimeSpan Cpu => Machine.Children(Id).Aggregate(Machine.CpuTime(Id), (sum, child) => sum + Machine.CpuTime(child));

    public long ResidentKiB => Machine.ResidentKiB(Id);

    /// <summary>Starts a server that says in one JSON line where it listens.</summary>
    /// <param name="name">In tables.</param>
    /// <param name="log">Takes its standard error.</param>
    /// <param name="command">Program and arguments, without secrets.</param>
    /// <param name="member">The member of the line that holds the URL.</param>
    /// <param name="environment">May hold secrets.</param>
    /// <param name="isPinned">Whether it starts on the core of what is tested; else it has both.</param>
    /// <param name="endsWithInput">Whether it stops at the end of its input; else it is asked by a signal.</param>
    public static async Task<Hop> StartAsync(
        string name, string log, IReadOnlyList<string> command, string member = "url", IReadOnlyDictionary<string, string>? environment = null,
        bool isPinned = true, bool endsWithInput = true)
    {
        var hop = new Hop(name, Start(log, command, environment, isPinned), endsWithInput);
        try
        {
            var line = await hop.process.StandardOutput.ReadLineAsync().WaitAsync(StartTimeout);
            if (line is null)
                throw new MeasurementException($"{name} did not start: {string.Join(' ', File.ReadLines(log).TakeLast(3))}");
            hop.Said = JsonDocument.Parse(line).RootElement;
            hop.Url = new Uri(hop.Said.GetProperty(member).GetString()!);
            return hop;
        }
        catch (Exception e) when (e is TimeoutException or JsonException)
        {
            await hop.DisposeAsync();
            throw new MeasurementException($"{name} did not say that it is ready", e);
        }
        catch
        {
            await hop.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a server that says nothing, and waits until it listens.</summary>
    public static async Task<Hop> StartSilentAsync(
        string name, string log, int port, IReadOnlyList<string> command, IReadOnlyDictionary<string, string>? environment = null)
    {
        var hop = new Hop(name, Start(log, command, environment, isPinned: true), endsWithInput: false) { Url = new Uri($"http://127.0.0.1:{port}") };
        var started = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync(IPAddress.Loopback, port);
                return hop;
            }
            catch (SocketException) when (!hop.process.HasExited && started.Elapsed < StartTimeout)
            {
                await Task.Delay(50);
            }
            catch (SocketException e)
            {
                await hop.DisposeAsync();
                throw new MeasurementException($"{name} did not start: {string.Join(' ', File.ReadLines(log).TakeLast(3))}", e);
            }
        }
    }

    /// <summary>Runs a command to its end and gives what it said.</summary>
    public static async Task<string> OutputAsync(string log, IReadOnlyList<string> command)
    {
        using var process = Start(log, command, null, isPinned: false);
        var text = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0
            ? text.Trim()
            : throw new MeasurementException($"{Path.GetFileName(command[0])} {command[1]} failed: {string.Join(' ', File.ReadLines(log).TakeLast(3))}");
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Puts it and its children on one core.</summary>
    public void MoveTo(int core)
    {
        Machine.Pin(Id, core);
        foreach (var child in Machine.Children(Id))
            Machine.Pin(child, core);
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.StandardInput.Close();
            if (!endsWithInput)
                Machine.Terminate(Id);
            using var late = new CancellationTokenSource(StopTimeout);
            try
            {
                await process.WaitForExitAsync(late.Token);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
            }
        }

        process.Dispose();
    }

    private static Process Start(string log, IReadOnlyList<string> command, IReadOnlyDictionary<string, string>? environment, bool isPinned)
    {
        // Standard error goes straight into the file, as a supervisor would have it: a pipe would cost the load's core.
        var cores = isPinned ? $"{Machine.TestedCore}" : $"{Machine.TestedCore},{Machine.OtherCore}";
        var start = new ProcessStartInfo("/bin/sh") { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true };
        foreach (var argument in (string[])["-c", "exec \"$@\" 2>>\"$0\"", log, "taskset", "-c", cores, .. command])
            start.ArgumentList.Add(argument);
        foreach (var name in start.Environment.Keys.Where(IsRuntimeSetting).ToList())
            start.Environment.Remove(name); // every .NET hop has the defaults
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    // The perf map stays, and memory that is mapped once: a hop can be looked at with perf.
    private static bool IsRuntimeSetting(string name) =>
        (name.StartsWith("DOTNET_", StringComparison.OrdinalIgnoreCase)
            && name is not ("DOTNET_ROOT" or "DOTNET_CLI_HOME" or "DOTNET_PerfMapEnabled" or "DOTNET_EnableWriteXorExecute"))
        || name.StartsWith("COMPlus_", StringComparison.OrdinalIgnoreCase);
}
