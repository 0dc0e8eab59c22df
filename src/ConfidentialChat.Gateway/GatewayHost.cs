using System.Net;
using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Health;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Gateway.V1;
using ConfidentialChat.Gateway.V2;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Hosting.Certificates;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace ConfidentialChat.Gateway;

/// <summary>The gateway, put together: the one composition for the bare executable, the CLI and the tests.</summary>
public sealed class GatewayHost
{
    private const int MaxHeaderBytes = 16 * 1024;

    // Four sealed tokens a second: whoever reads more slowly occupies a node for nothing.
    private const double SlowestReaderBytesPerSecond = 2048;
    private static readonly TimeSpan SlowestReaderGrace = TimeSpan.FromSeconds(10);

    private GatewayHost()
    {
    }

    /// <summary>
    /// Makes or opens the data directory, applies migrations, takes the port and builds the application, which answers once it is started.
    /// </summary>
    /// <param name="options">Checked before anything is touched.</param>
    /// <param name="configure">May replace what is registered, add configuration (section <c>Logging</c> counts) or log elsewhere.</param>
    /// <param name="progress">Hears a line for people where the start has to wait or takes longer than a moment; there is no log yet.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The caller's to start and to dispose of.</returns>
    /// <exception cref="GatewayOptionsException">The options cannot be used, another gateway
    /// serves the data directory, or the port is not to be had.</exception>
    /// <exception cref="GatewayStateException">The database cannot be used.</exception>
    public static async Task<WebApplication> CreateAsync(
        GatewayOptions options, Action<WebApplicationBuilder>? configure = null, Action<string>? progress = null, CancellationToken cancellation = default)
    {
        var listen = ListenPoint.From(options);
        var origins = BrowserOrigins.From(options);
        HeapLimit.Require(HeapLimit.Bytes, (message, hint) => new GatewayOptionsException(message, hint));
        var limits = ConnectionLimits.Within(
            options.MaxConnections, listen.Trusted, OpenFiles.Limit, (message, hint) => new GatewayOptionsException(message, hint));
        var directory = DataDirectory.Open(options.DataDirectory, PostgresServer.From(options.Postgres));
        var occupation = await directory.OccupyAsync(progress, cancellation);
        ListenSocket[] places = [];
        GatewayKey? key = null;
        Database? database = null;
        WebApplication? app = null;
        try
        {
            // The database comes last: whatever else refuses the start leaves its tables to the version that they are of.
            places = BindPlaces(listen);
            key = directory.LoadOrCreateKey();
            database = await Database.OpenAsync(directory, isOccupied: true, progress, cancellation);
            database.SpendAbandoned(); // not by the writer, which would log what is told here
            Array.ForEach(places, place => place.Listen());
            app = Build(options, listen, limits, origins, key, database, directory, occupation, places, configure);
            Assemble(app, options);
            HeapLimit.Tell(app.Logger, options.MaxBufferedBytes, options.MaxBodyBytes);
            await ReadAsync(app.Services);
            database.EndProgress();
            return app;
        }
        catch (Exception e)
        {
            if (app is not null)
                await app.DisposeAsync();
            Array.ForEach(places, place => place.Dispose());
            key?.Dispose();
            database?.Dispose();
            occupation.Dispose();
            if (database?.Fault(e) is { } fault)
                throw fault;
            throw;
        }
    }

    private static WebApplication Build(
        GatewayOptions options,
        ListenPoint listen,
        ConnectionLimits limits,
        BrowserOrigins origins,
        GatewayKey key,
        Database database,
        DataDirectory directory,
        Occupation occupation,
        ListenSocket[] places,
        Action<WebApplicationBuilder>? configure)
    {
        // Empty: nothing of the surroundings can open another port or print a header.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        Log(builder);
        ListenSocket.Use(builder.WebHost, places);
        Listen(builder, listen, places);
        AddServices(builder.Services, options, key, database);
        builder.Services.AddSingleton(directory);
        builder.Services.AddSingleton(_ => occupation); // by a factory, so that the container lets go of it
        builder.Services.AddSingleton(limits);
        builder.Services.AddSingleton<IConnectionListenerFactory, AcceptGate>();
        if (listen.Certificate is var (first, files))
        {
            builder.Services.AddSingleton(services => new CertificateWatch(
                files, first, options.TlsName, services.GetRequiredService<Reload>(), services.GetRequiredService<TimeProvider>(),
                services.GetRequiredService<ILogger<CertificateWatch>>()));
            builder.Services.AddHostedService(services => services.GetRequiredService<CertificateWatch>());
        }

        builder.Services.AddCors(origins.Allow);
        configure?.Invoke(builder);
        return builder.Build();
    }

