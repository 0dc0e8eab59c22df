using System.Net.Sockets;
using System.Security.Authentication;
using Npgsql;

namespace ConfidentialChat.Gateway.State.Postgres;

/// <summary>What PostgreSQL's codes, and the want of any, mean to a gateway.</summary>
internal static class PostgresFault
{
    /// <summary>The fault of the surroundings that this is; null for a bug of ours, such as a statement that is wrong.</summary>
    /// <param name="exception">What was met.</param>
    /// <param name="server">Where.</param>
    public static GatewayStateException? Of(Exception exception, PostgresServer server)
    {
        for (var met = exception; met is not null; met = met.InnerException) // EF Core wraps what it meets
        {
            if (met is GatewayStateException known)
                return known;
            if (met is NpgsqlException fault)
                return Of(fault, server, exception);
        }

        return null;
    }

    /// <summary>
    /// Whether the same may go well when it is tried again at once: two waited for each other, and this one was chosen to give way, or another was
    /// first with what there is once.
    /// </summary>
    public static bool IsRetried(Exception exception) => exception is PostgresException
    {
        SqlState: PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.UniqueViolation,
    };

    private static GatewayStateException? Of(NpgsqlException fault, PostgresServer server, Exception met)
    {
        (StateFault, string, string)? words = fault is PostgresException refusal ? Explain(refusal, server) : ExplainConnection(fault, server);
        return words is var (kind, message, hint) ? new GatewayStateException(kind, (message, hint), met) : null;
    }

    private static (StateFault Fault, string Message, string Hint)? Explain(PostgresException refusal, PostgresServer server)
    {
        var user = server.User;
        return refusal.SqlState switch
        {
            PostgresErrorCodes.InvalidPassword => (
                StateFault.Refused, $"The PostgreSQL server at {server.Place} refuses the password of {user}, or was given none.",
                "put it into a file that Passfile or PGPASSFILE names (host:port:database:user:password, mode 0600)"),
            PostgresErrorCodes.InvalidAuthorizationSpecification => (
                StateFault.Refused, $"The PostgreSQL server at {server.Place} does not let {user} in to {server.Database}.",
                "look at the server's pg_hba.conf, and whether there is a role of this name that may log in"),
            PostgresErrorCodes.InvalidCatalogName => (
                StateFault.Absent, $"The PostgreSQL server at {server.Place} has no database {server.Database}.",
                $"make it there: CREATE DATABASE {server.Database} OWNER {user}; or name another with Database"),
            PostgresErrorCodes.InsufficientPrivilege => (
                StateFault.Refused, $"{user} may not do in {server.Name} what a gateway does.",
                $"the role owns its database and its tables: ALTER DATABASE {server.Database} OWNER TO {user}, or GRANT CREATE ON SCHEMA public TO {user}"),
            PostgresErrorCodes.ReadOnlySqlTransaction => (
                StateFault.ReadOnly, $"{Upper(server.Name)} takes no changes: the server is a standby, or default_transaction_read_only is on.",
                "name the primary as Host, or all of them with commas between; a running gateway goes on by itself"),
            PostgresErrorCodes.DiskFull => (
                StateFault.Full, $"{Upper(server.Name)} cannot be written: its disk is full.", "make room at the server; a running gateway goes on by itself"),
            PostgresErrorCodes.TooManyConnections => (
                StateFault.Busy, $"The PostgreSQL server at {server.Place} has no connection left.",
                "a gateway takes three, and some more for health checks and commands: raise max_connections, or look who holds them"),
            PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.QueryCanceled or PostgresErrorCodes.DeadlockDetected
                or PostgresErrorCodes.SerializationFailure => (
                StateFault.Busy, $"{Upper(server.Name)} is busy: another process has held what is to be written.",
                "try again; if it stays so, look at pg_stat_activity for a transaction that does not end, and at statement_timeout"),
            PostgresErrorCodes.CannotConnectNow or PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown
                or PostgresErrorCodes.DatabaseDropped or "57P05" or "25P03" /* idle for too long */ => (
                StateFault.Unreachable, $"The PostgreSQL server at {server.Place} starts, stops, or ended the connection.",
                "look at the server's log; a running gateway goes on by itself"),
            PostgresErrorCodes.DataCorrupted or PostgresErrorCodes.IndexCorrupted => (
                StateFault.Damaged, $"{Upper(server.Name)} is damaged.", "look at the server's log, and restore a copy"),
            PostgresErrorCodes.InvalidSchemaName => (
                StateFault.Refused, $"{Upper(server.Name)} has no schema for {user}.",
                $"search_path names none that is there: CREATE SCHEMA cchat AUTHORIZATION {user}, or ALTER ROLE {user} RESET search_path"),
            PostgresErrorCodes.InvalidSqlStatementName or PostgresErrorCodes.DuplicatePreparedStatement => (
                StateFault.Refused, $"A pooler before {server.Name} gives a gateway's connection to others between two transactions.",
                "connect to the server itself, or let the pooler keep to sessions (PgBouncer: pool_mode = session)"),
            { } code when code.StartsWith("53", StringComparison.Ordinal) || code.StartsWith("58", StringComparison.Ordinal) => (
                StateFault.Unusable, $"The PostgreSQL server at {server.Place} lacks memory, or met an error of its system.", "look at the server's log"),
            { } code when code.StartsWith("08", StringComparison.Ordinal) || code.StartsWith("57", StringComparison.Ordinal) => (
                StateFault.Unreachable, $"The PostgreSQL server at {server.Place} ended the connection.",
                "look at the server's log; a running gateway goes on by itself"),
            _ => null,
        };
    }

    // What the library says of a connection has no code. Its text names no secret, and is left to the inner exception.
    private static (StateFault Fault, string Message, string Hint)? ExplainConnection(NpgsqlException fault, PostgresServer server) => fault switch
    {
        { InnerException: AuthenticationException } => (
            StateFault.Refused, $"The TLS certificate of the PostgreSQL server at {server.Place} is not accepted (SSL Mode {server.SslMode}).",
            "name the authority that signed it with Root Certificate=FILE, and the server by a name in its certificate"),
        _ when fault.Message.Contains("SSL", StringComparison.Ordinal) => (
            StateFault.Refused, $"The PostgreSQL server at {server.Place} offers no TLS, and SSL Mode {server.SslMode} asks for it.",
            "turn it on at the server (ssl = on); SSL Mode=Disable sends everything in plain, and is for a network that is yours alone"),
        _ when fault.Message.Contains("password", StringComparison.OrdinalIgnoreCase) => (
            StateFault.Refused, $"The PostgreSQL server at {server.Place} asks for a password, and none was given.",
            "put it into a file that Passfile or PGPASSFILE names (host:port:database:user:password, mode 0600)"),
        _ => (
            StateFault.Unreachable,
            $"The PostgreSQL server at {server.Place} is not reached{(fault.InnerException is SocketException { SocketErrorCode: var code } ? $": {code}" : "")}.",
            "is it running, and does it listen there? Host and Port say where; a running gateway goes on by itself"),
    };

    private static string Upper(string text) => char.ToUpperInvariant(text[0]) + text[1..];
}
