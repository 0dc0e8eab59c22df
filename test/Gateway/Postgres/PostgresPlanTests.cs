using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Gateway.Tests.Metering;
using Npgsql;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>
/// spec/gateway.md section 10: each statement of the ledger has an index to go by. The planner is kept from reading whole tables where it has another
/// way, as it is by their size behind a long history.
/// </summary>
public sealed class PostgresPlanTests(ITestOutputHelper output)
{
    [Fact]
    public async Task No_statement_of_the_ledger_reads_a_table_from_end_to_end_at_a_server()
    {
        var server = await PostgresUnderTest.SharedAsync();
        var database = server.CreateDatabase();
        try
        {
            await using var connection = new NpgsqlConnection(database);
            await connection.OpenAsync(TestContext.Current.CancellationToken);
            await RunAsync(connection, "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan");
            var rows = new PostgresLedgerRows(new PostgresSession());
            var seen = 0;
            foreach (var field in typeof(PostgresLedgerRows).GetFields(BindingFlags.Instance | BindingFlags.NonPublic))
            {
                if (field.GetValue(rows) is not PostgresStatement statement)
                    continue;
                seen++;
                var whole = await ReadWholeAsync(connection, SqlOf(statement));
                output.WriteLine($"{field.Name}: {string.Join(", ", whole)}");
                if (!GrowthTests.MayReadWhole.Contains(field.Name))
                    whole.ShouldBeEmpty(field.Name);
            }

            seen.ShouldBeGreaterThan(40);
        }
        finally
        {
            server.Drop(database);
        }
    }

    /// <summary>The tables that a statement's plan reads without a condition on an index.</summary>
    private static async Task<List<string>> ReadWholeAsync(NpgsqlConnection connection, string sql)
    {
        var parameters = Regex.Matches(sql, @"\$\d+", RegexOptions.NonBacktracking).Select(match => int.Parse(match.ValueSpan[1..])).DefaultIfEmpty().Max();
        try
        {
            await RunAsync(connection, $"PREPARE planned AS {sql}");
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.AmbiguousFunction)
        {
            // A sum of amounts alone.
            await RunAsync(connection, $"PREPARE planned ({string.Join(", ", Enumerable.Repeat("bigint", parameters))}) AS {sql}");
        }

        await using var explain = connection.CreateCommand();
        var values = parameters == 0 ? "" : $"({string.Join(", ", Enumerable.Repeat("NULL", parameters))})";
        explain.CommandText = $"EXPLAIN (FORMAT JSON) EXECUTE planned{values}";
        using var plan = JsonDocument.Parse((string)(await explain.ExecuteScalarAsync(TestContext.Current.CancellationToken))!);
        await RunAsync(connection, "DEALLOCATE planned");
        var whole = new List<string>();
        Walk(plan.RootElement[0].GetProperty("Plan"));
        return whole;

        void Walk(JsonElement node)
        {
            var type = node.GetProperty("Node Type").GetString()!;
            if (type == "Seq Scan" || (type.StartsWith("Index", StringComparison.Ordinal) && !node.TryGetProperty("Index Cond", out _)))
                whole.Add($"{type} of {node.GetProperty("Relation Name").GetString()}");
            if (!node.TryGetProperty("Plans", out var below))
                return;
            foreach (var child in below.EnumerateArray())
                Walk(child);
        }
    }

    private static async Task RunAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
    }

    private static string SqlOf(PostgresStatement statement) => (string)typeof(PostgresStatement)
        .GetFields(BindingFlags.Instance | BindingFlags.NonPublic).Single(field => field.FieldType == typeof(string)).GetValue(statement)!;
}