    private static void Assemble(WebApplication app, GatewayOptions options)
    {
        app.Services.GetRequiredService<Occupation>(); // first, so that it ends last
        _ = app.Services.GetServices<ListenSocket>().ToList(); // else they would not end with a gateway that never starts
        app.UseRequestNames();
        app.UseConnectionTurns(IsOfService, new ErrorAnswer(RequestError.TooManyRequests) { Forwarded = false }.ExecuteAsync);
        app.UseMiddleware<ErrorBoundary>();
        if (options.CorsOrigins.Count > 0)
            app.UseCors();
        app.UseMiddleware<Draining>();
        app.UseRouting();
        Map(app);
        if (options.Docs)
            app.MapApiDocs();
        var log = app.Services.GetRequiredService<ILogger<GatewayHost>>();
        app.Lifetime.ApplicationStarted.Register(() => log.Listening(string.Join(' ', app.Urls)));
    }

    private const string PlainAdvice =
        "This gateway takes sealed requests only, so that it cannot read them: ask with the ConfidentialChat SDK, with cchat ask, or with any client that seals "
        + "envelopes for POST /v1/confidential/chat/completions and its neighbours (spec/envelope-v1.md).";

    private static ListenSocket[] BindPlaces(ListenPoint listen)
    {
        var places = new List<ListenSocket>();
        try
        {
            foreach (var point in listen.Points)
                places.Add(ListenSocket.Bind(point, "--port (setting Port)", (message, hint, e) => new GatewayOptionsException(message, hint, e)));
            return [.. places];
        }
        catch
        {
            places.ForEach(place => place.Dispose());
            throw;
        }
    }

    // Before the server starts, so that a database that cannot be used is said once and not out of its middle.
    private static async Task ReadAsync(IServiceProvider services)
    {
        await services.GetRequiredService<ForeignChanges>().LookAsync();
        if (services.GetRequiredService<KnownNodes>().Count() is { Closed: > 0 } nodes)
            services.GetRequiredService<ILogger<GatewayHost>>().NodesClosed(nodes.Closed, nodes.All);
    }

    private static bool IsOfService(PathString path) =>
        path.Value is Endpoints.Health or Endpoints.Live or Endpoints.Ready
            or NodePaths.Enrolment or NodePaths.Heartbeat or NodePaths.Address or NodePaths.UsageReports;

    private static void Map(WebApplication app)
    {
        string[] look = [HttpMethods.Get, HttpMethods.Head]; // load balancers ask for the head alone
        app.MapMethods(Endpoints.Health, look, HealthChecks.Ok);
        app.MapMethods(Endpoints.Live, look, HealthChecks.Ok);
        app.MapMethods(Endpoints.Ready, look, HealthChecks.Ready);

        var services = app.Services;
        app.MapPost(NodePaths.Enrolment, (Delegate)services.GetRequiredService<Enrolment>().HandleAsync);
        app.MapPost(NodePaths.Heartbeat, (Delegate)services.GetRequiredService<Heartbeat>().HandleAsync);
        app.MapPost(NodePaths.Address, (Delegate)services.GetRequiredService<NodeAddressEndpoint>().HandleAsync);
        app.MapPost(NodePaths.UsageReports, (Delegate)services.GetRequiredService<UsageReportEndpoint>().HandleAsync);

        var callers = services.GetRequiredService<Callers>();
        app.MapGet(Endpoints.Models, callers.Only(services.GetRequiredService<Models>().HandleAsync));
        app.MapPost(Endpoints.Lock, callers.Only(services.GetRequiredService<LockEndpoint>().HandleAsync));
        app.MapPlainEndpoints(PlainAdvice);
        foreach (var endpoint in EnvelopeEndpoint.Table)
            app.MapPost(endpoint.Path, callers.Only(ActivatorUtilities.CreateInstance<ConfidentialRequest>(services, endpoint).HandleAsync));

        app.MapGet(Endpoints.Nodes, callers.Only(services.GetRequiredService<NodeListEndpoint>().HandleAsync));
        app.MapGet(Endpoints.Evidence, callers.Only(services.GetRequiredService<EvidenceEndpoint>().HandleAsync));
        app.MapPost(Endpoints.Evidence, callers.Only(services.GetRequiredService<EvidenceEndpoint>().ChallengeAsync));
        app.MapGet(Endpoints.Collateral, callers.Only(services.GetRequiredService<CollateralEndpoint>().HandleAsync));
        app.MapPost(Endpoints.Relay, callers.Only(services.GetRequiredService<RelayEndpoint>().HandleAsync));

        var own = services.GetRequiredService<OwnMoneyEndpoint>();
        app.MapGet(Endpoints.Balance, callers.Only(own.BalanceAsync));
        app.MapGet(Endpoints.Usage, callers.Only(own.SumAsync));
        app.MapGet(Endpoints.RequestUsage, callers.Only(own.RequestAsync));
        services.GetRequiredService<AdminEndpoints>().Map(app, callers);
    }

