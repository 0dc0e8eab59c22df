using Microsoft.Data.Sqlite;

namespace ConfidentialChat.EndToEnd.Running;

/// <summary>Looks into the gateway's database from outside.</summary>
public static class Ledger
{
    /// <summary>Waits until no reservation is held (reports come after the answer), and gives the units used on all stacks.</summary>
    public static async Task<long> SettledAsync(RunningStack stack)
    {
        for (var tries = 0; tries < 400; tries++)
        {
            if (Query(stack, "SELECT COUNT(*) FROM reservations WHERE state = 'held'") == 0)
                return Query(stack, "SELECT COALESCE(SUM(used), 0) FROM stacks");
            await Task.Delay(25);
        }

        throw new TimeoutException("A reservation stays held.");
    }

    /// <summary>Units reserved beyond those that open locks and held reservations account for: none, ever.</summary>
    public static long Lost(RunningStack stack) => Query(
        stack,
        """
        SELECT (SELECT COALESCE(SUM(reserved), 0) FROM stacks)
             - (SELECT COALESCE(SUM(units), 0) FROM locks WHERE state IN ('open', 'returned'))
             - (SELECT COALESCE(SUM(held), 0) FROM reservations WHERE state = 'held')
        """);

    private static long Query(RunningStack stack, string sql)
    {
        var path = Directory.GetFiles(Path.Combine(stack.DataDirectory, "gateway"), "*.db").Single();
        using var connection = new SqliteConnection($"Data Source={path};Mode=ReadOnly;Pooling=False");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return (long)command.ExecuteScalar()!;
    }
}
