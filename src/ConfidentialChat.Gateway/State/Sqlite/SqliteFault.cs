using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ConfidentialChat.Gateway.State.Sqlite;

/// <summary>What SQLite's codes mean to a gateway.</summary>
internal static class SqliteFault
{
    /// <summary>The fault of the surroundings that this is; null for a bug of ours, such as a statement that is wrong.</summary>
    /// <param name="exception">What was met.</param>
    /// <param name="path">The file, where whoever is told did not name it.</param>
    public static GatewayStateException? Of(Exception exception, string? path = null)
    {
        StateFault? fault = exception is not SqliteException e ? null : e.SqliteErrorCode switch
        {
            raw.SQLITE_BUSY or raw.SQLITE_LOCKED => StateFault.Busy,
            raw.SQLITE_FULL => StateFault.Full,
            raw.SQLITE_NOTADB => StateFault.Foreign,
            raw.SQLITE_CORRUPT => StateFault.Damaged,
            raw.SQLITE_IOERR or raw.SQLITE_CANTOPEN or raw.SQLITE_READONLY or raw.SQLITE_PERM or raw.SQLITE_PROTOCOL or raw.SQLITE_NOMEM => StateFault.Unusable,
            _ => null,
        };
        return fault is { } known ? new GatewayStateException(known, exception, path) : null;
    }
}
