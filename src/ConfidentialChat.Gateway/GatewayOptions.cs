using ConfidentialChat.Hosting;

namespace ConfidentialChat.Gateway;

/// <summary>Everything that an operator decides about one gateway. Defaults are safe; what is lax says <c>Dangerous</c>.</summary>
public sealed record GatewayOptions
{
    /// <summary>Holds the database and the gateway's key; made with mode 0700 where it is absent.</summary>
    public required string DataDirectory { get; init; }

    /// <summary>
    /// A PostgreSQL server that has the database, as Npgsql's connection string (<c>Host=db.example;Database=cchat;Username=cchat</c>) or as a
    /// <c>postgresql://</c> URL; a password in it is shown nowhere. Null: a file in the data directory.
    /// </summary>
    public string? Postgres { get; init; }

    /// <summary>An IP address, or <c>localhost</c>: 127.0.0.1 and ::1. Other than loopback it needs TLS.</summary>
    public string ListenAddress { get; init; } = "127.0.0.1";

    /// <summary>0 takes a free port; <c>WebApplication.Urls</c> says which.</summary>
    public int Port { get; init; } = 8080;

    /// <summary>PEM file with the certificate and its chain, in any order. It is read again when it changes.</summary>
    public string? TlsCertificate { get; init; }

    /// <summary>PEM file with the certificate's private key.</summary>
    public string? TlsKey { get; init; }

    /// <summary>
    /// What clients call the gateway, a DNS name or an IP address: whether the certificate
    /// is for it is looked at at each renewal. Null: nobody looks.
    /// </summary>
    public string? TlsName { get; init; }

    /// <summary>Allows plain HTTP on any listen address and to any node: whoever is on the path reads API keys and takes them.</summary>
    public bool DangerousPlainHttp { get; init; }

    /// <summary>How long a lock lives where its client names no time; spec/envelope-v1.md section 2.</summary>
    public int LockSeconds { get; init; } = 5;

    /// <summary>Compute units of a new stack. A stack that is there keeps its own.</summary>
    public long StackUnits { get; init; } = 1_000_000_000;

    public int MaxBodyBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>
    /// Bodies held in memory at once, all users together; beyond it 429. By itself a quarter of what the runtime sees
    /// of the machine's or the cgroup's memory, and at most 1 GiB.
    /// </summary>
    public long MaxBufferedBytes { get; init; } = HeapLimit.ForBodies(HeapLimit.Bytes);

    /// <summary>Requests of one user that are relayed at once; beyond it 429.</summary>
    public int MaxRelaysPerUser { get; init; } = 64;

    /// <summary>Open locks of one stack; beyond it 429.</summary>
    public int MaxOpenLocks { get; init; } = 1000;

    /// <summary>
    /// Connections at once; for a further one the one goes that has been silent for
    /// longest. A sixteenth is kept for nodes and health checks.
    /// </summary>
    public int MaxConnections { get; init; } = 4096;

    /// <summary>
    /// Proxies before the gateway: networks such as <c>10.0.0.0/8</c>, or addresses. Silent connections from any other address are bounded for each
    /// (a sixteenth of <see cref="MaxConnections"/>). Where it is null: this machine's loopback addresses. Nothing is believed of what they forward.
    /// </summary>
    public IReadOnlyList<string>? TrustedProxies { get; init; }

    /// <summary>For a whole body to arrive.</summary>
    public TimeSpan UploadTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a client may leave its answer unread before it is cut off.</summary>
    public TimeSpan StalledReaderTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Origins whose pages in a browser may call, such as <c>https://app.example</c>; a single <c>*</c> is any. None: no page may.</summary>
    public IReadOnlyList<string> CorsOrigins { get; init; } = [];

    /// <summary>Serves the OpenAPI document at <c>/openapi/v1.json</c> and its page at <c>/docs</c>.</summary>
    public bool Docs { get; init; } = true;

    /// <summary>Logs a line also for each request that went well.</summary>
    public bool LogRequests { get; init; }

    /// <summary>How often nodes are to beat; three missed beats make a node unhealthy.</summary>
    public int HeartbeatSeconds { get; init; } = 5;

    /// <summary>How long a reservation waits for its usage report; spec/gateway.md section 5 rule 7.</summary>
    public TimeSpan ReportDeadline { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long the vouchers that nodes signed are kept with their settlements; nothing: not at all. spec/vouchers.md section 6.</summary>
    public TimeSpan VoucherRetention { get; init; } = TimeSpan.FromDays(30);

    internal static readonly TimeSpan LongestVoucherRetention = TimeSpan.FromDays(3650);

    /// <summary>How long answers in flight may take to end once the gateway is told to stop; as long as a node takes by default.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(60);

    // A record prints its members; one of these may hold a password.
    public override string ToString() => $"{nameof(GatewayOptions)} {{ {nameof(DataDirectory)} = {DataDirectory} }}";
}

/// <summary>The options cannot be used. Thrown before anything listens.</summary>
/// <param name="message">What happened, and what was expected.</param>
/// <param name="hint">What the operator can do.</param>
/// <param name="inner">What the system said.</param>
public sealed class GatewayOptionsException(string message, string hint, Exception? inner = null) : Exception(message, inner)
{
    public string Hint { get; } = hint;
}
