using System.Collections.Concurrent;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>spec/gateway.md section 9 rule 6: a server goes while money moves, and comes back, or another takes its place. Each of them is paid for once.</summary>
public sealed class PostgresFailoverTests : IAsyncLifetime
{
    private const string Model = "tiny";
    private const long Deposit = 1_000_000_000;
    private const long Held = 500;
    private const long Used = 30; // micro-dollars, as units
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(10);

    private readonly WriteHealth health = new(TimeProvider.System, NullLogger<WriteHealth>.Instance);
    private readonly ConcurrentDictionary<RequestId, Settlement> acknowledged = new();
    private int refused, repeated;
    private PostgresUnderTest server = null!;
    private string name = null!;

    public async ValueTask InitializeAsync()
    {
        server = await PostgresUnderTest.StartAsync();
        var connection = server.CreateDatabase();
        name = new NpgsqlConnectionStringBuilder(connection).Database!;
        PostgresUnderTest.ExecuteAt(connection, $"""
            INSERT INTO users (id, name, created_at, balance) VALUES (1, 'alice', 0, {Deposit});
            INSERT INTO ledger (user_id, kind, amount, carry, created_at) VALUES (1, 'deposit', {Deposit}, 0, 0);
            INSERT INTO nodes (id, identity_key, address, ready, running, queued, signed_at, heard_at, unreachable, unreported) VALUES (1, 'A', '', TRUE, 0, 0, 0, 0, FALSE, 0);
            INSERT INTO prices (id, node_id, model, prompt, completion, image, valid_from, set_by) VALUES (1, 1, '{Model}', 1000000, 1000000, 1000000, 0, 'operator')
            """);
    }

    public async ValueTask DisposeAsync() => await server.DisposeAsync();

    [Fact]
    public async Task A_server_that_crashes_and_starts_anew_charges_each_report_once_and_holds_nothing_for_nobody()
    {
        await using var gateway = await OpenAsync(server.Connection(name));
        await UnderLoadAsync(gateway, async () =>
        {
            for (var i = 0; i < 3; i++)
            {
                server.Kill();
                await Task.Delay(100, TestContext.Current.CancellationToken);
                await server.StartAgainAsync();
                await MovesAsync();
            }
        });
        await HoldsAsync(gateway, server);
    }

    [Fact]
    public async Task A_standby_that_is_promoted_serves_on_and_has_all_that_was_acknowledged()
    {
        await using var standby = await server.StartStandbyAsync();
        await using var gateway = await OpenAsync($"Host=127.0.0.1:{server.Port},127.0.0.1:{standby.Port};Database={name};Username=cchat;Timeout=5");
        await UnderLoadAsync(gateway, async () =>
        {
            server.Kill();
            await Task.Delay(200, TestContext.Current.CancellationToken);
            standby.Promote();
            await MovesAsync();
        });
        await HoldsAsync(gateway, standby);
    }

    // Requests one after another on each of some threads: a node that repeats its report until it is acknowledged.
    private async Task UnderLoadAsync(Gateway gateway, Func<Task> change)
    {
        using var done = new CancellationTokenSource();
        var load = Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                var request = RequestId.New();
                try
                {
                    (await gateway.Ledger.ReserveAsync(Terms(request))).Reservation.ShouldNotBeNull();
                }
                catch (GatewayStateException)
                {
                    Interlocked.Increment(ref refused);
                    await Task.Delay(10);
                    continue;
                }

                acknowledged[request] = await ReportAsync(gateway, request);
            }
        })));
        await MovesAsync();
        await change();
        await done.CancelAsync();
        await load.WaitAsync(TimeSpan.FromSeconds(60));
    }

    private async Task<Settlement> ReportAsync(Gateway gateway, RequestId request)
    {
        while (true)
        {
            try
            {
                return (await gateway.Ledger.SettleAsync(new NodeId(1), [new ReportedUsage(new UsageReport(request.Value, Model, Used, 0, 0), Signed: null)]))[0];
            }
            catch (GatewayStateException)
            {
                Interlocked.Increment(ref repeated);
                await Task.Delay(10);
            }
        }
    }

    private async Task MovesAsync()
    {
        var before = acknowledged.Count;
        await Waiting.UntilAsync(() => acknowledged.Count > before + 50);
    }

    private async Task HoldsAsync(Gateway gateway, PostgresUnderTest at)
    {
        // What was acknowledged is there, and changes nothing any more; reservations of the last second may have gone with the server, and are nobody's.
        (refused + repeated).ShouldBeGreaterThan(0);
        var lost = acknowledged.Count(one => one.Value is Settlement.Unknown);
        acknowledged.Values.ShouldAllBe(one => one == Settlement.Settled || one == Settlement.Repeated || one == Settlement.Unknown);
        lost.ShouldBeLessThan(acknowledged.Count / 2);
        foreach (var (request, outcome) in acknowledged)
            (await ReportAsync(gateway, request)).ShouldBe(outcome is Settlement.Unknown ? Settlement.Unknown : Settlement.Repeated);
        var settled = (long)at.Execute(name, "SELECT COUNT(*) FROM settlements")!;
        settled.ShouldBe(acknowledged.Count - lost);
        at.Execute(name, "SELECT balance FROM users").ShouldBe(Deposit - (settled * Used));
        at.Execute(name, "SELECT SUM(amount)::bigint FROM ledger").ShouldBe(Deposit - (settled * Used));

        // Whose answer was lost may have been made: it waits for its deadline, and nothing else is held.
        var waiting = (long)at.Execute(name, "SELECT COUNT(*) FROM reservations WHERE state = 'held'")!;
        waiting.ShouldBeLessThanOrEqualTo(refused);
        at.Execute(name, "SELECT held FROM users").ShouldBe(waiting * Held);
        health.IsGood.ShouldBeTrue();
    }

    private async Task<Gateway> OpenAsync(string connection)
    {
        var database = await PostgresDatabase.OpenAsync(PostgresServer.From(connection)!, null, default);
        var writer = new PostgresWriter(database, health);
        var ledger = new Ledger(writer, TimeProvider.System);
        return new Gateway(database, writer, ledger);
    }

    private static ReserveTerms Terms(RequestId request) => new()
    {
        User = new UserId(1),
        Node = new NodeId(1),
        Model = Model,
        Units = new ComputeUnits(Held),
        Request = request,
        Price = UnitPrices.TryCreate(1_000_000, 1_000_000, 1_000_000, out var prices) ? new Price(new PriceId(1), prices) : null,
        Deadline = Deadline,
        IsAttested = false,
    };

    private sealed record Gateway(PostgresDatabase Database, PostgresWriter Writer, Ledger Ledger) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            Writer.Dispose();
            Database.Dispose();
            return default;
        }
    }
}
