using System.Net;
using Yarp.ReverseProxy.Forwarder;

namespace ConfidentialChat.Bench.WholePath.Servers;

/// <summary>YARP's direct forwarder and nothing else, under the settings that the gateway gives it.</summary>
internal sealed class YarpHop(Uri destination)
{
    private static readonly ForwarderRequestConfig Forwarding = new()
    {
        ActivityTimeout = TimeSpan.FromMinutes(20),
        AllowResponseBuffering = false,
        Version = HttpVersion.Version11,
        VersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    private readonly IHttpForwarder forwarder =
        new ServiceCollection().AddLogging().AddHttpForwarder().BuildServiceProvider().GetRequiredService<IHttpForwarder>();
    private readonly HttpMessageInvoker invoker = new(Connections.Handler());
    private readonly string prefix = destination.AbsoluteUri;

    public Task RelayAsync(HttpContext http) =>
        forwarder.SendAsync(http, prefix, invoker, Forwarding, HttpTransformer.Default).AsTask();
}

/// <summary>The handler's settings of every .NET hop here, as the gateway has them.</summary>
internal static class Connections
{
    public static SocketsHttpHandler Handler() => new()
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        UseProxy = false,
        AutomaticDecompression = DecompressionMethods.None,
        ActivityHeadersPropagator = null,
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(60),
        ResponseDrainTimeout = TimeSpan.Zero,
        MaxResponseDrainSize = 0,
    };
}
