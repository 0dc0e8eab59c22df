// spec/sidecar.md sections 1 and 7.
using System.Net;
using ConfidentialChat.Client;
using ConfidentialChat.Hosting;

namespace ConfidentialChat.Sidecar;

/// <summary>Everything that a user decides about one sidecar. Defaults are safe; what is lax says <c>Dangerous</c>. Its text shows no key.</summary>
public sealed record SidecarOptions
{
    /// <summary>Whom it asks, as whom, and which nodes it seals to; envelope v2.</summary>
    public required ConfidentialChatOptions Client { get; init; }

    /// <summary>0 takes a free one of 127.0.0.1; else it listens on ::1 too, where the machine has it.</summary>
    public int Port { get; init; } = 8787;

    /// <summary>Listens here, and not on loopback: whoever reaches it asks in this user's name, and what they say is read on the way.</summary>
    public IPAddress? DangerousBind { get; init; }

    /// <summary>What programs have to show; null where <see cref="LocalKeyFile"/> names none either: then nobody is asked for one.</summary>
    public string? LocalKey { get; init; }

    /// <summary>A file with it, read again on SIGHUP.</summary>
    public string? LocalKeyFile { get; init; }

    /// <summary>Origins whose pages in a browser may call, such as <c>https://app.example</c>. None: no page may.</summary>
    public IReadOnlyList<string> CorsOrigins { get; init; } = [];

    /// <summary>Names beside <c>localhost</c> that <c>Host</c> may have, such as <c>host.docker.internal</c>.</summary>
    public IReadOnlyList<string> HostNames { get; init; } = [];

    /// <summary>Of one request. A gateway takes 32 MiB, sealed and padded.</summary>
    public int MaxBodyBytes { get; init; } = 30 * 1024 * 1024;

    /// <summary>Bodies held in memory at once; beyond it 429. As a gateway's.</summary>
    public long MaxBufferedBytes { get; init; } = HeapLimit.ForBodies(HeapLimit.Bytes);

    /// <summary>Requests at once; beyond it 429.</summary>
    public int MaxRequests { get; init; } = 64;

    /// <summary>Connections at once; for a further one the one goes that has been silent for longest.</summary>
    public int MaxConnections { get; init; } = 512;

    /// <summary>For a whole body to arrive.</summary>
    public TimeSpan UploadTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Logs a line also for each request that went well.</summary>
    public bool LogRequests { get; init; }

    /// <summary>How long answers may take to end once the sidecar is told to stop.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(60);

    public override string ToString() => $"{nameof(SidecarOptions)} {{ {nameof(Port)} = {Port} }}";
}

/// <summary>The options cannot be used. Thrown before anything listens.</summary>
/// <param name="message">What happened, and what was expected.</param>
/// <param name="hint">What the user can do.</param>
/// <param name="inner">What the system said.</param>
public sealed class SidecarOptionsException(string message, string hint, Exception? inner = null) : Exception(message, inner)
{
    public string Hint { get; } = hint;
}
