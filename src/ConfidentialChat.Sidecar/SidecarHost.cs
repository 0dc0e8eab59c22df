// spec/sidecar.md.
using System.Net;
using System.Net.Sockets;
using ConfidentialChat.Client;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Protocol;
using ConfidentialChat.Sidecar.Callers;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Sidecar;

/// <summary>The sidecar, put together: the one composition for the command line and the tests.</summary>
public sealed class SidecarHost
{
    private const int MaxHeaderBytes = 32 * 1024; // agents send long lists of betas and trace headers

    private SidecarHost()
    {
    }

    /// <summary>Takes the port and builds the application, which answers once it is started. The gateway need not be there yet.</summary>
    /// <param name="options">Checked before anything is touched.</param>
    /// <param name="configure">May replace what is registered, or log elsewhere.</param>
    /// <returns>The caller's to start and to dispose of.</returns>
    /// <exception cref="SidecarOptionsException">The options cannot be used, or the port is not to be had.</exception>
    /// <exception cref="ConfigurationException">There is no usable key, gateway or policy.</exception>
    public static WebApplication Create(SidecarOptions options, Action<WebApplicationBuilder>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        Require(options);
        var callers = KnownCallers.From(options);
        HeapLimit.Require(HeapLimit.Bytes, (message, hint) => new SidecarOptionsException(message, hint));
        var limits = ConnectionLimits.Within(
            options.MaxConnections, TrustedProxies.Loopback, OpenFiles.Limit, (message, hint) => new SidecarOptionsException(message, hint));
        var client = new ConfidentialChatClient(options.Client);
        ListenSocket[] places = [];
        WebApplication? app = null;
        try
        {
            var key = LocalKey.Read(options);
            places = TakePlaces(options);
            app = Build(options, limits, callers, key, client, places, configure);
            Assemble(app, options);
            HeapLimit.Tell(app.Logger, options.MaxBufferedBytes, options.MaxBodyBytes);
            return app;
        }
        catch
        {
            (app as IDisposable)?.Dispose();
            Array.ForEach(places, place => place.Dispose());
            client.Dispose();
            throw;
        }
    }

    /// <summary>What programs are to be told, ending in <c>/v1</c>. Of an application that has started.</summary>
    public static Uri BaseUrl(WebApplication app)
    {
        ArgumentNullException.ThrowIfNull(app);
        return new Uri(new Uri(app.Urls.First()), LocalPaths.Base);
    }

    private static void Require(SidecarOptions options)
    {
        Require(options.Port is >= 0 and <= IPEndPoint.MaxPort, $"Port {options.Port} is none.", "ports go from 0 (any free one) to 65535");
        Require(options.MaxBodyBytes >= 1024, $"MaxBodyBytes is {options.MaxBodyBytes}.", "a request needs at least 1024 bytes");
        Require(options.MaxRequests >= 1, $"MaxRequests is {options.MaxRequests}.", "--max-requests is at least 1");
        Require(
            options.MaxConnections >= ConnectionLimits.LeastMost, $"MaxConnections is {options.MaxConnections}.",
            $"a server needs at least {ConnectionLimits.LeastMost} connections");
        Require(options.DrainTimeout >= TimeSpan.Zero, "Answers in flight cannot have less than no time to end.", "--drain-seconds is at least 0");
        Require(
            options.Client.Envelope is EnvelopeVersion.V2, "The sidecar speaks envelope v2 alone.", "leave the envelope as it is");
    }

    private static void Require(bool condition, string message, string hint)
    {
        if (!condition)
            throw new SidecarOptionsException(message, hint);
    }

    // "localhost" is either address to a program: whoever else had the other would be asked in plain.
    private static ListenSocket[] TakePlaces(SidecarOptions options)
    {
        IPEndPoint[] points =
            options.DangerousBind is { } address ? [new(address, options.Port)]
            : options.Port != 0 && HasIPv6Loopback() ? [new(IPAddress.Loopback, options.Port), new(IPAddress.IPv6Loopback, options.Port)]
            : [new(IPAddress.Loopback, options.Port)];
        var places = new List<ListenSocket>();
        try
        {
            foreach (var point in points)
                places.Add(ListenSocket.Take(point, "--port", (message, hint, e) => new SidecarOptionsException(message, hint, e)));
            return [.. places];
        }
        catch
        {
            places.ForEach(place => place.Dispose());
            throw;
        }
    }

    private static bool HasIPv6Loopback()
    {
        if (!Socket.OSSupportsIPv6)
            return false;
        try
        {
            using var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
            return true;
        }
        catch (SocketException)
        {
            return false; // switched off
        }
    }

