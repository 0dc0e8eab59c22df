// spec/gateway.md section 1: one TLS key for each node, whoever signed it.
using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>The connections to each node.</summary>
internal sealed class NodeConnections : IDisposable
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    // Below the 130 s after which Kestrel closes an idle connection: a request must not meet that close.
    private static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan ConnectionLifetime = TimeSpan.FromMinutes(15);

    private readonly ConcurrentDictionary<NodeId, (NodeAddress Address, HttpMessageInvoker Invoker)> open = new();

    /// <summary>A node that enrolled under another address or pin gets new connections; answers in flight keep the old ones to their end.</summary>
    public HttpMessageInvoker To(NodeAddress address) => open.TryGetValue(address.Node, out var known) && ReferenceEquals(known.Address, address)
        ? known.Invoker
        : open.AddOrUpdate(
            address.Node,
            static (_, address) => (address, Open(address)),
            static (_, known, address) => known.Address == address ? (address, known.Invoker) : (address, Open(address)),
            address).Invoker;

    public void Dispose()
    {
        foreach (var (_, invoker) in open.Values)
            invoker.Dispose();
    }

    /// <summary>Connections of their own, which their taker disposes of.</summary>
    public static HttpMessageInvoker Open(NodeAddress address)
    {
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            AutomaticDecompression = DecompressionMethods.None,
            ActivityHeadersPropagator = null,
            ConnectTimeout = ConnectTimeout,
            PooledConnectionIdleTimeout = IdleTimeout,
            PooledConnectionLifetime = ConnectionLifetime,

            // Without these a client that hangs up leaves the node computing for up to 2 s.
            ResponseDrainTimeout = TimeSpan.Zero,
            MaxResponseDrainSize = 0,
        };
        var pin = address.TlsPin is null ? [] : Convert.FromBase64String(address.TlsPin);
        handler.SslOptions.RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is X509Certificate2 leaf
            && CryptographicOperations.FixedTimeEquals(SHA256.HashData(leaf.PublicKey.ExportSubjectPublicKeyInfo()), pin);
        return new HttpMessageInvoker(handler);
    }
}
