using System.Net;
using System.Net.Sockets;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>
/// An address on this machine at which no attempt to connect comes to an end, as with a host that is gone or a packet that is dropped: somebody
/// listens, accepts nobody, and has a full queue.
/// </summary>
internal sealed class BlackHole : IDisposable
{
    private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly List<Socket> queued = [];

    private BlackHole()
    {
    }

    /// <param name="url">Where nobody listens yet.</param>
    public static async Task<BlackHole> OpenAsync(Uri url)
    {
        var hole = new BlackHole();
        var address = new IPEndPoint(IPAddress.Loopback, url.Port);
        hole.listener.Bind(address);
        hole.listener.Listen(0);
        for (var i = 0; i < 64; i++)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            hole.queued.Add(socket);
            using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
            try
            {
                await socket.ConnectAsync(address, patience.Token);
            }
            catch (OperationCanceledException)
            {
                return hole; // the queue is full
            }
        }

        hole.Dispose();
        throw new InvalidOperationException("The queue of a listening socket does not fill.");
    }

    public void Dispose()
    {
        foreach (var socket in queued)
            socket.Dispose();
        listener.Dispose();
    }
}
