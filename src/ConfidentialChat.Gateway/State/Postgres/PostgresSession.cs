using Npgsql;

namespace ConfidentialChat.Gateway.State.Postgres;

/// <summary>
/// One connection and one transaction at a time. A way to the server and back costs more than what is asked there: statements of which nobody
/// awaits a result wait for the next that has one, or for the commit, and go along; so does BEGIN. What goes in one way is a transaction without
/// either. For one thread at a time.
/// </summary>
internal sealed class PostgresSession : IDisposable
{
    private readonly List<PostgresCommand> waiting = [], last = [];
    private NpgsqlBatchCommand begin = null!, commit = null!;
    private NpgsqlConnection? connection;
    private bool isBegun, isOver;

    public bool IsOpen => connection is not null;

    /// <summary>It has a connection, and that is of no use any more.</summary>
    public bool IsBroken => connection is { FullState: not System.Data.ConnectionState.Open };

    /// <summary>The commit is on its way, and whether it arrived is not known unless the answer comes.</summary>
    public bool IsCommitting { get; private set; }

    /// <summary>How many wait for what the commit says.</summary>
    public int AwaitingCommit => last.Count;

    /// <summary>
    /// Whether the transaction, perhaps committed, may run again: it is nothing but last statements, and of the same one twice the second changes
    /// nothing.
    /// </summary>
    public bool IsRepeatable => !isBegun && last.Count > 0 && last.Count == waiting.Count;

    /// <summary>The transaction runs again, and was perhaps committed before: what is there already may be its own.</summary>
    public bool IsInDoubt { get; set; }

    /// <summary>Rows that this transaction changed, as far as it is known.</summary>
    public long Changed { get; private set; }

    /// <summary>Of its connections, which number this is: what was prepared on another is not on this one.</summary>
    public int Generation { get; private set; }

    /// <summary>Which of its transactions this is.</summary>
    public long Transaction { get; private set; }

    /// <summary>Takes a connection that is open, and disposes of it one day.</summary>
    public void Open(NpgsqlConnection opened)
    {
        connection = opened;
        Generation++;
        begin = new NpgsqlBatchCommand("BEGIN");
        commit = new NpgsqlBatchCommand("COMMIT");
    }

    public void Begin()
    {
        Transaction++;
        (isBegun, isOver, IsCommitting, Changed) = (false, false, false, 0);
    }

    /// <summary>Sends a statement that gives no rows, sooner or later.</summary>
    public void Later(PostgresCommand command)
    {
        if (isOver)
            throw new InvalidOperationException("A change writes after the last that it writes.");
        waiting.Add(command);
    }

    /// <summary>Sends the last statement of a change, at the latest with the commit, and says after that whether it changed a row.</summary>
    public ValueTask<bool> Last(PostgresCommand command)
    {
        Later(command);
        last.Add(command);
        return command.Answer();
    }

    /// <summary>Sends a statement that gives no rows, and says how many it changed.</summary>
    public int Run(PostgresCommand command)
    {
        Later(command);
        using var batch = Gather();
        batch.ExecuteNonQuery();
        var changed = command.Batched.RecordsAffected;
        Count();
        return changed;
    }

    /// <summary>Sends a statement that gives rows.</summary>
    public T Read<T>(PostgresCommand command, Func<NpgsqlDataReader, T> read)
    {
        waiting.Add(command);
        using var batch = Gather();
        T value;
        using (var reader = batch.ExecuteReader())
            value = read(reader);
        Count();
        return value;
    }

    /// <summary>
    /// Commits what was sent and what waits; nothing where there is nothing. Then whoever waits for that goes on, and may read why it was refused.
    /// </summary>
    public void Commit()
    {
        if (isBegun || waiting.Count > 0)
        {
            isOver = true; // so that it is not begun here
            using var batch = Gather();
            if (isBegun)
                batch.BatchCommands.Add(commit);
            IsCommitting = true;
            batch.ExecuteNonQuery();
            IsCommitting = isBegun = false;
            Count();
        }

        foreach (var command in last)
            command.Tell();
        Forget();
    }

    /// <summary>Ends a transaction that failed. Where the connection is of no use any more, it is gone afterwards.</summary>
    public void Abandon()
    {
        Forget();
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

    private NpgsqlBatch Gather()
    {
        var batch = connection!.CreateBatch();
        if (!isBegun && !isOver)
        {
            batch.BatchCommands.Add(begin);
            isBegun = true;
        }

        foreach (var command in waiting)
            batch.BatchCommands.Add(command.Batched);
        return batch;
    }

    private void Count()
    {
        foreach (var command in waiting)
        {
            Changed += command.Batched.StatementType is StatementType.Select ? 0 : Math.Max(0, command.Batched.RecordsAffected);
            if (!command.IsLast)
                command.Release();
        }

        waiting.Clear();
    }

    private void Forget()
    {
        foreach (var command in waiting)
        {
            if (!command.IsLast)
                command.Release();
        }

        foreach (var command in last)
            command.Release();
        waiting.Clear();
        last.Clear();
    }
}
