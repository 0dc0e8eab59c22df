using System.Net;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Node;

/// <summary>How a node listens, whom it serves and how long it keeps its keys. The engine has options of its own.</summary>
public sealed record NodeOptions
{
    /// <summary>
    /// Holds the identity key, the enrolment, the TLS key and the vouchers that wait for the gateway; made where it is missing, readable by its
    /// owner only.
    /// </summary>
    public required string DataDirectory { get; init; }

    /// <summary>The gateway that the node enrols with, scheme, host and port.</summary>
    public required Uri GatewayUrl { get; init; }

    /// <summary>The operator's enrolment token; needed once, and again when the gateway has forgotten this node.</summary>
    public string? EnrolmentToken { get; init; }

    public IPAddress ListenAddress { get; init; } = IPAddress.Loopback;

    /// <summary>0 takes a free one.</summary>
    public int Port { get; init; } = 8081;

    /// <summary>Serve HTTPS under a certificate of the node's own, which the gateway pins. On unless the node listens on loopback.</summary>
    public bool? Tls { get; init; }

    /// <summary>Where the gateway reaches the node; where it is null, the address that the node listens on.</summary>
    public Uri? PublicAddress { get; init; }

    /// <summary>Plain HTTP beyond loopback: whoever is on the way sees ciphertext, sizes and relay tokens, and can drop requests.</summary>
    public bool DangerousPlainHttp { get; init; }

    /// <summary>How long a node key is the current one.</summary>
    public TimeSpan KeyLifetime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How long a key still opens requests after its rotation.</summary>
    public TimeSpan KeyGrace { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Accepted requests remembered for each key; at the limit new ones are refused until the next rotation.</summary>
    public int ReplayCapacity { get; init; } = 1_000_000;

    /// <summary>Requests served at once.</summary>
    public int MaxConcurrent { get; init; } = 8;

    /// <summary>Requests whose bodies are still arriving, beside those that wait or are served; beyond it 429.</summary>
    public int MaxReading { get; init; } = 256;

    /// <summary>Requests that wait for their turn; beyond it 429.</summary>
    public int MaxQueued { get; init; } = 64;

    /// <summary>Connections at once; for a further one the one goes that has been silent for longest. A sixteenth is kept for health checks.</summary>
    public int MaxConnections { get; init; } = 4096;

    /// <summary>Largest envelope, in bytes.</summary>
    public int MaxBodyBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>
    /// Requests held in memory at once, until their engines have read them; beyond it 429. By itself a quarter of what
    /// the runtime sees of the machine's or the cgroup's memory, and at most 1 GiB.
    /// </summary>
    public long MaxBufferedBytes { get; init; } = HeapLimit.ForBodies(HeapLimit.Bytes);

    /// <summary>How long a request's body may take to arrive. It holds a place meanwhile.</summary>
    public TimeSpan UploadTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long the reader of an answer may take nothing of it; then the answer is cut off.</summary>
    public TimeSpan ReaderTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Silence in a stream after which a comment is sent.</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// To a multiple of it what a sealed request used is rounded up in its voucher, part by part; 1: exact, which tells whoever keeps vouchers
    /// how long answers were.
    /// </summary>
    public int UsageMultiple { get; init; } = 16;

    /// <summary>Whether also a request that went well has its line in the log. It costs more than opening the request does.</summary>
    public bool LogRequests { get; init; }

    /// <summary>Serves the OpenAPI document at <c>/openapi/v1.json</c> and its page at <c>/docs</c>.</summary>
    public bool Docs { get; init; } = true;

    /// <summary>How long requests in flight may still run after SIGTERM.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(60);

    // A record prints its members; this one holds a secret.
    public override string ToString() => $"{nameof(NodeOptions)} {{ {GatewayUrl} }}";

    internal bool UsesTls => Tls ?? !(IPAddress.IsLoopback(ListenAddress) || (DangerousPlainHttp && PublicAddress?.Scheme == Uri.UriSchemeHttp));

    /// <summary>Refuses what would start a node that cannot serve, or that serves more openly than was said.</summary>
    /// <exception cref="NodeOptionsException">An option is out of range or unsafe.</exception>
    public void Validate()
    {
        Require(Port is >= 0 and <= 65535, "The port is out of range.", "give a port from 0 to 65535; 0 takes a free one");
        Require(
            KeyLifetime > TimeSpan.Zero && KeyGrace > TimeSpan.Zero, "Key lifetime and grace are to be longer than nothing.",
            "leave them out for the defaults");
        Require(
            KeyGrace.Ticks / KeyLifetime.Ticks < KeySet.MaxHeld - 2, $"More than {KeySet.MaxHeld} keys would be in grace at once.",
            "let a key be the current one for longer, or shorten its grace");
        Require(
            UploadTimeout > TimeSpan.Zero && ReaderTimeout > TimeSpan.Zero, "The times for an upload and for a reader are to be longer than nothing.",
            "leave them out for the defaults");
        Require(
            ReplayCapacity > 0 && MaxBodyBytes > 0 && MaxBufferedBytes > 0 && MaxConcurrent > 0 && MaxQueued >= 0, "A limit is out of range.",
            "limits are whole numbers above zero");
        Require(
            MaxConnections >= ConnectionLimits.LeastMost, $"A node cannot do with {MaxConnections} connections.",
            $"MaxConnections is at least {ConnectionLimits.LeastMost}");
        Require(
            UsageMultiple is >= 1 and <= Voucher.MaxMultiple, "The multiple to which usage is rounded is out of range.",
            $"give one from 1 to {Voucher.MaxMultiple}");
        Require(
            UsesTls || IPAddress.IsLoopback(ListenAddress) || DangerousPlainHttp,
            $"Plain HTTP on {ListenAddress} would be open to the network.",
            "leave TLS on, listen on 127.0.0.1, or say --dangerous-plain-http");
        Require(
            PublicAddress is not null || !(ListenAddress.Equals(IPAddress.Any) || ListenAddress.Equals(IPAddress.IPv6Any)),
            $"A node that listens on every address ({ListenAddress}) does not know under which the gateway reaches it.",
            "name it with --address https://HOST:PORT");
        Require(
            EnrolmentToken is null || SecretText.IsPlain(EnrolmentToken),
            "The enrolment token is empty, or holds a sign that no token has.",
            "look for blanks, quotes and line breaks around it; cchat nodes token makes another");
        RequireTransport(GatewayUrl, "The gateway's URL");
        if (PublicAddress is not null)
            RequireTransport(PublicAddress, "The node's address");
    }

    private void RequireTransport(Uri url, string what)
    {
        Require(
            url.IsAbsoluteUri && (url.Scheme == Uri.UriSchemeHttps || url.Scheme == Uri.UriSchemeHttp),
            $"{what} is not an http or https URL.",
            "write it like https://gateway.example:8080");
        Require(
            url.Scheme == Uri.UriSchemeHttps || url.IsLoopback || DangerousPlainHttp,
            $"{what} is plain HTTP to another machine.",
            "use https, or say --dangerous-plain-http");
    }

    private static void Require(bool condition, string message, string hint)
    {
        if (!condition)
            throw new NodeOptionsException(message, hint);
    }
}

/// <summary>The node cannot start as it is configured.</summary>
public sealed class NodeOptionsException(string message, string hint, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What to do about it.</summary>
    public string Hint { get; } = hint;
}