    private static WebApplication Build(
        SidecarOptions options,
        ConnectionLimits limits,
        KnownCallers callers,
        LocalKey key,
        ConfidentialChatClient client,
        ListenSocket[] places,
        Action<WebApplicationBuilder>? configure)
    {
        // Empty: nothing of the surroundings can open another port or print a header.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        ServerLog.Write(ServerLog.Listen(builder.Logging));
        ListenSocket.Use(builder.WebHost, places);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.BoundStrangers();
            kestrel.Limits.MaxRequestHeadersTotalSize = MaxHeaderBytes;
            foreach (var place in places)
            {
                kestrel.Listen((IPEndPoint)place.Point, point =>
                {
                    point.Use(kestrel.ApplicationServices.GetRequiredService<ConnectionPlaces>().Around);
                    point.Protocols = HttpProtocols.Http1;
                });
            }
        });
        AddServices(builder.Services, options, limits, callers, key, client);
        configure?.Invoke(builder);
        return builder.Build();
    }

    private static void AddServices(
        IServiceCollection services, SidecarOptions options, ConnectionLimits limits, KnownCallers callers, LocalKey key, ConfidentialChatClient client)
    {
        services.AddRouting();
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(options);
        services.AddSingleton(limits);
        services.AddSingleton(callers);
        services.AddSingleton(key);
        services.AddSingleton(_ => client); // by a factory, so that the container closes it
        services.AddSingleton<IConnectionListenerFactory, AcceptGate>();
        services.AddSingleton<ConnectionPlaces>();
        services.AddSingleton<Seldom>();
        services.AddSingleton<Reload>();
        services.AddSingleton<SidecarMetrics>();
        services.AddSingleton<NodeVerdicts>();
        services.AddSingleton<RequestPlaces>();
        services.AddSingleton<LocalInference>();
        services.AddSingleton<LocalModels>();
        services.AddSingleton<LocalAttestation>();
        services.AddSingleton(new BodyShare(new BodyBudget(options.MaxBufferedBytes), options.MaxBufferedBytes));
        services.AddCors(callers.Allow);
        services.Configure<HostOptions>(host => host.ShutdownTimeout = options.DrainTimeout);
    }

    private static void Assemble(WebApplication app, SidecarOptions options)
    {
        _ = app.Services.GetServices<ListenSocket>().ToList(); // else they would not end with a sidecar that never starts
        var (log, key, reload) = (
            app.Services.GetRequiredService<ILogger<SidecarHost>>(), app.Services.GetRequiredService<LocalKey>(), app.Services.GetRequiredService<Reload>());
        reload.Asked += () => key.ReadAgain(log);
        app.UseMiddleware<RequestRecorder>();
        app.UseConnectionTurns(LocalPaths.IsOpen, context => SidecarRefusal.Of(SidecarError.TooManyRequests).WriteAsync(context));
        app.UseMiddleware<FaultBoundary>();
        app.UseMiddleware<CallerCheck>();
        if (options.CorsOrigins.Count > 0)
            app.UseCors();
        app.UseMiddleware<LocalKeyCheck>();
        app.UseMiddleware<StopCheck>();
        app.UseRouting();
        Map(app);
        app.Lifetime.ApplicationStarted.Register(() => log.Listening(string.Join(' ', app.Urls)));
    }

    private static void Map(WebApplication app)
    {
        string[] look = [HttpMethods.Get, HttpMethods.Head];
        var services = app.Services;
        app.MapMethods(LocalPaths.Root, look, LocalHealth.LiveAsync); // agents look whether anybody is there
        app.MapMethods(LocalPaths.Live, look, LocalHealth.LiveAsync);
        app.MapMethods(LocalPaths.Ready, look, LocalHealth.ReadyAsync);
        app.MapGet(LocalPaths.Metrics, services.GetRequiredService<SidecarMetrics>().WriteAsync);
        app.MapGet(LocalPaths.Models, services.GetRequiredService<LocalModels>().ListAsync);
        app.MapGet(LocalPaths.Model, services.GetRequiredService<LocalModels>().FindAsync);
        app.MapGet(LocalPaths.Attestation, services.GetRequiredService<LocalAttestation>().HandleAsync);
        var inference = services.GetRequiredService<LocalInference>();
        foreach (var row in InferenceEndpoints.Table)
            app.MapPost(row.Path, context => inference.HandleAsync(context, row));
    }
}

/// <summary>Turns new requests away once the sidecar is told to stop; those in flight go on.</summary>
internal sealed class StopCheck(RequestDelegate next, IHostApplicationLifetime lifetime)
{
    public Task InvokeAsync(HttpContext context) =>
        lifetime.ApplicationStopping.IsCancellationRequested && context.Request.Path != LocalPaths.Live
            ? SidecarRefusal.Of(SidecarError.Stopping).WriteAsync(context)
            : next(context);
}
