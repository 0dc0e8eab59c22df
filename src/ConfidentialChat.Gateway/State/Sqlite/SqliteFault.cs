using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ConfidentialChat.Gateway.State.Sqlite;

/// <summary>What SQLite's codes mean to a gateway.</summary>
internal static class SqliteFault
{
    /// <summary>The fault of the surroundings that this is; null for a bug of ours, such as a statement that is wrong.</summary>
    public static GatewayStateException? Of(Exception exception) => exception is not SqliteException e ? null : e.SqliteErrorCode switch
    {
        raw.SQLITE_BUSY or raw.SQLITE_LOCKED => new GatewayStateException(StateFault.Busy, e),
        raw.SQLITE_FULL => new GatewayStateException(StateFault.Full, e),
        raw.SQLITE_IOERR or raw.SQLITE_CANTOPEN or raw.SQLITE_READONLY or raw.SQLITE_PERM or raw.SQLITE_CORRUPT or raw.SQLITE_NOTADB
            or raw.SQLITE_PROTOCOL or raw.SQLITE_NOMEM => new GatewayStateException(StateFault.Unusable, e),
        _ => null,
    };
}
