using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ConfidentialChat.Tests;

/// <summary>A server that reads a request and answers with bytes, whatever they are, and hangs up.</summary>
internal sealed class RawServer : IDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly Func<string, string> answer;

    /// <param name="answer">From the first line of a request to all that is answered.</param>
    public RawServer(Func<string, string> answer)
    {
        this.answer = answer;
        listener.Start();
        _ = ServeAsync();
    }

    public Uri Url => new($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");

    public void Dispose() => listener.Stop();

    private async Task ServeAsync()
    {
        try
        {
            while (true)
                _ = ServeAsync(await listener.AcceptTcpClientAsync());
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task ServeAsync(TcpClient connection)
    {
        using (connection)
        {
            try
            {
                var stream = connection.GetStream();
                var request = "";
                var buffer = new byte[4096];
                for (int read; !IsWhole(request) && (read = await stream.ReadAsync(buffer)) > 0;)
                    request += Encoding.Latin1.GetString(buffer, 0, read);
                await stream.WriteAsync(Encoding.UTF8.GetBytes(answer(request.Split("\r\n")[0])));
                connection.Client.Shutdown(SocketShutdown.Send);
                while (await stream.ReadAsync(buffer) > 0)
                {
                }
            }
            catch (Exception e) when (e is SocketException or IOException)
            {
            }
        }
    }

    private static bool IsWhole(string request)
    {
        var head = request.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        if (head < 0)
            return false;
        var lines = request[..head].Split("\r\n");
        if (lines.Any(line => line.StartsWith("Transfer-Encoding:", StringComparison.OrdinalIgnoreCase)))
            return request.EndsWith("\r\n0\r\n\r\n", StringComparison.Ordinal);
        var length = lines.FirstOrDefault(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase));
        return request.Length - head - 4 >= (length is null ? 0 : int.Parse(length.Split(':')[1], CultureInfo.InvariantCulture));
    }
}
