using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using ConfidentialChat.Gateway;
using Npgsql;

namespace ConfidentialChat.Tests;

/// <summary>
/// A real PostgreSQL server of this machine's package, on loopback and unprivileged; it ends with the process of the tests, however that ends.
/// </summary>
internal sealed class PostgresUnderTest : IAsyncDisposable
{
    private const string Template = "gateway_template";
    private const string Packaged = "/usr/lib/postgresql";

    private static readonly Lazy<Task<PostgresUnderTest>> Common = new(() => StartAsync());
    private static readonly Lazy<string> Pristine = new(MakePristine);

    private readonly string directory;
    private readonly string[] settings;
    private Process? watcher;
    private int databases;

    private PostgresUnderTest(string directory, int port, string[] settings) => (this.directory, Port, this.settings) = (directory, port, settings);

    public int Port { get; }

    /// <summary>The server's log, for messages.</summary>
    public string Log => File.Exists(LogPath) ? File.ReadAllText(LogPath) : "";

    private string LogPath => Path.Combine(directory, "log");

    private string Data => Path.Combine(directory, "data");

    /// <summary>One for all tests that do nothing to it.</summary>
    public static Task<PostgresUnderTest> SharedAsync() => Common.Value;

    /// <summary>One of its own, for a test that kills it.</summary>
    /// <param name="access">Lines of its pg_hba.conf, before the one that lets everybody in.</param>
    /// <param name="settings">Of the server, such as <c>max_connections=5</c>.</param>
    public static async Task<PostgresUnderTest> StartAsync(string access = "", params string[] settings)
    {
        var directory = Directory.CreateTempSubdirectory("gateway-postgres-").FullName;
        Run("cp", "-r", Pristine.Value, Path.Combine(directory, "data"));
        await File.WriteAllTextAsync(Path.Combine(directory, "data", "pg_hba.conf"), $"{access}\nhost all,replication all 127.0.0.1/32 trust\n");
        if (Environment.IsPrivilegedProcess)
            Run("chown", "-R", "nobody", directory);
        var server = new PostgresUnderTest(directory, FreePort(), settings);
        await server.StartAgainAsync();
        server.Execute("postgres", $"CREATE DATABASE {Template}");
        await GatewayOperator.OpenAsync(directory, postgres: server.Connection(Template));
        server.Execute("postgres", $"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{Template}'"); // else nobody may copy it
        return server;
    }

    /// <summary>A server that follows this one, and that this one waits for from now on, where it waits for its own disk.</summary>
    public async Task<PostgresUnderTest> StartStandbyAsync()
    {
        var copy = Directory.CreateTempSubdirectory("gateway-postgres-").FullName;
        if (Environment.IsPrivilegedProcess)
            Run("chown", "nobody", copy);
        var source = $"host=127.0.0.1 port={Port} user=cchat application_name=standby";
        Run(AsServer("pg_basebackup", "-D", Path.Combine(copy, "data"), "-R", "--no-sync", "-c", "fast", "-d", source));
        var standby = new PostgresUnderTest(copy, FreePort(), settings);
        await standby.StartAgainAsync();
        Execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        Execute("postgres", "SELECT pg_reload_conf()");
        for (var tries = 0; Execute("postgres", "SELECT sync_state FROM pg_stat_replication") is not "sync"; tries++)
        {
            if (tries == 200)
                throw new InvalidOperationException(standby.Log);
            await Task.Delay(50);
        }

        return standby;
    }

