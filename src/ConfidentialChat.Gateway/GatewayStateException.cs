using Microsoft.Data.Sqlite;

namespace ConfidentialChat.Gateway;

/// <summary>The database cannot be used just now. What was to be changed is as it was, unless <see cref="StateFault.Unsynced"/> says otherwise.</summary>
public sealed class GatewayStateException : Exception
{
    /// <param name="fault">What is wrong.</param>
    /// <param name="inner">What the system said.</param>
    /// <param name="path">The database's file, for whoever named its directory.</param>
    public GatewayStateException(StateFault fault, Exception? inner = null, string? path = null)
        : this(fault, Explain(fault, inner, path), inner)
    {
    }

    /// <summary>For a database that is no file.</summary>
    internal GatewayStateException(StateFault fault, (string Message, string Hint) words, Exception? inner)
        : base(words.Message, inner) => (Fault, Hint) = (fault, words.Hint);

    public StateFault Fault { get; }

    /// <summary>What the operator can do.</summary>
    public string Hint { get; }

    private static (string Message, string Hint) Explain(StateFault fault, Exception? inner, string? path)
    {
        var database = path is null ? "The gateway's database" : $"The gateway's database {path}";
        var code = inner is SqliteException told ? $" (SQLite's code {told.SqliteExtendedErrorCode})" : ""; // tells apart what has one text
        return fault switch
        {
            StateFault.Busy => (
                $"{database} is busy: another process has been writing to it for ten seconds.",
                "try again; if it stays so, find the process that holds gateway.db open"),
            StateFault.Full => ($"{database} cannot be written: its disk is full.", "make room; a running gateway goes on by itself"),
            StateFault.Unusable => (
                $"{database} cannot be read or written{code}.",
                "look at its disk, at the owner and mode of its files, and at the length of its path: 500 bytes at most, with links followed"),
            StateFault.Unsynced => (
                $"{database} is not known to be on its disk: the disk failed to take it.", "look at the disk, then start the gateway again"),
            StateFault.OtherVersion => (
                $"{database} is of an older version, and a running gateway holds it.",
                "use the cchat of that gateway, or stop it: the next start brings the database up to date"),
            StateFault.LaterVersion => (
                $"{database} was written by a later version than this one.",
                "start that version, or restore the copy that was made before the upgrade; \"cchat version --data DIR\" names both versions"),
            StateFault.Foreign => ($"{path ?? "The file"} is no database of a gateway.", "name the gateway's own directory, or restore the file from a copy"),
            StateFault.Damaged => ($"{database} is damaged.", "stop what uses it and restore a copy; a gateway.db-wal or -shm of before must not stand beside it (docs/operating.md, Restore)"),
            _ => (
                $"{database} cannot be used: its server is not there, or does not take it.",
                "look at the server and its log; a running gateway goes on by itself"),
        };
    }
}

/// <summary>Why the database cannot be used.</summary>
public enum StateFault
{
    /// <summary>Another process writes, and went on for longer than one waits for it.</summary>
    Busy,

    Full,

    /// <summary>An error of the disk or of the files' modes.</summary>
    Unusable,

    /// <summary>It is written, and the disk failed to sync: after a power loss it may be gone.</summary>
    Unsynced,

    /// <summary>Its tables are older than this program, and nobody may change them while a gateway serves.</summary>
    OtherVersion,

    /// <summary>Its tables are newer than this program, which does not know what they mean.</summary>
    LaterVersion,

    /// <summary>The file is no database, or another program's.</summary>
    Foreign,

    /// <summary>The file is a database no more in all its parts.</summary>
    Damaged,

    /// <summary>The server with the database is not reached, or went away.</summary>
    Unreachable,

    /// <summary>The server does not let this name in, or not do what a gateway does.</summary>
    Refused,

    /// <summary>The server has no database of this name.</summary>
    Absent,

    /// <summary>The server takes no changes: it is a standby, or was told to take none.</summary>
    ReadOnly,

    /// <summary>The server is older than those that are supported.</summary>
    OldServer,
}
