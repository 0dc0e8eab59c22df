using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.Tests.Postgres;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>A real gateway on a free port, with a directory of its own and a clock that the test moves.</summary>
internal sealed class GatewayUnderTest : IAsyncDisposable
{
    public const string ChatPath = "/v1/confidential/chat/completions";
    public const string Model = "test-model";

    private readonly string directory;
    private readonly PostgresUnderTest? ownServer;

    private GatewayUnderTest(
        WebApplication app, GatewayOperator gatewayOperator, SettableClock clock, GatewayOptions options, string directory, PostgresUnderTest? ownServer,
        CapturedLog log)
    {
        this.ownServer = ownServer;
        Postgres = options.Postgres;
        App = app;
        Operator = gatewayOperator;
        Clock = clock;
        Log = log;
        DataDirectory = options.DataDirectory;
        this.directory = directory;
        Url = new Uri(app.Urls.First());
    }

    public WebApplication App { get; }

    public GatewayOperator Operator { get; }

    public SettableClock Clock { get; }

    public CapturedLog Log { get; }

    public Uri Url { get; }

    public string DataDirectory { get; }

    /// <summary>The connection; null where the state is in a file.</summary>
    public string? Postgres { get; }

    public static async Task<GatewayUnderTest> StartAsync(Func<GatewayOptions, GatewayOptions>? change = null)
    {
        var directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;
        var clock = new SettableClock(DateTimeOffset.UtcNow);
        var log = new CapturedLog();
        var options = new GatewayOptions { DataDirectory = Path.Combine(directory, "data"), Port = 0, DrainTimeout = TimeSpan.FromSeconds(5) };
        options = change?.Invoke(options) ?? options;
        var server = options.Postgres is null && StateEngine.IsPostgres ? await PostgresUnderTest.SharedAsync() : null;
        if (server is not null)
            options = options with { Postgres = server.CreateDatabase() };
        var app = await GatewayHost.CreateAsync(options, builder =>
        {
            builder.Services.AddSingleton<TimeProvider>(clock);
            builder.Logging.ClearProviders().AddProvider(log);
        });
        await app.StartAsync();
        return new GatewayUnderTest(
            app, await GatewayOperator.OpenAsync(options.DataDirectory, clock, postgres: options.Postgres), clock, options, directory, server, log);
    }

    /// <summary>A client that shows a good key.</summary>
    public async Task<HttpClient> UserAsync(string name = "alice") => Client(await KeyAsync(name));

    /// <summary>The API key of a new user.</summary>
    public async Task<string> KeyAsync(string name = "alice")
    {
        var key = (await Operator.CreateUserAsync(name))!.Text;
        await NoticeAsync();
        return key;
    }

    /// <summary>What was done past the gateway is noticed within a second; here at once.</summary>
    public Task NoticeAsync() => App.Services.GetRequiredService<ForeignChanges>().LookAsync();

    /// <summary>A client; one that hangs up at once does not read on for what it no longer wants, as .NET's would by default.</summary>
    public HttpClient Client(string? key = null, bool hangsUpAtOnce = false)
    {
        var handler = new SocketsHttpHandler();
        if (hangsUpAtOnce)
            (handler.ResponseDrainTimeout, handler.MaxResponseDrainSize) = (TimeSpan.Zero, 0);
        var client = new HttpClient(handler) { BaseAddress = Url };
        if (key is not null)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        return client;
    }

    public async Task<T> ReadAsync<T>(Func<GatewayDbContext, Task<T>> query)
    {
        await App.Services.GetRequiredService<IStateWriter>().RunAsync(_ => ValueTask.FromResult(true)); // what is written lazily
        await using var state = App.Services.GetRequiredService<Database>().CreateContext();
        return await query(state);
    }

    public Task<StackRow> StackAsync() => ReadAsync(state => state.Stacks.AsNoTracking().SingleAsync());

    /// <summary>Units of all users: those that were charged, and those that running requests and open locks hold.</summary>
    public Task<(long Used, long Reserved)> UnitsAsync() => ReadAsync(async state => (
        await state.Settlements.SumAsync(row => row.ChargedPrompt + row.ChargedCompletion + row.ChargedPixels),
        await state.Reservations.Where(row => row.State == "held").SumAsync(row => row.Held)));

    /// <summary>Micro-dollars of the one user.</summary>
    public Task<(long Balance, long Held)> FundsAsync() => ReadAsync(async state =>
        (await state.Users.AsNoTracking().SingleAsync()) is var user ? (user.Balance, user.Held) : default);

    public Task<List<LedgerRow>> LedgerAsync() => ReadAsync(state => state.Ledger.AsNoTracking().OrderBy(row => row.Id).ToListAsync());

    /// <summary>To the first user.</summary>
    public async Task DepositAsync(long amount) =>
        (await Accounts.DepositAsync(new UserId(1), new MicroDollars(amount), "operator")).Outcome.ShouldBe(MovementOutcome.Done);

    /// <summary>Micro-dollars for a million units of each kind.</summary>
    public async Task SetPriceAsync(ScriptedNode node, long prompt, long completion, long image = 0)
    {
        UnitPrices.TryCreate(prompt, completion, image, out var prices).ShouldBeTrue();
        (await Accounts.SetPriceAsync(new NodeId(node.Id), Model, prices, "operator")).ShouldBeTrue();
        await App.Services.GetRequiredService<KnownNodes>().ReloadAsync();
    }

    public Accounts Accounts => App.Services.GetRequiredService<Accounts>();

    public Task<LockRow> LastLockAsync() => ReadAsync(state => state.Locks.AsNoTracking().OrderBy(row => row.Id).LastAsync());

    public Task<List<ReservationRow>> ReservationsAsync() => ReadAsync(state => state.Reservations.AsNoTracking().ToListAsync());

    public Task SweepAsync() => App.Services.GetRequiredService<ConfidentialChat.Gateway.Metering.Sweeper>().SweepAsync();

    public async ValueTask DisposeAsync()
    {
        await App.StopAsync();
        await App.DisposeAsync();
        Directory.Delete(directory, recursive: true);
        ownServer?.Drop(Postgres!);
    }
}

internal static class Http
{
    public static StringContent Json(string json) => new(json, new UTF8Encoding(false), "application/json");

    public static ByteArrayContent Json(byte[] json) => new(json) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };

    /// <summary>Asks for an error in its one shape.</summary>
    public static async Task ShouldBeErrorAsync(this HttpResponseMessage response, int status, string code, string? param = null)
    {
        var body = await response.Content.ReadAsStringAsync();
        ((int)response.StatusCode, body.Contains($"\"{code}\"", StringComparison.Ordinal)).ShouldBe((status, true), $"{(int)response.StatusCode} {body}");
        response.Content.Headers.ContentType!.ToString().ShouldBe("application/json");
        using var document = JsonDocument.Parse(body);
        var error = document.RootElement.GetProperty("error");
        error.GetProperty("code").GetString().ShouldBe(code);
        error.GetProperty("message").GetString().ShouldNotBeNullOrEmpty();
        (error.TryGetProperty("param", out var named) ? named.GetString() : null).ShouldBe(param);
        response.Headers.Contains("Server").ShouldBeFalse();
        response.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
        if (status == 401)
            response.Headers.WwwAuthenticate.ToString().ShouldBe("Bearer");
        if (status is 429 or 503)
            response.Headers.RetryAfter!.Delta.ShouldNotBeNull();
    }

    public static async Task<JsonElement> JsonAsync(this HttpResponseMessage response)
    {
        response.StatusCode.ShouldBe(HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
        return JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
    }
}
