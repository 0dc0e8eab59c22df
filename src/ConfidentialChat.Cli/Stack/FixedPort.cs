using System.Net;
using System.Net.Sockets;

namespace ConfidentialChat.Cli.Stack;

/// <summary>
/// A port for a server that has to know it before it listens. It is none of those that the system gives out by itself (from 32768
/// on), so that nobody who asks for any free port gets it in between.
/// </summary>
internal static class FixedPort
{
    public static int Find()
    {
        while (true)
        {
            var port = Random.Shared.Next(10_000, 32_000);
            try
            {
                using var listener = new TcpListener(IPAddress.Any, port);
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                // somebody has it
            }
        }
    }
}