    /// <summary>A standby becomes a primary, which waits for nobody.</summary>
    public void Promote()
    {
        Execute("postgres", "SELECT pg_promote()");
        Execute("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
        Execute("postgres", "SELECT pg_reload_conf()");
    }

    public string Connection(string database, string more = "") =>
        $"Host=127.0.0.1;Port={Port};Database={database};Username=cchat;Maximum Pool Size=8;Connection Idle Lifetime=2;Connection Pruning Interval=1{more}";

    /// <summary>A database with a gateway's tables, or an empty one; its connection.</summary>
    public string CreateDatabase(bool isEmpty = false)
    {
        var name = $"gateway_{Environment.ProcessId}_{Interlocked.Increment(ref databases)}";
        Execute("postgres", $"CREATE DATABASE {name}{(isEmpty ? "" : $" TEMPLATE {Template}")}");
        return Connection(name);
    }

    public void Drop(string connection) =>
        Execute("postgres", $"DROP DATABASE IF EXISTS {new NpgsqlConnectionStringBuilder(connection).Database} WITH (FORCE)");

    public object? Execute(string database, string sql) => ExecuteAt(Connection(database), sql);

    public static object? ExecuteAt(string connection, string sql)
    {
        using var opened = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connection) { Pooling = false }.ConnectionString);
        opened.Open();
        using var command = new NpgsqlCommand(sql, opened);
        return command.ExecuteScalar();
    }

    /// <summary>As a crash leaves it: nothing is written any more.</summary>
    public void Kill()
    {
        Run(AsServer("pg_ctl", "-D", Data, "-m", "immediate", "-w", "stop"));
        Leave("keep");
    }

    public async Task StartAgainAsync()
    {
        // Ends the server where its own input ends, which is when this process ends.
        var options = string.Join(' ', settings.Prepend("fsync=off").Select(setting => $"-c {setting}"));
        var script = $"{Program("postgres")} -D {Data} -c listen_addresses=127.0.0.1 -p {Port} -c unix_socket_directories={directory} -c max_connections=200 {options} "
            + $">>{LogPath} 2>&1 </dev/null & server=$!; read -r word; kill -QUIT $server 2>/dev/null; wait $server; [ \"$word\" = keep ] || rm -rf {directory}";
        var start = AsServer("sh", "-c", script);
        start.RedirectStandardInput = true;
        watcher = Process.Start(start)!;
        for (var tries = 0; ; tries++)
        {
            try
            {
                Execute("postgres", "SELECT 1");
                return;
            }
            catch (NpgsqlException) when (tries < 200)
            {
                await Task.Delay(50);
            }
            catch (NpgsqlException e)
            {
                throw new InvalidOperationException(Log, e);
            }
        }
    }

    public ValueTask DisposeAsync()
    {
        Leave("");
        if (Directory.Exists(directory))
            Directory.Delete(directory, recursive: true);
        return default;
    }

    private void Leave(string word)
    {
        watcher?.StandardInput.WriteLine(word);
        watcher?.StandardInput.Close();
        watcher?.WaitForExit(10_000);
        watcher?.Dispose();
        watcher = null;
    }

    /// <summary>What initdb makes, once for each version of the server and each checkout.</summary>
    private static string MakePristine()
    {
        var version = Path.GetFileName(Path.GetDirectoryName(Path.GetDirectoryName(Program("initdb")))!);
        var kept = Path.Combine(Tree.Root, "artifacts", $"postgres-{version}");
        if (Directory.Exists(kept))
            return kept;
        var directory = Directory.CreateTempSubdirectory("gateway-initdb-").FullName;
        if (Environment.IsPrivilegedProcess)
            Run("chown", "nobody", directory);
        var made = Path.Combine(directory, "data");
        Run(AsServer("initdb", "-D", made, "-U", "cchat", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"));
        var beside = $"{kept}.{Guid.NewGuid():N}";
        Run("cp", "-r", made, beside);
        Directory.Delete(directory, recursive: true);
        try
        {
            Directory.Move(beside, kept);
        }
        catch (IOException)
        {
            Directory.Delete(beside, recursive: true); // another process was first
        }

        return kept;
    }

    // PostgreSQL does not run as root.
    private static ProcessStartInfo AsServer(string program, params string[] arguments)
    {
        string[] whole = [Program(program), .. arguments];
        return Environment.IsPrivilegedProcess
            ? new ProcessStartInfo("runuser", ["-u", "nobody", "--", .. whole]) { WorkingDirectory = "/" }
            : new ProcessStartInfo(whole[0], whole[1..]) { WorkingDirectory = "/" };
    }

    // Debian keeps a server's programs out of the path.
    private static string Program(string name) => name is "sh" ? "/bin/sh"
        : Directory.Exists(Packaged) && Directory.GetDirectories(Packaged).OrderByDescending(Version)
            .Select(folder => Path.Combine(folder, "bin", name)).FirstOrDefault(File.Exists) is { } packaged ? packaged
        : name;

    private static int Version(string folder) => int.TryParse(Path.GetFileName(folder), out var version) ? version : 0;

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static void Run(string program, params string[] arguments) => Run(new ProcessStartInfo(program, arguments));

    private static void Run(ProcessStartInfo start)
    {
        start.RedirectStandardOutput = start.RedirectStandardError = true;
        using var process = Process.Start(start)!;
        var said = process.StandardOutput.ReadToEndAsync();
        var failed = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{start.FileName} {string.Join(' ', start.ArgumentList)}: {failed}{said.Result}");
    }
}
