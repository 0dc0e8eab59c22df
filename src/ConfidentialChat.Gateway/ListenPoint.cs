// spec/gateway.md section 1: HTTPS, or plain HTTP on loopback.
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Hosting.Connections;

namespace ConfidentialChat.Gateway;

/// <summary>Where the gateway listens, and with which certificate. Whoever holds one knows that the options were checked.</summary>
internal sealed record ListenPoint
{
    public required IPAddress Address { get; init; }

    public required int Port { get; init; }

    /// <summary>Null on loopback, and where the operator asked for danger.</summary>
    public required ServerCertificate? Certificate { get; init; }

    /// <summary>Whose connections are many strangers'.</summary>
    public required TrustedProxies Trusted { get; init; }

    /// <exception cref="GatewayOptionsException">The options cannot be used.</exception>
    public static ListenPoint From(GatewayOptions options)
    {
        Require(!string.IsNullOrWhiteSpace(options.DataDirectory), "No data directory is named.", "name one: --data /var/lib/confidentialchat (the setting DataDirectory)");
        Require(options.Port is >= 0 and <= IPEndPoint.MaxPort, $"Port {options.Port} is none.", "ports go from 0 (any free one) to 65535");
        Require(options.LockSeconds is >= 1 and <= 60, $"A lock cannot live {options.LockSeconds} seconds.", "--lock-seconds (LockSeconds) is from 1 to 60");
        Require(options.StackUnits >= 1, $"A stack cannot hold {options.StackUnits} units.", "--stack-units (StackUnits) is at least 1");
        Require(options.MaxBodyBytes >= 1024, $"MaxBodyBytes is {options.MaxBodyBytes}.", "an envelope needs at least 1024 bytes");
        Require(options.MaxConnections >= ConnectionLimits.LeastMost, $"MaxConnections is {options.MaxConnections}.", $"a gateway needs at least {ConnectionLimits.LeastMost} connections");
        Require(options.HeartbeatSeconds is >= 1 and <= 300, $"HeartbeatSeconds is {options.HeartbeatSeconds}.", "nodes beat every 1 to 300 seconds");
        Require(options.ReportDeadline > TimeSpan.Zero, "ReportDeadline is not positive.", "give nodes minutes: 00:10:00");
        Require(options.ShutdownTimeout >= TimeSpan.Zero, "Answers in flight cannot have less than no time to end.", "--drain-seconds (ShutdownTimeout) is at least 0");
        if (!IPAddress.TryParse(options.ListenAddress, out var address))
            throw new GatewayOptionsException($"'{options.ListenAddress}' is no IP address.", "listen on 127.0.0.1, ::1, 0.0.0.0, :: or an address of this machine");

        var certificate = ServerCertificate.From(options);
        Require(
            certificate is not null || options.DangerousPlainHttp || IPAddress.IsLoopback(address),
            $"Plain HTTP on {address} would show every API key to whoever is on the path.",
            "give --tls-cert and --tls-key (TlsCertificate, TlsKey), listen on 127.0.0.1, or say --dangerous-plain-http (DangerousPlainHttp)");
        return new ListenPoint { Address = address, Port = options.Port, Certificate = certificate, Trusted = ReadTrusted(options) };
    }

    private static TrustedProxies ReadTrusted(GatewayOptions options)
    {
        if (options.TrustedProxies is not { } texts)
            return TrustedProxies.Loopback;
        return TrustedProxies.From(texts, out var odd)
            ?? throw new GatewayOptionsException($"'{odd}' is no network and no address.", "write --trusted-proxies (TrustedProxies) like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7, with nothing behind the prefix: 10.0.0.0/8, not 10.0.0.1/8");
    }

    private static void Require(bool condition, string message, string hint)
    {
        if (!condition)
            throw new GatewayOptionsException(message, hint);
    }
}

/// <summary>A certificate with its private key, and what leads from it to a root.</summary>
internal sealed record ServerCertificate(X509Certificate2 Leaf, X509Certificate2Collection Chain)
{
    private const string Hint = "both are PEM files that this process can read, and the key belongs to the certificate";

    public static ServerCertificate? From(GatewayOptions options)
    {
        if (options.TlsCertificate is null && options.TlsKey is null)
            return null;
        if (options.TlsCertificate is null || options.TlsKey is null)
            throw new GatewayOptionsException("TlsCertificate and TlsKey belong together, and one is missing.", Hint);
        try
        {
            var chain = new X509Certificate2Collection();
            chain.ImportFromPemFile(options.TlsCertificate);
            return new ServerCertificate(X509Certificate2.CreateFromPemFile(options.TlsCertificate, options.TlsKey), chain);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            throw new GatewayOptionsException($"The certificate {options.TlsCertificate} with the key {options.TlsKey} cannot be used.", Hint, e);
        }
    }
}
