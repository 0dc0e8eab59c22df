using ConfidentialChat.Client.Chat;
using Microsoft.Data.Sqlite;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>Looks into the gateway's database from outside.</summary>
public static class Ledger
{
    /// <summary>
    /// Waits until no reservation is held and no lock is claimed (reports come after the answer), and gives the units that were charged.
    /// A lock that stayed claimed would be lost to its user.
    /// </summary>
    public static async Task<long> SettledAsync(RunningStack stack)
    {
        for (var tries = 0; tries < 2400; tries++)
        {
            if (Held(stack) == 0 && Claimed(stack) == 0)
                return Query(stack, "SELECT COALESCE(SUM(charged_prompt + charged_completion + charged_pixels), 0) FROM settlements");
            await Task.Delay(25);
        }

        throw new TimeoutException($"{Held(stack)} reservations stay held, {Claimed(stack)} locks claimed.");
    }

    /// <summary>What a sealed request is charged for that used so much: its voucher has each part rounded up, spec/vouchers.md section 1.</summary>
    public static long Charged(ChatUsage used) => Rounded(used.PromptTokens) + Rounded(used.CompletionTokens);

    /// <summary>Units reserved beyond those that open locks and held reservations account for: none, ever.</summary>
    public static long Lost(RunningStack stack) => Query(
        stack,
        """
        SELECT (SELECT COALESCE(SUM(reserved), 0) FROM stacks)
             - (SELECT COALESCE(SUM(units), 0) FROM locks WHERE state IN ('open', 'returned'))
             - (SELECT COALESCE(SUM(held), 0) FROM reservations WHERE state = 'held' AND stack_id IS NOT NULL)
        """);

    /// <summary>Locks that the user of an API key could still use.</summary>
    public static long UsableLocks(RunningStack stack, string apiKey) => Query(
        stack,
        $"""
        SELECT COUNT(*) FROM locks JOIN stacks ON stacks.id = locks.stack_id JOIN api_keys ON api_keys.user_id = stacks.user_id
        WHERE api_keys.prefix = '{apiKey.Split('_')[1]}' AND locks.state IN ('open', 'returned') AND locks.expires_at > {DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()}
        """);

    /// <summary>Reservations whose request has neither been settled nor released.</summary>
    public static long Held(RunningStack stack) => Query(stack, "SELECT COUNT(*) FROM reservations WHERE state = 'held'");

    /// <summary>Locks whose request has not come to anything yet.</summary>
    public static long Claimed(RunningStack stack) => Query(stack, "SELECT COUNT(*) FROM locks WHERE state = 'claimed'");

    /// <summary>A stack that a request is charged to or held on goes below nothing or above its total: never.</summary>
    public static long Broken(RunningStack stack) => Query(stack, "SELECT COUNT(*) FROM stacks WHERE used < 0 OR reserved < 0 OR used + reserved > total");

    public static IReadOnlyList<string> HeldRequests(RunningStack stack)
    {
        using var connection = Open(stack);
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT request_id FROM reservations WHERE state = 'held'";
        using var rows = command.ExecuteReader();
        var requests = new List<string>();
        while (rows.Read())
            requests.Add(rows.GetString(0));
        return requests;
    }

    private static SqliteConnection Open(RunningStack stack)
    {
        var path = Directory.GetFiles(Path.Combine(stack.DataDirectory, "gateway"), "*.db").Single();
        var connection = new SqliteConnection($"Data Source={path};Mode=ReadOnly;Pooling=False");
        connection.Open();
        return connection;
    }

    private static long Query(RunningStack stack, string sql)
    {
        using var connection = Open(stack);
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return (long)command.ExecuteScalar()!;
    }

    private static long Rounded(long tokens) => (tokens + 15) / 16 * 16;
}
