using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace ConfidentialChat.Cli.Stack;

/// <summary>What passed one connection of a <see cref="WireTap"/> in one direction.</summary>
internal sealed record Recording(int Connection, bool FromClient, byte[] Bytes);

/// <summary>Stands between two parties on loopback and keeps a copy of every byte that passes, in both directions.</summary>
internal sealed class WireTap : IAsyncDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource stop = new();
    private readonly ConcurrentBag<Task> connections = [];
    private readonly ConcurrentQueue<Copy> copies = new();
    private readonly TaskCompletionSource<Uri> target = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task accepting;
    private int count;

    public WireTap()
    {
        listener.Start();
        accepting = AcceptAsync();
    }

    /// <summary>Where to connect instead of to the target.</summary>
    public Uri Address => new($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");

    /// <summary>Connections wait until the target is known.</summary>
    public void SetTarget(Uri address) => target.TrySetResult(address);

    /// <summary>Everything that has passed so far: one entry a connection and direction, in the order they began.</summary>
    public IReadOnlyList<Recording> Recorded => [.. copies.Select(copy => copy.ToRecording())];

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Stop();
        target.TrySetCanceled();
        await Quietly(accepting);
        foreach (var connection in connections)
            await Quietly(connection);
        stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true)
            connections.Add(ServeAsync(await listener.AcceptTcpClientAsync(stop.Token)));
    }

    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        {
            var to = await target.Task.WaitAsync(stop.Token);
            using var server = new TcpClient();
            await server.ConnectAsync(to.Host, to.Port, stop.Token);
            client.NoDelay = server.NoDelay = true;
            var number = Interlocked.Increment(ref count);
            var up = CopyAsync(client, server, new Copy(number, fromClient: true));
            var down = CopyAsync(server, client, new Copy(number, fromClient: false));

            // A side that breaks off breaks the other off too: nobody may mistake a cut for an end.
            if (!await await Task.WhenAny(up, down))
                Reset(client, server);
            if (!await up | !await down)
                Reset(client, server);
        }
    }

    /// <summary>True where the source ended in good order.</summary>
    private async Task<bool> CopyAsync(TcpClient from, TcpClient to, Copy copy)
    {
        copies.Enqueue(copy);
        var buffer = new byte[16 * 1024];
        try
        {
            int read;
            while ((read = await from.GetStream().ReadAsync(buffer, stop.Token)) > 0)
            {
                copy.Append(buffer.AsSpan(0, read));
                await to.GetStream().WriteAsync(buffer.AsMemory(0, read), stop.Token);
            }

            to.Client.Shutdown(SocketShutdown.Send);
            return true;
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            return false;
        }
    }

    private static void Reset(params ReadOnlySpan<TcpClient> sides)
    {
        foreach (var side in sides)
            side.Client?.Close(0);
    }

    private static async Task Quietly(Task task)
    {
        try
        {
            await task;
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
        {
        }
    }

    private sealed class Copy(int connection, bool fromClient)
    {
        /// <summary>Of one direction of one connection; what comes after is passed on and not kept, or hours of traffic would fill memory.</summary>
        private const int MaxBytes = 16 * 1024 * 1024;

        private readonly List<byte> bytes = [];

        public void Append(ReadOnlySpan<byte> more)
        {
            lock (bytes)
                bytes.AddRange(more[..Math.Min(more.Length, MaxBytes - bytes.Count)]);
        }

        public Recording ToRecording()
        {
            lock (bytes)
                return new Recording(connection, fromClient, [.. bytes]);
        }
    }
}
