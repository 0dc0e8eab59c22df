using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Keys;
using Microsoft.AspNetCore.Connections.Features;

namespace ConfidentialChat.Node.Control;

/// <summary>A Unix socket for the operator on the same machine; who may enter the data directory may use it.</summary>
public static class ControlSocket
{
    /// <summary><c>POST</c> makes a new current key.</summary>
    public const string RotatePath = "/control/rotate";

    /// <summary>Longest path of a Unix socket; sun_path has 108 bytes on Linux and 104 on macOS, with a zero at the end.</summary>
    private const int MaxPathBytes = 103;

    /// <summary>Where the socket of a data directory is: in it, or, where that path is too long, in a directory named after it.</summary>
    public static string PathFor(string dataDirectory)
    {
        var full = Path.GetFullPath(dataDirectory);
        var path = Path.Combine(full, "control.sock");
        if (Encoding.UTF8.GetByteCount(path) <= MaxPathBytes)
            return path;
        var name = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(full)))[..16];
        return Path.Combine(Path.GetTempPath(), "cchat-" + name, "control.sock");
    }

    /// <summary>Asks the node of a data directory to rotate its key.</summary>
    /// <exception cref="HttpRequestException">No node runs there.</exception>
    public static async Task RotateAsync(string dataDirectory, CancellationToken cancellation)
    {
        using var http = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            ConnectCallback = async (_, cancel) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(PathFor(dataDirectory)), cancel);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        });
        using var answer = await http.PostAsync(new Uri("http://node" + RotatePath), null, cancellation);
        answer.EnsureSuccessStatusCode();
    }

    /// <summary>Makes the socket's path free for listening.</summary>
    internal static string Prepare(string dataDirectory)
    {
        var path = PathFor(dataDirectory);
        PrivateFile.CreateDirectory(Path.GetDirectoryName(path)!); // others may make a directory of that name before us: this fails then
        File.Delete(path);
        return path;
    }

    // Any method, so that over the network none is told apart from a path that is not there.
    internal static void MapControl(this WebApplication app) =>
        app.Map(RotatePath, (HttpContext http, KeyRing ring) =>
        {
            if (http.Features.Get<IConnectionSocketFeature>()?.Socket.LocalEndPoint is not UnixDomainSocketEndPoint)
                return Results.NotFound();
            if (!HttpMethods.IsPost(http.Request.Method))
                return Results.StatusCode(StatusCodes.Status405MethodNotAllowed);
            ring.Rotate();
            return Results.NoContent();
        });
}
