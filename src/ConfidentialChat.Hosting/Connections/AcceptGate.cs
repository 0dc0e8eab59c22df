// spec/gateway.md section 8 rule 1.
using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ConfidentialChat.Hosting.Connections;

/// <summary>
/// Takes no more connections from the system than there are places, and a few that are just coming or going: whoever else comes waits in
/// the system's queue. Kestrel takes all that come before it looks at one, and without files left for a thread the runtime ends the process.
/// </summary>
internal sealed class AcceptGate(IOptions<SocketTransportOptions> options, ConnectionLimits limits, ILoggerFactory logs, ILogger<AcceptGate> log)
    : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    private readonly SocketTransportFactory sockets = new(options, logs);
    private readonly SemaphoreSlim free = Room(limits); // of all listeners together: files are the process's
    private int isTold;

    public bool CanBind(EndPoint endpoint) => sockets.CanBind(endpoint);

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var listener = await sockets.BindAsync(endpoint, cancellationToken);
        if (endpoint is not IPEndPoint)
            return listener;
        if (limits.Most < limits.Wanted && Interlocked.Exchange(ref isTold, 1) == 0)
            log.FewFiles(limits.Most, limits.Wanted, OpenFiles.Limit, OpenFiles.For(limits.Wanted));
        return new Listener(listener, free);
    }

    // Nobody disposes of it: connections may outlive the server, and it holds nothing of the system's.
    private static SemaphoreSlim Room(ConnectionLimits limits) => new(limits.Most + ConnectionLimits.Coming);

    private sealed class Listener(IConnectionListener listener, SemaphoreSlim free) : IConnectionListener
    {
        private readonly CancellationTokenSource unbound = new();

        public EndPoint EndPoint => listener.EndPoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            try
            {
                await free.WaitAsync(unbound.Token);
            }
            catch (OperationCanceledException)
            {
                return null;
            }

            ConnectionContext? accepted = null;
            try
            {
                return (accepted = await listener.AcceptAsync(cancellationToken)) is null ? null : new Connection(accepted, free);
            }
            finally
            {
                if (accepted is null)
                    free.Release();
            }
        }

        public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            await unbound.CancelAsync();
            await listener.UnbindAsync(cancellationToken);
        }

        public ValueTask DisposeAsync()
        {
            unbound.Cancel();
            return listener.DisposeAsync();
        }
    }

    /// <summary>A connection that gives its room back when it is gone.</summary>
    private sealed class Connection(ConnectionContext inner, SemaphoreSlim free) : ConnectionContext
    {
        private int isGone;

        public override IDuplexPipe Transport
        {
            get => inner.Transport;
            set => inner.Transport = value;
        }

        public override string ConnectionId
        {
            get => inner.ConnectionId;
            set => inner.ConnectionId = value;
        }

        public override IFeatureCollection Features => inner.Features;

        public override IDictionary<object, object?> Items
        {
            get => inner.Items;
            set => inner.Items = value;
        }

        public override CancellationToken ConnectionClosed
        {
            get => inner.ConnectionClosed;
            set => inner.ConnectionClosed = value;
        }

        public override EndPoint? LocalEndPoint
        {
            get => inner.LocalEndPoint;
            set => inner.LocalEndPoint = value;
        }

        public override EndPoint? RemoteEndPoint
        {
            get => inner.RemoteEndPoint;
            set => inner.RemoteEndPoint = value;
        }

        public override void Abort(ConnectionAbortedException abortReason) => inner.Abort(abortReason);

        public override void Abort() => inner.Abort();

        public override async ValueTask DisposeAsync()
        {
            try
            {
                await inner.DisposeAsync();
                await base.DisposeAsync();
            }
            finally
            {
                if (Interlocked.Exchange(ref isGone, 1) == 0)
                    free.Release();
            }
        }
    }
}
