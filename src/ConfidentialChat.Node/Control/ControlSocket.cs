using System.Net;
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
    /// <summary><c>POST</c> makes a new current key; 409 where as many are held as may be.</summary>
    public const string RotatePath = "/control/rotate";

    /// <summary>Behind <see cref="RotatePath"/>: the oldest key may be erased before its time.</summary>
    private const string EraseNowQuery = "?erase-now";

    /// <summary>What to do where the node holds as many keys as it may.</summary>
    public const string RotationHint = "wait until the oldest key's grace is over, or say --erase-now: requests that are sealed to it are refused from then on";

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
    /// <param name="dataDirectory">The node's.</param>
    /// <param name="eraseNow">Whether the oldest key may be erased before its time, where the node holds as many as it may.</param>
    /// <param name="cancellation">Ends the asking, not the rotation.</param>
    /// <returns>False where the node holds as many keys as it may, and nothing was changed.</returns>
    /// <exception cref="HttpRequestException">No node runs there.</exception>
    public static async Task<bool> RotateAsync(string dataDirectory, bool eraseNow, CancellationToken cancellation)
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
        using var answer = await http.PostAsync(new Uri("http://node" + RotatePath + (eraseNow ? EraseNowQuery : "")), null, cancellation);
        if (answer.StatusCode == HttpStatusCode.Conflict)
            return false;
        answer.EnsureSuccessStatusCode();
        return true;
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
            return ring.TryRotate(eraseNow: http.Request.QueryString.Value == EraseNowQuery)
                ? Results.NoContent()
                : Results.Json(new Dictionary<string, string> { ["hint"] = RotationHint }, statusCode: StatusCodes.Status409Conflict);
        });
}
