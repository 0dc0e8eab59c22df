using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Sqlite;
using ConfidentialChat.Gateway.Tests.Postgres;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Gateway.Tests.Metering;

/// <summary>
/// spec/gateway.md section 10: what a request's money costs, and that it costs no more behind a long history or among many nodes. The figures
/// are in the output; docs/benchmarks.md has some.
/// </summary>
public sealed class GrowthTests(ITestOutputHelper output)
{
    /// <summary>The stacks that were bought, every ten seconds and behind no request; and the first row of a table, whatever comes after it.</summary>
    internal static readonly string[] MayReadWhole = ["orphaned", "findOldestVoucher"];

    private const int Rounds = 400;
    private const string FillReservations = $"{Fill} {RandomId} {Settled}";
    private const string FillReservationsAtServer = $"{Fill} gen_random_uuid()::text, {Settled}";
    private const string Fill = """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0})
        INSERT INTO reservations (request_id, user_id, node_id, model, stack_id, price_id, held, held_money, state, deadline_at, is_attested) SELECT
        """;
    private const string RandomId = """
        lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8' || substr(hex(randomblob(2)), 2)
              || '-' || hex(randomblob(6))),
        """;
    private const string Settled = "1, {1}, {2}, NULL, 1, 4096, 2458, 'settled', i, TRUE FROM n";

    private static readonly int[] Histories = Tree.Slow ? [1, 1_000, 100_000, 1_000_000] : [1, 10_000];
    private static readonly int[] Crowds = Tree.Slow ? [10, 1_000, 10_000, 100_000] : [10, 2_000];

    [Fact]
    [TimeLimit(900)]
    public async Task A_request_is_held_and_settled_as_fast_behind_a_long_ledger()
    {
        var figures = new List<(int Rows, double Microseconds)>();
        foreach (var rows in Histories.Where(rows => rows <= (StateEngine.IsPostgres ? 100_000 : int.MaxValue))) // a server vacuums a million for minutes
        {
            await using var gateway = await GatewayUnderTest.StartAsync();
            await using var node = await ScriptedNode.StartAsync(gateway);
            using var user = await gateway.UserAsync();
            await gateway.SetPriceAsync(node, 150_000, 600_000);
            await gateway.DepositAsync(MicroDollars.MaxValue / 2);
            await FillAsync(gateway, node, rows);
            await MeasureAsync(gateway, node); // and once for the compiler
            var best = double.MaxValue;
            for (var turn = 0; turn < 3; turn++)
                best = Math.Min(best, await MeasureAsync(gateway, node));
            figures.Add((rows, best));
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{rows} rows: reserve and settle {best:0} µs, {1e6 / best:0} a second"));
        }

        // Trees grow by a level, pages are read from the file's cache; whatever scans would be slower by thousands.
        figures[^1].Microseconds.ShouldBeLessThan((figures[0].Microseconds * 5) + 2000);
    }

    [Fact]
    [OfSqliteFile]
    public async Task No_statement_of_the_ledger_reads_a_table_from_end_to_end()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var database = gateway.App.Services.GetRequiredService<Database>();
        using var connection = ((SqliteDatabase)database).Connect();
        using var rows = new SqliteLedgerRows(connection.Handle!);
        var seen = 0;
        foreach (var field in typeof(SqliteLedgerRows).GetFields(BindingFlags.Instance | BindingFlags.NonPublic))
        {
            if (field.GetValue(rows) is not SqliteStatement statement)
                continue;
            seen++;
            var sql = SqlOf(statement);
            if (sql.StartsWith("INSERT", StringComparison.Ordinal))
                continue; // of a parent the plan names what is read where a foreign key was broken before, and none is
            using var command = connection.CreateCommand();
            command.CommandText = "EXPLAIN QUERY PLAN " + sql;
            command.CommandText = Regex.Replace(command.CommandText, @"\?\d*", "1", RegexOptions.NonBacktracking);
            var steps = new List<string>();
            using (var plan = command.ExecuteReader())
            {
                while (plan.Read())
                    steps.Add(plan.GetString(3));
            }

            output.WriteLine($"{field.Name}: {string.Join("; ", steps)}");
            if (!MayReadWhole.Contains(field.Name))
                steps.ShouldAllBe(step => !step.StartsWith("SCAN", StringComparison.Ordinal), field.Name);
        }

        seen.ShouldBeGreaterThan(40);

