using System.Net;
using System.Net.Sockets;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Node.Control;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Errors;
using ConfidentialChat.Node.Evidence;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Node.Metering;
using ConfidentialChat.Node.Relay;
using ConfidentialChat.Node.Serving;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using IEvidenceSource = ConfidentialChat.Attestation.IEvidenceSource;

namespace ConfidentialChat.Node;

/// <summary>Builds a node around an engine.</summary>
public static class NodeHost
{
    private const string Health = "/health";
    private const string Live = "/health/live";
    private const string Ready = "/health/ready";

    /// <summary>A node that is ready to start. Engine and evidence stay the caller's, who disposes of them after the host.</summary>
    /// <param name="options">How it runs.</param>
    /// <param name="engine">What it serves.</param>
    /// <param name="configure">Changes to the host.</param>
    /// <param name="evidence">Without it the node serves envelope v1 alone.</param>
    /// <exception cref="NodeOptionsException">The options or the data directory are no good.</exception>
    public static WebApplication Create(
        NodeOptions options, IInferenceBackend engine, Action<WebApplicationBuilder>? configure = null, IEvidenceSource? evidence = null)
    {
        options.Validate();
        HeapLimit.Require(HeapLimit.Bytes, (message, hint) => new NodeOptionsException(message, hint));
        var (identity, enrolment, controlPath) = OpenData(options);
        var places = TakePlaces(options, controlPath);
        try
        {
            return Build(options, engine, evidence, identity, enrolment, places, configure);
        }
        catch
        {
            Array.ForEach(places, place => place.Dispose());
            throw;
        }
    }

    private static WebApplication Build(
        NodeOptions options,
        IInferenceBackend engine,
        IEvidenceSource? evidence,
        NodeIdentity identity,
        GatewayEnrolment enrolment,
        ListenSocket[] places,
        Action<WebApplicationBuilder>? configure)
    {
        // Empty: nothing of the surroundings (a variable, a file in the working directory) can open another port.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRouting();
        ServerLog.Listen(builder.Logging);
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => Listen(kestrel, places, identity));
        ListenSocket.Use(builder.WebHost, places);
        builder.Services
            .AddSingleton(options)
            .AddSingleton(identity)
            .AddSingleton(engine)
            .AddSingleton(TimeProvider.System)
            .AddSingleton<Seldom>()
            .AddSingleton<Reload>()
            .AddSingleton(ConnectionLimits.Within(
                options.MaxConnections, TrustedProxies.Loopback, OpenFiles.Limit, (message, hint) => new NodeOptionsException(message, hint)))
            .AddSingleton<IConnectionListenerFactory, AcceptGate>()
            .AddSingleton<ConnectionPlaces>()
            .AddSingleton(services => new KeyRing(options, services.GetRequiredService<TimeProvider>(), isAttested: evidence is not null))
            .AddSingleton<Seating>()
            .AddSingleton(new BodyBudget(options.MaxBufferedBytes))
            // the gateway alone asks, and tells no users apart
            .AddSingleton(services => new BodyShare(services.GetRequiredService<BodyBudget>(), options.MaxBufferedBytes))
            .AddSingleton(enrolment)
            .AddSingleton<GatewayClock>()
            .AddSingleton<GatewayClient>()
            .AddSingleton<OwnAddress>()
            .AddSingleton<RelayTokenCheck>()
            .AddSingleton<UsageReporter>()
            .AddSingleton<GatewayLink>()
            .AddSingleton<ConfidentialHandler>()
            .AddHostedService<TlsKeyWatch>()
            .AddHostedService<KeyRotation>()
            .AddHostedService(services => services.GetRequiredService<UsageReporter>())
            .AddHostedService(services => services.GetRequiredService<GatewayLink>())
            .Configure<HostOptions>(host => host.ShutdownTimeout = options.DrainTimeout);
        if (evidence is not null)
            builder.Services.AddSingleton(evidence).AddSingleton<NodeEvidence>().AddSingleton<LiveChallenges>().AddSingleton<ReceiptDesk>()
                .AddHostedService<KeyPublication>()
                .AddSingleton(services => Outbox.Open(
                    options.DataDirectory, services.GetRequiredService<TimeProvider>(), services.GetRequiredService<Seldom>(),
                    services.GetRequiredService<ILogger<Outbox>>()))
                .AddSingleton<VoucherDesk>()
                .AddSingleton<Vouching>();
        configure?.Invoke(builder);

        var app = builder.Build();
        _ = app.Services.GetServices<ListenSocket>().ToList(); // else they would not end with a node that never starts
        OpenOutbox(app);
        HeapLimit.Tell(app.Logger, options.MaxBufferedBytes, options.MaxBodyBytes);
        app.UseConnectionTurns(
            path => path.Value is Health or Live or Ready or NodePaths.Proof,
            context => context.Response.WriteAsync(new Rejection(RequestError.TooManyRequests)));
        app.UseExceptionHandler(new ExceptionHandlerOptions { ExceptionHandler = OnExceptionAsync, AllowStatusCode404Response = true });
        app.UseStatusCodePages(context => RejectionResponse.WriteStatusAsync(context.HttpContext.Response));
        app.MapHealth();
        app.MapControl();
        app.MapPost(NodePaths.Proof, http => ProofEndpoint.AnswerAsync(http, app.Services.GetRequiredService<GatewayEnrolment>()));
        app.MapPlainEndpoints("This is a node, which takes sealed requests of its gateway only: ask the gateway, with the ConfidentialChat SDK, with cchat ask, or with any client that seals envelopes (spec/envelope-v1.md).");
        foreach (var endpoint in EnvelopeEndpoint.Table)
        {
            var door = ActivatorUtilities.CreateInstance<EnvelopeV1Door>(app.Services, endpoint);
            app.MapPost(endpoint.Path, http => app.Services.GetRequiredService<ConfidentialHandler>().ServeAsync(http, door)); // no scope for each request
        }

