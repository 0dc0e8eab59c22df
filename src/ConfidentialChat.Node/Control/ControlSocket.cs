using System.Net;
using System.Net.Sockets;
using System.Text;
using ConfidentialChat.Hosting;
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

    private const string SocketName = "control.sock";

    /// <summary>Holds the socket's path where that is not in the data directory.</summary>
    private const string PointerName = "control.path";

    /// <summary>Where the socket of a data directory is: in it, or, where that path is too long, where the node said that it made one.</summary>
    public static string PathFor(string dataDirectory)
    {
        var path = Path.Combine(Path.GetFullPath(dataDirectory), SocketName);
        return !Fits(path) && Pointer(dataDirectory) is { } elsewhere ? elsewhere : path;
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
            ConnectCallback = async (_, connecting) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(PathFor(dataDirectory)), connecting);
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
    /// <exception cref="NodeOptionsException">The directory for temporary files has a long name too.</exception>
    internal static string Prepare(string dataDirectory)
    {
        var path = Path.Combine(Path.GetFullPath(dataDirectory), SocketName);
        if (Fits(path))
        {
            File.Delete(path);
            return path;
        }

        // A name that others can foretell may be theirs before it is ours, or lead elsewhere. This one is new, and closed to them from the start.
        if (Pointer(dataDirectory) is { } before)
            TryRemove(Path.GetDirectoryName(before)!);
        path = Path.Combine(Directory.CreateTempSubdirectory("cchat-").FullName, SocketName);
        if (!Fits(path))
        {
            TryRemove(Path.GetDirectoryName(path)!);
            throw new NodeOptionsException(
                $"The control socket fits neither into {dataDirectory} nor into {Path.GetTempPath()}: a socket's path has at most {MaxPathBytes} bytes.",
                "give a data directory with a shorter name with --data, or set TMPDIR");
        }

        PrivateFile.Write(PointerPath(dataDirectory), Encoding.UTF8.GetBytes(path));
        return path;
    }

    private static bool Fits(string path) => Encoding.UTF8.GetByteCount(path) <= MaxPathBytes;

    private static string PointerPath(string dataDirectory) => Path.Combine(Path.GetFullPath(dataDirectory), PointerName);

    private static string? Pointer(string dataDirectory) => File.Exists(PointerPath(dataDirectory)) ? File.ReadAllText(PointerPath(dataDirectory)) : null;

    // Only where it is empty, as a node that ended in good order leaves it: by now the name may be somebody else's.
    private static void TryRemove(string directory)
    {
        try
        {
            Directory.Delete(directory);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // the system clears its temporary files
        }
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
