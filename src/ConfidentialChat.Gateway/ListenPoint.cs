// spec/gateway.md section 1: HTTPS, or plain HTTP on loopback.
using System.Net;
using System.Net.Sockets;
using ConfidentialChat.Hosting.Certificates;
using ConfidentialChat.Hosting.Connections;

namespace ConfidentialChat.Gateway;

/// <summary>Where the gateway listens, and with which certificate. Whoever holds one knows that the options were checked.</summary>
internal sealed record ListenPoint
{
    /// <summary>Null is <c>localhost</c>: 127.0.0.1 and ::1, of which a client may take either.</summary>
    public required IPAddress? Address { get; init; }

    public required int Port { get; init; }

    /// <summary>All that a socket is needed for.</summary>
    public IReadOnlyList<IPEndPoint> Points =>
        Address is not null ? [new(Address, Port)]
        : Socket.OSSupportsIPv6 ? [new(IPAddress.Loopback, Port), new(IPAddress.IPv6Loopback, Port)]
        : [new(IPAddress.Loopback, Port)];

    /// <summary>Null on loopback, and where the operator asked for danger; the first that is served, and where the next will be.</summary>
    public required (ServerCertificate First, CertificateFiles Files)? Certificate { get; init; }

    /// <summary>Whose connections are many strangers'.</summary>
    public required TrustedProxies Trusted { get; init; }

    private const string Localhost = "localhost";

    /// <exception cref="GatewayOptionsException">The options cannot be used.</exception>
    public static ListenPoint From(GatewayOptions options)
    {
        Require(
            !string.IsNullOrWhiteSpace(options.DataDirectory), "No data directory is named.",
            "name one: --data /var/lib/confidentialchat (the setting DataDirectory)");
        Require(options.Port is >= 0 and <= IPEndPoint.MaxPort, $"Port {options.Port} is none.", "ports go from 0 (any free one) to 65535");
        Require(options.LockSeconds is >= 1 and <= 60, $"A lock cannot live {options.LockSeconds} seconds.", "--lock-seconds (LockSeconds) is from 1 to 60");
        Require(options.StackUnits >= 1, $"A stack cannot hold {options.StackUnits} units.", "--stack-units (StackUnits) is at least 1");
        Require(options.MaxBodyBytes >= 1024, $"MaxBodyBytes is {options.MaxBodyBytes}.", "an envelope needs at least 1024 bytes");
        Require(
            options.MaxConnections >= ConnectionLimits.LeastMost, $"MaxConnections is {options.MaxConnections}.",
            $"a gateway needs at least {ConnectionLimits.LeastMost} connections");
        Require(options.HeartbeatSeconds is >= 1 and <= 300, $"HeartbeatSeconds is {options.HeartbeatSeconds}.", "nodes beat every 1 to 300 seconds");
        Require(options.ReportDeadline > TimeSpan.Zero, "ReportDeadline is not positive.", "give nodes minutes: 00:10:00");
        Require(
            options.VoucherRetention >= TimeSpan.Zero && options.VoucherRetention <= GatewayOptions.LongestVoucherRetention,
            $"Vouchers cannot be kept for {options.VoucherRetention.TotalDays} days.",
            $"--voucher-days (VoucherRetention) is from 0 to {GatewayOptions.LongestVoucherRetention.TotalDays}");
        Require(
            options.DrainTimeout >= TimeSpan.Zero, "Answers in flight cannot have less than no time to end.", "--drain-seconds (DrainTimeout) is at least 0");
        var address = ReadAddress(options);
        var certificate = ReadCertificate(options);
        Require(
            certificate is not null || options.DangerousPlainHttp || address is null || IPAddress.IsLoopback(address),
            $"Plain HTTP on {address} would show every API key to whoever is on the path.",
            "give --tls-cert and --tls-key (TlsCertificate, TlsKey), listen on 127.0.0.1, or say --dangerous-plain-http (DangerousPlainHttp)");
        Require(
            options.TlsName is null || certificate is not null, "TlsName names a certificate's owner, and there is no certificate.",
            "give --tls-cert and --tls-key too");
        return new ListenPoint { Address = address, Port = options.Port, Certificate = certificate, Trusted = ReadTrusted(options) };
    }

    private static IPAddress? ReadAddress(GatewayOptions options)
    {
        if (options.ListenAddress == Localhost)
        {
            Require(
                options.Port != 0, "localhost is two addresses, and a free port of one may be taken at the other.",
                "name a port, or listen on 127.0.0.1 or ::1");
            return null;
        }

        return IPAddress.TryParse(options.ListenAddress, out var address)
            ? address
            : throw new GatewayOptionsException(
                $"'{options.ListenAddress}' is no IP address.", "listen on localhost, 127.0.0.1, ::1, 0.0.0.0, :: (IPv4 too) or an address of this machine");
    }

    private static (ServerCertificate, CertificateFiles)? ReadCertificate(GatewayOptions options)
    {
        if (options.TlsCertificate is null && options.TlsKey is null)
            return null;
        if (options.TlsCertificate is null || options.TlsKey is null)
            throw new GatewayOptionsException("TlsCertificate and TlsKey belong together, and one is missing.", "give both --tls-cert and --tls-key");
        var files = new CertificateFiles(options.TlsCertificate, options.TlsKey);
        try
        {
            return (files.Read(), files);
        }
        catch (CertificateException e)
        {
            throw new GatewayOptionsException(e.Message, e.Hint, e);
        }
    }

    private static TrustedProxies ReadTrusted(GatewayOptions options)
    {
        if (options.TrustedProxies is not { } texts)
            return TrustedProxies.Loopback;
        return TrustedProxies.From(texts, out var odd)
            ?? throw new GatewayOptionsException(
                $"'{odd}' is no network and no address.",
                "write --trusted-proxies (TrustedProxies) like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7, with nothing behind the prefix: 10.0.0.0/8, not 10.0.0.1/8");
    }

    private static void Require(bool condition, string message, string hint)
    {
        if (!condition)
            throw new GatewayOptionsException(message, hint);
    }
}
