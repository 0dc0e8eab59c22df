using System.Threading.Tasks.Sources;
using Npgsql;
using NpgsqlTypes;

namespace ConfidentialChat.Gateway.State.Postgres;

/// <summary>
/// One statement of a session, prepared where it first runs. Parameters ($1 is 0) and columns count from 0. For one thread at a time.
/// </summary>
internal sealed class PostgresStatement(PostgresSession session, string sql)
{
    private Stack<PostgresCommand> free = new();
    private int generation;
    private PostgresCommand? bound;

    private NpgsqlParameterCollection Parameters => Next().Batched.Parameters;

    public PostgresStatement Bind(int parameter, long value)
    {
        Set(parameter, value);
        return this;
    }

    public PostgresStatement Bind(int parameter, long? value) => Bind(parameter, value, NpgsqlDbType.Bigint);

    public PostgresStatement Bind(int parameter, bool value)
    {
        Set(parameter, value);
        return this;
    }

    public PostgresStatement Bind(int parameter, DateTimeOffset value) => Bind(parameter, value.ToUnixTimeMilliseconds());

    public PostgresStatement Bind(int parameter, string? value) => Bind(parameter, value, NpgsqlDbType.Text);

    public PostgresStatement Bind(int parameter, byte[]? value) => Bind(parameter, value, NpgsqlDbType.Bytea);

    /// <summary>Runs it, if not now then with the next whose result somebody awaits, and in its place.</summary>
    public void Later() => session.Later(Take());

    /// <summary>Runs it as the last of its change, if not now then with the commit; whether it changed a row is known after that.</summary>
    public ValueTask<bool> Last() => session.Last(Take());

    /// <returns>How many rows it changed.</returns>
    public int Run() => session.Run(Take());

    /// <summary>The one row that there is, or the default.</summary>
    public T? Single<T>(Func<NpgsqlDataReader, T> read) => session.Read(Take(), reader => reader.Read() ? read(reader) : default);

    public List<T> All<T>(Func<NpgsqlDataReader, T> read) => session.Read(Take(), reader =>
    {
        var rows = new List<T>();
        while (reader.Read())
            rows.Add(read(reader));
        return rows;
    });

    // A command remembers how it was prepared, and on another connection nothing is.
    private PostgresCommand Next()
    {
        if (generation != session.Generation)
            (generation, free, bound) = (session.Generation, new(), null);
        return bound ??= free.Count > 0 ? free.Pop() : new PostgresCommand(sql, free);
    }

    private PostgresCommand Take()
    {
        var command = Next();
        bound = null;
        return command;
    }

    private void Set<T>(int parameter, T value)
    {
        var parameters = Parameters;
        if (parameters.Count == parameter)
            parameters.Add(new NpgsqlParameter<T> { TypedValue = value });
        else
            ((NpgsqlParameter<T>)parameters[parameter]).TypedValue = value;
    }

    private PostgresStatement Bind(int parameter, object? value, NpgsqlDbType type)
    {
        var parameters = Parameters;
        if (parameters.Count == parameter)
            parameters.Add(new NpgsqlParameter { NpgsqlDbType = type });
        parameters[parameter].Value = value ?? DBNull.Value;
        return this;
    }
}

/// <summary>A statement with its values, on its way: the same statement may wait more than once.</summary>
internal sealed class PostgresCommand(string sql, Stack<PostgresCommand> free) : IValueTaskSource<bool>
{
    private ManualResetValueTaskSourceCore<bool> answer;

    public NpgsqlBatchCommand Batched { get; } = new(sql);

    /// <summary>Whether somebody awaits its answer.</summary>
    public bool IsLast { get; private set; }

    /// <summary>What <see cref="Tell"/> will say.</summary>
    public ValueTask<bool> Answer()
    {
        IsLast = true;
        answer.Reset();
        return new(this, answer.Version);
    }

    /// <summary>Whoever awaits the answer goes on with it, here.</summary>
    public void Tell() => answer.SetResult(Batched.RecordsAffected > 0);

    /// <summary>It ran, or never will.</summary>
    public void Release()
    {
        IsLast = false;
        free.Push(this);
    }

    bool IValueTaskSource<bool>.GetResult(short token) => answer.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => answer.GetStatus(token);

    // Without a context: on the thread that drains the queue, whoever that is.
    void IValueTaskSource<bool>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        answer.OnCompleted(continuation, state, token, ValueTaskSourceOnCompletedFlags.None);
}

internal static class PostgresRow
{
    public static long Integer(this NpgsqlDataReader row, int column) => row.GetInt64(column);

    public static string Text(this NpgsqlDataReader row, int column) => row.GetString(column);

    public static byte[] Bytes(this NpgsqlDataReader row, int column) => row.GetFieldValue<byte[]>(column);

    public static DateTimeOffset Time(this NpgsqlDataReader row, int column) => DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(column));
}