        static string SqlOf(SqliteStatement statement) => SQLitePCL.raw.sqlite3_sql(
            (SQLitePCL.sqlite3_stmt)typeof(SqliteStatement).GetField("statement", BindingFlags.Instance | BindingFlags.NonPublic)!.GetValue(statement)!)
            .utf8_to_string();
    }

    [Fact]
    [TimeLimit(900)]
    public async Task A_node_is_chosen_as_fast_among_many()
    {
        var figures = new List<(int Nodes, double Microseconds)>();
        foreach (var nodes in Crowds)
        {
            await using var gateway = await GatewayUnderTest.StartAsync();
            await using var node = await ScriptedNode.StartAsync(gateway);
            await CopyAsync(gateway, node, nodes);
            var known = gateway.App.Services.GetRequiredService<KnownNodes>();
            await known.ReloadAsync();
            known.Count().All.ShouldBe(nodes);
            var chosen = Choose(known, 1000);
            var clock = Stopwatch.StartNew();
            const int Choices = 20_000;
            Choose(known, Choices).ShouldBe(chosen);
            figures.Add((nodes, clock.Elapsed.TotalMicroseconds / Choices));
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{nodes} nodes: chosen in {figures[^1].Microseconds:0.00} µs"));
        }

        figures[^1].Microseconds.ShouldBeLessThan((figures[0].Microseconds * 5) + 20);

        static NodeId Choose(KnownNodes known, int times)
        {
            var last = default(NodeId);
            for (var i = 0; i < times; i++)
                last = known.Serving(GatewayUnderTest.Model).First().Id;
            return last;
        }
    }

    // Microseconds for one request, one after another.
    private static async Task<double> MeasureAsync(GatewayUnderTest gateway, ScriptedNode node)
    {
        var ledger = gateway.App.Services.GetRequiredService<Ledger>();
        var price = await gateway.App.Services.GetRequiredService<IStateWriter>()
            .RunAsync(rows => rows.Ledger.CurrentPriceAsync(new NodeId(node.Id), GatewayUnderTest.Model));
        var reports = new List<ReportedUsage>();
        var clock = Stopwatch.StartNew();
        for (var i = 0; i < Rounds; i++)
        {
            var request = new RequestId(Guid.NewGuid());
            var outcome = await ledger.ReserveAsync(new ReserveTerms
            {
                User = new UserId(1),
                Node = new NodeId(node.Id),
                Model = GatewayUnderTest.Model,
                Units = new ComputeUnits(4096),
                Request = request,
                Price = price,
                Deadline = TimeSpan.FromMinutes(10),
                IsAttested = false,
            });
            outcome.Reservation.ShouldNotBeNull();
            reports.Add(new ReportedUsage(new UsageReport(request.Value, GatewayUnderTest.Model, 100, 20, 0), Signed: null));
        }

        // In the batches that nodes gather.
        foreach (var batch in reports.Chunk(50))
            (await ledger.SettleAsync(new NodeId(node.Id), batch)).ShouldAllBe(settled => settled == Settlement.Settled);
        return clock.Elapsed.TotalMicroseconds / Rounds;
    }

    private static async Task FillAsync(GatewayUnderTest gateway, ScriptedNode node, int rows)
    {
        await using var state = gateway.App.Services.GetRequiredService<Database>().CreateContext();
        state.Database.SetCommandTimeout(TimeSpan.FromMinutes(5));
        await state.Database.ExecuteSqlRawAsync(gateway.Postgres is null ? FillReservations : FillReservationsAtServer, rows, node.Id, GatewayUnderTest.Model);
        await state.Database.ExecuteSqlAsync($"""
            INSERT INTO settlements (request_id, user_id, kind, reported_prompt, reported_completion, reported_pixels, charged_prompt,
                                     charged_completion, charged_pixels, created_at)
            SELECT request_id, 1, 'reported', 100, 20, 0, 100, 20, 0, deadline_at FROM reservations WHERE state = 'settled'
            """);
        await state.Database.ExecuteSqlAsync($"""
            INSERT INTO ledger (user_id, kind, amount, carry, request_id, created_at) SELECT 1, 'settlement', 0, 0, request_id, deadline_at FROM reservations
            """);
    }

    // Each with a price of its own.
    private static async Task CopyAsync(GatewayUnderTest gateway, ScriptedNode node, int nodes)
    {
        await using var state = gateway.App.Services.GetRequiredService<Database>().CreateContext();
        await state.Database.ExecuteSqlAsync($"""
            WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {nodes})
            INSERT INTO nodes (id, identity_key, address, tls_pin, ready, key_set, relay_key, running, queued, signed_at, heard_at, unreachable, unreported)
            SELECT i, identity_key || i, address, tls_pin, ready, key_set, relay_key, running, queued, signed_at, heard_at, unreachable, 0
            FROM nodes, n WHERE nodes.id = {node.Id} AND i > 1
            """);
        await state.Database.ExecuteSqlAsync($"""
            INSERT INTO node_models (node_id, model, created_at)
            SELECT n.id, m.model, m.created_at FROM nodes n, node_models m WHERE m.node_id = {node.Id} AND n.id <> m.node_id
            """);
        await state.Database.ExecuteSqlAsync($"""
            INSERT INTO node_key_sets (node_id, digest, x25519, bundle, expires_at)
            SELECT n.id, k.digest, k.x25519, k.bundle, k.expires_at FROM nodes n, node_key_sets k WHERE k.node_id = {node.Id} AND n.id <> k.node_id
            """);
        await state.Database.ExecuteSqlAsync($"""
            INSERT INTO prices (node_id, model, prompt, completion, image, valid_from, set_by)
            SELECT id, {GatewayUnderTest.Model}, 100000 + id, 500000 - id, 0, 0, 'operator' FROM nodes
            """);
    }
}
