using Npgsql;

namespace ConfidentialChat.Gateway.State.Postgres;

/// <summary>
/// One connection and one transaction at a time. A way to the server and back costs more than what is asked there: statements of which nobody
/// awaits a result wait for the next that has one, or for the commit, and go along; so does BEGIN. For one thread at a time.
/// </summary>
internal sealed class PostgresSession : IDisposable
{
    private NpgsqlBatchCommand begin = null!, commit = null!;
    private readonly List<PostgresCommand> waiting = [];
    private NpgsqlConnection? connection;
    private bool isBegun;

    public bool IsOpen => connection is not null;

    /// <summary>The commit is on its way, and whether it arrived is not known unless the answer comes.</summary>
    public bool IsCommitting { get; private set; }

    /// <summary>Rows that this transaction changed, as far as it is known.</summary>
    public long Changed { get; private set; }

    /// <summary>Of its connections, which number this is: what was prepared on another is not on this one.</summary>
    public int Generation { get; private set; }

    /// <summary>Takes a connection that is open, and disposes of it one day.</summary>
    public void Open(NpgsqlConnection opened)
    {
        connection = opened;
        Generation++;
        begin = new NpgsqlBatchCommand("BEGIN ISOLATION LEVEL READ COMMITTED");
        commit = new NpgsqlBatchCommand("COMMIT");
    }

    /// <summary>Which of its transactions this is.</summary>
    public long Transaction { get; private set; }

    public void Begin()
    {
        Transaction++;
        (isBegun, IsCommitting, Changed) = (false, false, 0);
        waiting.Clear();
    }

    /// <summary>Sends a statement that gives no rows, sooner or later.</summary>
    public void Later(PostgresCommand command) => waiting.Add(command);

    /// <summary>Sends a statement that gives no rows, and says how many it changed.</summary>
    public int Run(PostgresCommand command)
    {
        using var batch = Gather(command);
        batch.ExecuteNonQuery();
        var changed = command.Batched.RecordsAffected;
        Count();
        return changed;
    }

    /// <summary>Sends a statement that gives rows.</summary>
    public T Read<T>(PostgresCommand command, Func<NpgsqlDataReader, T> read)
    {
        using var batch = Gather(command);
        T value;
        using (var reader = batch.ExecuteReader())
            value = read(reader);
        Count();
        return value;
    }

    /// <summary>Commits what was sent and what waits; nothing where there is nothing.</summary>
    public void Commit()
    {
        if (!isBegun && waiting.Count == 0)
            return;
        using var batch = Gather(null);
        batch.BatchCommands.Add(commit);
        IsCommitting = true;
        batch.ExecuteNonQuery();
        IsCommitting = isBegun = false;
        Count();
    }

    /// <summary>Ends a transaction that failed. Where the connection is of no use any more, it is gone afterwards.</summary>
    public void Abandon()
    {
        foreach (var command in waiting)
            command.Release();
        waiting.Clear();
        try
        {
            if (connection is { FullState: System.Data.ConnectionState.Open })
            {
                if (isBegun)
                {
                    using var rollback = new NpgsqlCommand("ROLLBACK", connection);
                    rollback.ExecuteNonQuery();
                }

                isBegun = false;
                return;
            }
        }
        catch (Exception e) when (e is NpgsqlException or InvalidOperationException or IOException)
        {
            // What was wrong is told already.
        }

        Dispose();
    }

    public void Dispose()
    {
        isBegun = false;
        var closed = connection;
        connection = null;
        try
        {
            closed?.Dispose();
        }
        catch (Exception e) when (e is NpgsqlException or InvalidOperationException or IOException)
        {
            // It is gone, in whatever way.
        }
    }

    private NpgsqlBatch Gather(PostgresCommand? last)
    {
        if (last is not null)
            waiting.Add(last);
        var batch = connection!.CreateBatch();
        if (!isBegun)
            batch.BatchCommands.Add(begin);
        isBegun = true;
        foreach (var command in waiting)
            batch.BatchCommands.Add(command.Batched);
        return batch;
    }

    private void Count()
    {
        foreach (var command in waiting)
        {
            Changed += command.Batched.StatementType is StatementType.Select ? 0 : Math.Max(0, command.Batched.RecordsAffected);
            command.Release();
        }

        waiting.Clear();
    }
}
