namespace ConfidentialChat.Gateway;

/// <summary>The database cannot be used just now. What was to be changed is as it was, unless <see cref="StateFault.Unsynced"/> says otherwise.</summary>
/// <param name="fault">What is wrong.</param>
/// <param name="inner">What the system said.</param>
public sealed class GatewayStateException(StateFault fault, Exception? inner = null) : Exception(Explain(fault).Message, inner)
{
    public StateFault Fault { get; } = fault;

    /// <summary>What the operator can do.</summary>
    public string Hint => Explain(Fault).Hint;

    private static (string Message, string Hint) Explain(StateFault fault) => fault switch
    {
        StateFault.Busy => ("The gateway's database is busy: another process has been writing to it for ten seconds.", "try again; if it stays so, find the process that holds gateway.db open"),
        StateFault.Full => ("The gateway's database cannot be written: its disk is full.", "make room; a running gateway goes on by itself"),
        StateFault.Unusable => ("The gateway's database cannot be read or written.", "look at its disk, and at the owner and mode of its files"),
        StateFault.Unsynced => ("The gateway's database is not known to be on its disk: the disk failed to take it.", "look at the disk, then start the gateway again"),
        StateFault.OtherVersion => ("The gateway's database is of an older version, and a running gateway holds it.", "use the cchat of that gateway, or stop it: the next start brings the database up to date"),
        _ => throw new ArgumentOutOfRangeException(nameof(fault)),
    };
}

/// <summary>Why the database cannot be used.</summary>
public enum StateFault
{
    /// <summary>Another process writes, and went on for longer than one waits for it.</summary>
    Busy,

    Full,

    /// <summary>An error of the disk, of the files' modes, or of the files themselves.</summary>
    Unusable,

    /// <summary>It is written, and the disk failed to sync: after a power loss it may be gone.</summary>
    Unsynced,

    /// <summary>Its tables are older than this program, and nobody may change them while a gateway serves.</summary>
    OtherVersion,
}