    private static void AddServices(IServiceCollection services, GatewayOptions options, GatewayKey key, Database database)
    {
        services.AddRouting();
        services.AddHttpForwarder();
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(options);
        services.AddSingleton<Seldom>();
        services.AddSingleton<Reload>();
        services.AddSingleton<ConnectionPlaces>();
        services.AddSingleton(_ => database); // by a factory, so that the container lets go of it
        services.AddSingleton(_ => key); // by a factory, so that the container erases it
        services.AddSingleton(key.Seal);
        services.AddSingleton<WriteHealth>();
        services.AddSingleton(provider => database.CreateWriter(provider.GetRequiredService<WriteHealth>()));
        services.AddSingleton(database.CreateCredentials());
        services.AddSingleton<KnownApiKeys>();
        services.AddSingleton<Callers>();
        services.AddSingleton<NodeLatency>();
        services.AddSingleton<KnownNodes>();
        services.AddSingleton<NodeClock>();
        services.AddSingleton<NodeMessages>();
        services.AddSingleton<RefusedNodes>();
        services.AddHostedService(provider => provider.GetRequiredService<RefusedNodes>());
        services.AddSingleton<DroppedKeys>();
        services.AddSingleton<Enrolment>();
        services.AddSingleton<Heartbeat>();
        services.AddSingleton<Models>();
        services.AddSingleton<Ledger>();
        services.AddSingleton<Accounts>();
        services.AddSingleton(provider => new Administration(
            provider.GetRequiredService<Database>(), provider.GetRequiredService<IStateWriter>(), provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton<UsageTurns>();
        services.AddSingleton<OwnMoneyEndpoint>();
        services.AddSingleton<AdminEndpoints>();
        services.AddSingleton<SigningKeys>();
        services.AddHostedService(provider => provider.GetRequiredService<SigningKeys>());
        services.AddSingleton<VoucherCheck>();
        services.AddSingleton<UsageReportEndpoint>();
        services.AddSingleton<NodeConnections>();
        services.AddSingleton<NodeBundles>();
        services.AddSingleton<NodeProbe>();
        services.AddSingleton<NodeAddressEndpoint>();
        services.AddSingleton<NodeRelay>();
        services.AddSingleton(new BodyBudget(options.MaxBufferedBytes));
        // of who has no number to be counted by
        services.AddSingleton(provider => new BodyShare(provider.GetRequiredService<BodyBudget>(), options.MaxBufferedBytes));
        services.AddSingleton<InFlight>();
        services.AddSingleton<RefusedBytes>();
        services.AddSingleton<NodeListEndpoint>();
        services.AddSingleton<EvidenceEndpoint>();
        services.AddSingleton<CollateralEndpoint>();
        services.AddSingleton<RelayEndpoint>();
        services.AddSingleton<LockEndpoint>();
        services.AddSingleton<FiveFieldForm>();
        services.AddSingleton<Admission>();
        services.AddSingleton<ForeignChanges>();
        services.AddHostedService(provider => provider.GetRequiredService<ForeignChanges>());
        services.AddHostedService<WriteProbe>();
        services.AddSingleton<Sweeper>();
        services.AddHostedService(provider => provider.GetRequiredService<Sweeper>());
        services.Configure<HostOptions>(host => host.ShutdownTimeout = options.DrainTimeout);
    }

    private static void Listen(WebApplicationBuilder builder, ListenPoint listen, ListenSocket[] places) =>
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.BoundStrangers();
            kestrel.Limits.MaxRequestHeadersTotalSize = MaxHeaderBytes;
            kestrel.Limits.MinResponseDataRate = new MinDataRate(SlowestReaderBytesPerSecond, SlowestReaderGrace);
            foreach (var place in places)
                kestrel.Listen((IPEndPoint)place.Point, Configure);

            void Configure(ListenOptions point)
            {
                point.Use(kestrel.ApplicationServices.GetRequiredService<ConnectionPlaces>().Around);
                if (listen.Certificate is null)
                {
                    point.Protocols = HttpProtocols.Http1;
                    return;
                }

                point.Protocols = HttpProtocols.Http1AndHttp2;
                var certificate = kestrel.ApplicationServices.GetRequiredService<CertificateWatch>();
                point.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => ValueTask.FromResult(certificate.Current.Handshake) });
            }
        });

    private static void Log(WebApplicationBuilder builder)
    {
        ServerLog.Write(ServerLog.Listen(builder.Logging));
        builder.Logging.AddConfiguration(builder.Configuration.GetSection("Logging"));
    }
}
