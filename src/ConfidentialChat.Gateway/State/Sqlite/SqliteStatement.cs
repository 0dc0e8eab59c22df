using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ConfidentialChat.Gateway.State.Sqlite;

/// <summary>One statement, prepared once on one connection. Parameters and columns count from 0. For one thread at a time.</summary>
/// <remarks>ADO.NET would look its parameters up by name and box their values at every run; a request runs a dozen statements.</remarks>
internal sealed class SqliteStatement : IDisposable
{
    private readonly sqlite3 database;
    private readonly sqlite3_stmt statement;

    public SqliteStatement(sqlite3 database, string sql)
    {
        this.database = database;
        Require(raw.sqlite3_prepare_v3(database, sql, raw.SQLITE_PREPARE_PERSISTENT, out statement));
    }

    public SqliteStatement Bind(int parameter, long value)
    {
        Require(raw.sqlite3_bind_int64(statement, parameter + 1, value));
        return this;
    }

    public SqliteStatement Bind(int parameter, long? value)
    {
        Require(value is { } some ? raw.sqlite3_bind_int64(statement, parameter + 1, some) : raw.sqlite3_bind_null(statement, parameter + 1));
        return this;
    }

    public SqliteStatement Bind(int parameter, DateTimeOffset value) => Bind(parameter, value.ToUnixTimeMilliseconds());

    public SqliteStatement Bind(int parameter, string? value)
    {
        Require(value is null ? raw.sqlite3_bind_null(statement, parameter + 1) : raw.sqlite3_bind_text(statement, parameter + 1, value));
        return this;
    }

    public SqliteStatement Bind(int parameter, byte[]? value)
    {
        Require(value is null ? raw.sqlite3_bind_null(statement, parameter + 1) : raw.sqlite3_bind_blob(statement, parameter + 1, value));
        return this;
    }

    /// <summary>Runs a statement that gives no rows.</summary>
    /// <returns>How many rows it changed.</returns>
    public int Run()
    {
        while (Step())
        {
        }

        return raw.sqlite3_changes(database);
    }

    /// <summary>Moves to the next row; false after the last, and then the statement is ready for the next run.</summary>
    public bool Step()
    {
        var code = raw.sqlite3_step(statement);
        if (code == raw.SQLITE_ROW)
            return true;
        raw.sqlite3_reset(statement);
        if (code != raw.SQLITE_DONE)
            Require(code);
        return false;
    }

    /// <summary>The one row that there is, or the default.</summary>
    public T? Single<T>(Func<SqliteStatement, T> read)
    {
        if (!Step())
            return default;
        try
        {
            var value = read(this);
            while (Step()) // to its end: an UPDATE with RETURNING is done only then
            {
            }

            return value;
        }
        finally
        {
            raw.sqlite3_reset(statement); // also where reading threw: the next run would go on behind that row
        }
    }

    public List<T> All<T>(Func<SqliteStatement, T> read)
    {
        var rows = new List<T>();
        try
        {
            while (Step())
                rows.Add(read(this));
            return rows;
        }
        finally
        {
            raw.sqlite3_reset(statement);
        }
    }

    public bool IsNull(int column) => raw.sqlite3_column_type(statement, column) == raw.SQLITE_NULL;

    public long Integer(int column) => raw.sqlite3_column_int64(statement, column);

    public string Text(int column) => raw.sqlite3_column_text(statement, column).utf8_to_string();

    public byte[] Bytes(int column) => raw.sqlite3_column_blob(statement, column).ToArray();

    public DateTimeOffset Time(int column) => DateTimeOffset.FromUnixTimeMilliseconds(Integer(column));

    public void Dispose() => statement.Dispose();

    private void Require(int code)
    {
        if (code != raw.SQLITE_OK)
            throw new SqliteException(raw.sqlite3_errmsg(database).utf8_to_string(), code, raw.sqlite3_extended_errcode(database));
    }
}
