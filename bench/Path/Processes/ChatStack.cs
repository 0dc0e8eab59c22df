using System.Diagnostics;
using System.Text.Json;
using ConfidentialChat.Bench.WholePath.Servers;
using Microsoft.Data.Sqlite;

namespace ConfidentialChat.Bench.WholePath.Processes;

/// <summary>A checkout's gateway and node, each a process of its own, before an engine that computes nothing.</summary>
internal sealed class ChatStack : IAsyncDisposable
{
    private const long StackUnits = 1_000_000_000_000; // more than any run uses

    private readonly string nodeData;

    private ChatStack(Hop gateway, Hop node, string directory, IReadOnlyList<string> apiKeys, bool isAttested)
    {
        IsAttested = isAttested;
        Gateway = gateway;
        Node = node;
        (GatewayData, nodeData) = (GatewayDataIn(directory), NodeDataIn(directory));
        ApiKeys = apiKeys;
    }

    public Hop Gateway { get; }

    public Hop Node { get; }

    /// <summary>The gateway's data directory.</summary>
    public string GatewayData { get; }

    /// <summary>Of one user each; a user has at most 64 requests under way.</summary>
    public IReadOnlyList<string> ApiKeys { get; }

    /// <summary>Whether its node has evidence, and so takes envelope v2.</summary>
    public bool IsAttested { get; }

    /// <summary>How long the gateway and the node took from their start to being ready.</summary>
    public (TimeSpan Gateway, TimeSpan Node) Starts { get; private init; }

    /// <param name="cchat">The checkout's program.</param>
    /// <param name="directory">A fresh one.</param>
    /// <param name="engine">Its engine.</param>
    /// <param name="users">How many.</param>
    /// <param name="isPinned">Whether each has one core only.</param>
    /// <param name="isAttested">Whether the node has simulated evidence; another checkout may know none.</param>
    /// <param name="postgres">A connection to a server with the gateway's state; null: in a file.</param>
    public static async Task<ChatStack> StartAsync(
        string cchat, string directory, Uri engine, int users, bool isPinned = true, bool isAttested = false, string? postgres = null)
    {
        string[] state = postgres is null ? [] : ["--postgres", postgres];
        Directory.CreateDirectory(directory);
        var log = Path.Combine(directory, "log");
        var gatewayData = GatewayDataIn(directory);
        var clock = Stopwatch.StartNew();
        var gateway = await Hop.StartAsync(
            "gateway", log, [cchat, "gateway", "--data", gatewayData, "--port", "0", "--stack-units", $"{StackUnits}", "--json", "--exit-with-stdin", .. state],
            "gateway", isPinned: isPinned);
        try
        {
            await ReadyAsync(gateway);
            var gatewayStart = clock.Elapsed;
            var keys = new List<string>();
            for (var i = 0; i < users; i++)
                keys.Add(await Hop.OutputAsync(log, [cchat, "keys", "create", "--data", gatewayData, "--user", $"user{i}", .. state]));
            var token = await Hop.OutputAsync(log, [cchat, "nodes", "token", "--data", gatewayData, .. state]);
            clock.Restart();
            var node = await Hop.StartAsync(
                "node", log,
                [
                    cchat, "node", "--data", NodeDataIn(directory), "--gateway", gateway.Url.ToString(), "--port", "0", "--upstream",
                    engine.ToString(), "--upstream-model", Engine.Model, "--upstream-concurrency", "1100", "--json", "--exit-with-stdin",
                    .. isAttested ? ["--evidence", "simulated"] : Array.Empty<string>(),
                ],
                "node",
                new Dictionary<string, string> { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token },
                isPinned);
            try
            {
                await ReadyAsync(node);
                return new ChatStack(gateway, node, directory, keys, isAttested) { Starts = (gatewayStart, clock.Elapsed) };
            }
            catch
            {
                await node.DisposeAsync();
                throw;
            }
        }
        catch
        {
            await gateway.DisposeAsync();
            throw;
        }
    }

    /// <summary>How long the program takes to say what it can do.</summary>
    public static async Task<TimeSpan> HelpAsync(string cchat, string log)
    {
        var clock = Stopwatch.StartNew();
        await Hop.OutputAsync(log, [cchat, "--help"]);
        return clock.Elapsed;
    }

    /// <summary>How long <c>cchat up</c> takes until a question could be asked.</summary>
    public static async Task<TimeSpan> UpAsync(string cchat, string directory, Uri engine)
    {
        Directory.CreateDirectory(directory);
        var clock = Stopwatch.StartNew();
        await using var up = await Hop.StartAsync(
            "up", Path.Combine(directory, "log"),
            [
                cchat, "up", "--data", Path.Combine(directory, "data"), "--gateway-port", "0", "--node-port", "0", "--upstream", engine.ToString(),
                "--upstream-model", Engine.Model, "--json",
            ],
            "gateway", isPinned: false, endsWithInput: false);
        return clock.Elapsed;
    }

    /// <summary>From now on its model has a price, and each user more than any run spends; the gateway notices within a second.</summary>
    public async Task SellAsync()
    {
        await using var database = new SqliteConnection($"Data Source={Path.Combine(GatewayData, "gateway.db")};Pooling=False");
        await database.OpenAsync();
        await using var command = database.CreateCommand();
        command.CommandText = """
            INSERT INTO prices (node_id, model, prompt, completion, image, valid_from, set_by)
                SELECT node_id, model, 150000, 600000, 0, 0, 'operator' FROM node_models;
            UPDATE users SET balance = 1000000000000;
            INSERT INTO ledger (user_id, kind, amount, carry, made_by, created_at) SELECT id, 'deposit', balance, 0, 'operator', 0 FROM users
            """;
        await command.ExecuteNonQueryAsync();
        await Task.Delay(TimeSpan.FromSeconds(1.5));
    }

    /// <summary>What its node authenticates relay tokens with, 32 bytes.</summary>
    public byte[] ReadRelayKey()
    {
        using var enrolment = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(nodeData, "enrolment.json")));
        return enrolment.RootElement.GetProperty("RelayKey").GetBytesFromBase64();
    }

    public async ValueTask DisposeAsync()
    {
        await Node.DisposeAsync();
        await Gateway.DisposeAsync();
    }

    private static string GatewayDataIn(string directory) => Path.Combine(directory, "gateway");

    private static string NodeDataIn(string directory) => Path.Combine(directory, "node");

    private static async Task ReadyAsync(Hop hop)
    {
        using var http = new HttpClient();
        using var answer = await http.GetAsync(new Uri(hop.Url, "/health/ready"));
        if (!answer.IsSuccessStatusCode)
            throw new MeasurementException($"{hop.Name} says that it is ready, and its /health/ready that it is not ({(int)answer.StatusCode})");
    }
}