        if (evidence is not null)
        {
            var door = ActivatorUtilities.CreateInstance<EnvelopeV2Door>(app.Services);
            app.MapPost(EnvelopeV2Door.Path, http => app.Services.GetRequiredService<ConfidentialHandler>().ServeAsync(http, door));
            app.MapEvidence();
        }

        if (options.Docs)
            app.MapApiDocs();
        app.Lifetime.ApplicationStarted.Register(() => app.Services.GetRequiredService<OwnAddress>().Set(options.PublicAddress ?? Address(app)));
        return app;
    }

    /// <summary>The address that a started node listens on.</summary>
    public static Uri Address(WebApplication app) => new(
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!
            .Addresses.First(address => !address.Contains("unix:", StringComparison.Ordinal)));

    /// <summary>Completes when a started node is enrolled, and its gateway has heard of it and reached it.</summary>
    public static Task WhenReadyAsync(WebApplication app, CancellationToken cancellation) =>
        app.Services.GetRequiredService<GatewayLink>().Ready.WaitAsync(cancellation);

    private static (NodeIdentity Identity, GatewayEnrolment Enrolment, string ControlPath) OpenData(NodeOptions options)
    {
        try
        {
            PrivateFile.CreateDirectory(options.DataDirectory);
            return (
                NodeIdentity.Open(options.DataDirectory, options.UsesTls),
                new GatewayEnrolment(options),
                OperatingSystem.IsWindows() ? "" : ControlSocket.Prepare(options.DataDirectory));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new NodeOptionsException(
                $"The data directory {options.DataDirectory} cannot be used: {e.Message}", "give a directory that this user may write with --data", e);
        }
    }

    // The network's, and behind it the operator's where there is one.
    private static ListenSocket[] TakePlaces(NodeOptions options, string controlPath)
    {
        var network = Take(new IPEndPoint(options.ListenAddress, options.Port));
        if (controlPath.Length == 0)
            return [network];
        try
        {
            return [network, Take(new UnixDomainSocketEndPoint(controlPath))];
        }
        catch
        {
            network.Dispose();
            throw;
        }

        static ListenSocket Take(EndPoint point) =>
            ListenSocket.Take(point, "--port (setting Port)", (message, hint, e) => new NodeOptionsException(message, hint, e));
    }

    // Before anything listens: another process may have it.
    private static void OpenOutbox(WebApplication app)
    {
        try
        {
            app.Services.GetService<Outbox>();
        }
        catch
        {
            ((IDisposable)app).Dispose();
            throw;
        }
    }

    private static void Listen(KestrelServerOptions kestrel, ListenSocket[] places, NodeIdentity identity)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.BoundStrangers();
        foreach (var place in places)
        {
            if (place.Point is not IPEndPoint point)
            {
                kestrel.ListenUnixSocket(place.Point.ToString()!);
                continue;
            }

            kestrel.Listen(point, listen =>
            {
                listen.Use(kestrel.ApplicationServices.GetRequiredService<ConnectionPlaces>().Around);
                if (identity.Certificate is not null)
                    listen.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => ValueTask.FromResult(identity.Handshake!) });
            });
        }
    }

    private static void MapHealth(this WebApplication app)
    {
        string[] look = [HttpMethods.Get, HttpMethods.Head];
        app.MapMethods(Health, look, () => Results.Json(new Dictionary<string, string> { ["status"] = "ok" }));
        app.MapMethods(Live, look, () => Results.Json(new Dictionary<string, string> { ["status"] = "ok" }));
        app.MapMethods(Ready, look, (GatewayLink link) => link.IsReady
            ? Results.Json(new Dictionary<string, string> { ["status"] = "ok" })
            : Results.StatusCode(StatusCodes.Status503ServiceUnavailable));
    }

    // What is the caller's doing has no line, and a fault of ours is ours to log: the framework would quote the caller. Its text never reaches one.
    private static Task OnExceptionAsync(HttpContext http)
    {
        var error = http.Features.Get<IExceptionHandlerFeature>()?.Error;
        if (error is Microsoft.AspNetCore.Http.BadHttpRequestException bad)
            http.Response.StatusCode = bad.StatusCode;
        else if (error is not null && http.RequestServices.GetRequiredService<Seldom>().Says("Requests that failed inside the node"))
            http.RequestServices.GetRequiredService<ILogger<ConfidentialHandler>>().Failed(error);
        return RejectionResponse.WriteStatusAsync(http.Response);
    }
}
