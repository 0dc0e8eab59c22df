using System.Data.Common;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Nodes;

namespace ConfidentialChat.Gateway.State;

/// <summary>
/// Makes and finds credentials by hand: commands that do this and end would otherwise spend most of their time on making EF Core's
/// model. Safe from any thread.
/// </summary>
internal sealed class CredentialStatements(Database database)
{
    /// <summary>Makes an API key, and its user where that is missing.</summary>
    /// <returns>False, and nothing is made, where the user is there already and <paramref name="newUser"/> asks for a new one.</returns>
    public bool AddApiKey(string user, bool newUser, BearerSecret secret, DateTimeOffset now)
    {
        using var connection = database.Connect();
        using var transaction = connection.BeginTransaction();
        var made = Run(
            connection,
            transaction,
            "INSERT INTO users (name, created_at) VALUES (@user, @now) ON CONFLICT (name) DO NOTHING",
            ("user", user),
            ("now", now.ToUnixTimeMilliseconds()));
        if (made == 0 && newUser)
            return false;
        Run(
            connection,
            transaction,
            "INSERT INTO api_keys (user_id, prefix, hash, created_at) SELECT id, @prefix, @hash, @now FROM users WHERE name = @user",
            ("prefix", secret.Prefix),
            ("hash", secret.Hash),
            ("now", now.ToUnixTimeMilliseconds()),
            ("user", user));
        transaction.Commit();
        return true;
    }

    /// <summary>The hash of an API key that is not revoked; null where there is none of this prefix.</summary>
    public byte[]? FindApiKey(string prefix)
    {
        using var connection = database.Connect();
        using var command = Command(connection, null, "SELECT hash FROM api_keys WHERE prefix = @prefix AND revoked_at IS NULL", ("prefix", prefix));
        return command.ExecuteScalar() as byte[];
    }

    public void AddEnrolmentToken(BearerSecret secret, DateTimeOffset now, DateTimeOffset expiresAt)
    {
        using var connection = database.Connect();
        Run(
            connection,
            null,
            "INSERT INTO enrolment_tokens (prefix, hash, created_at, expires_at) VALUES (@prefix, @hash, @now, @expires)",
            ("prefix", secret.Prefix),
            ("hash", secret.Hash),
            ("now", now.ToUnixTimeMilliseconds()),
            ("expires", expiresAt.ToUnixTimeMilliseconds()));
    }

    /// <summary>A token by its public prefix, spent or not.</summary>
    public EnrolmentToken? FindEnrolmentToken(string prefix)
    {
        using var connection = database.Connect();
        using var command = Command(connection, null, "SELECT id, hash FROM enrolment_tokens WHERE prefix = @prefix", ("prefix", prefix));
        using var row = command.ExecuteReader();
        return row.Read() ? new EnrolmentToken(row.GetInt64(0), row.GetFieldValue<byte[]>(1)) : null;
    }

    private static int Run(DbConnection connection, DbTransaction? transaction, string sql, params ReadOnlySpan<(string Name, object Value)> parameters)
    {
        using var command = Command(connection, transaction, sql, parameters);
        return command.ExecuteNonQuery();
    }

    private static DbCommand Command(DbConnection connection, DbTransaction? transaction, string sql, params ReadOnlySpan<(string Name, object Value)> parameters)
    {
        var command = connection.CreateCommand();
        command.CommandText = sql;
        command.Transaction = transaction;
        foreach (var (name, value) in parameters)
        {
            var parameter = command.CreateParameter();
            parameter.ParameterName = "@" + name;
            parameter.Value = value;
            command.Parameters.Add(parameter);
        }

        return command;
    }
}
