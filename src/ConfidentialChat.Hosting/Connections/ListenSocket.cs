using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Hosting.Connections;

/// <summary>
/// A place to listen, taken before the server is built: what the system says against it reaches the operator in words, and not out of the
/// middle of a server that starts. Whoever connects before the server has started waits for it.
/// </summary>
internal sealed class ListenSocket : IDisposable
{
    private readonly Socket socket;
    private readonly Func<SocketException, Exception> refusal;

    private ListenSocket(EndPoint point, Socket socket, Func<SocketException, Exception> refusal)
    {
        Point = point;
        this.socket = socket;
        this.refusal = refusal;
    }

    /// <summary>As it was asked for: with port 0 where any would do.</summary>
    public EndPoint Point { get; }

    /// <summary>Binds and listens.</summary>
    /// <param name="point">Where.</param>
    /// <param name="option">How an operator names another port.</param>
    /// <param name="refuse">Makes the exception of a message and a hint.</param>
    public static ListenSocket Take(EndPoint point, string option, Func<string, string, SocketException, Exception> refuse)
    {
        var place = Bind(point, option, refuse);
        place.Listen();
        return place;
    }

    /// <summary>As <see cref="Take"/>, for who has something to do before anybody may connect.</summary>
    public static ListenSocket Bind(EndPoint point, string option, Func<string, string, SocketException, Exception> refuse)
    {
        try
        {
            return new ListenSocket(point, SocketTransportOptions.CreateDefaultBoundListenSocket(point), Refusal);
        }
        catch (SocketException e)
        {
            throw Refusal(e);
        }

        Exception Refusal(SocketException e)
        {
            var (message, hint) = Explain(point, option, e.SocketErrorCode);
            return refuse(message, hint, e);
        }
    }

    /// <summary>
    /// From now on whoever connects waits for the server. Two processes can bind a port that neither listens on: one of them is refused here.
    /// </summary>
    public void Listen()
    {
        try
        {
            socket.Listen();
        }
        catch (SocketException e)
        {
            Dispose();
            throw refusal(e);
        }
    }

    /// <summary>
    /// Has the server listen on these places, which then are the container's to dispose
    /// of: of what it never made, whoever built it asks for them.
    /// </summary>
    public static void Use(IWebHostBuilder server, params ListenSocket[] places) => server.ConfigureServices(services =>
    {
        foreach (var place in places)
            services.AddSingleton(_ => place);
        services.Configure<SocketTransportOptions>(transport => transport.CreateBoundListenSocket =
            point => Array.Find(places, place => place.Point.Equals(point))?.socket ?? SocketTransportOptions.CreateDefaultBoundListenSocket(point));
    });

    public void Dispose() => socket.Dispose();

    private static (string Message, string Hint) Explain(EndPoint point, string option, SocketError error) => (point, error) switch
    {
        (IPEndPoint ip, SocketError.AddressAlreadyInUse) =>
            ($"Port {ip.Port} of {ip.Address} is in use by another process.", $"choose another with {option}, or 0 for a free one"),
        (IPEndPoint ip, SocketError.AccessDenied) => (
            $"This user may not listen on port {ip.Port} of {ip.Address}.",
            $"choose a port from 1024 up with {option}, or let the service manager give the process CAP_NET_BIND_SERVICE"),
        (IPEndPoint ip, SocketError.AddressNotAvailable) =>
            ($"This machine has no address {ip.Address}.", "listen on one that \"ip address\" shows, on 127.0.0.1 or ::1, or on all of them: 0.0.0.0 or ::"),
        (IPEndPoint ip, SocketError.AddressFamilyNotSupported) => (
            $"This machine does not do IPv{(ip.AddressFamily == AddressFamily.InterNetworkV6 ? 6 : 4)}, and {ip.Address} is such an address.",
            "listen on an address of the other kind, such as 127.0.0.1"),
        (IPEndPoint ip, _) => ($"{ip} cannot be listened on ({error}).", "listen on another address, or choose another port"),
        _ => ($"The socket {point} cannot be made ({error}).", "give a data directory that this user may write, on a file system that has sockets"),
    };
}
