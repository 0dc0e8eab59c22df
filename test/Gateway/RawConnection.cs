using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>A connection on which a test says what it likes, when it likes.</summary>
internal sealed class RawConnection : IDisposable
{
    private readonly Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public Socket Socket => socket;

    /// <param name="url">Where to.</param>
    /// <param name="from">An address of this machine: 127.0.0.0/8 has many.</param>
    public static async Task<RawConnection> OpenAsync(Uri url, string from = "127.0.0.1")
    {
        var connection = new RawConnection();
        connection.socket.Bind(new IPEndPoint(IPAddress.Parse(from), 0));
        await connection.socket.ConnectAsync(IPAddress.Loopback, url.Port, TestContext.Current.CancellationToken);
        return connection;
    }

    public static async Task<List<RawConnection>> OpenAsync(Uri url, int count, string from = "127.0.0.1")
    {
        var connections = new List<RawConnection>();
        for (var i = 0; i < count; i++)
            connections.Add(await OpenAsync(url, from));
        return connections;
    }

    public async Task SendAsync(string text) => await socket.SendAsync(Encoding.ASCII.GetBytes(text), TestContext.Current.CancellationToken);

    /// <summary>The status of the next answer, whose body is short; 0 where the connection has been closed.</summary>
    public async Task<int> StatusAsync()
    {
        var buffer = new byte[16 * 1024];
        try
        {
            var read = await socket.ReceiveAsync(buffer, TestContext.Current.CancellationToken)
                .AsTask().WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
            return read == 0 ? 0 : int.Parse(Encoding.ASCII.GetString(buffer, 9, 3), System.Globalization.CultureInfo.InvariantCulture);
        }
        catch (SocketException)
        {
            return 0;
        }
    }

    public async Task<int> GetAsync(string path, string headers = "")
    {
        try
        {
            await SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        }
        catch (SocketException)
        {
            return 0;
        }

        return await StatusAsync();
    }

    public void Dispose() => socket.Dispose();
}
