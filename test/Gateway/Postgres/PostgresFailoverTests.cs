using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>spec/gateway.md section 9: a server goes while money moves, and comes back, or another takes its place. Each request is paid for once.</summary>
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

    [Fact]
    public async Task A_reservation_over_a_connection_that_has_ended_meanwhile_is_made_once_and_nobody_hears_of_it()
    {
        await using var gateway = await OpenAsync(server.Connection(name));
        for (var i = 0; i < 4; i++)
        {
            (await gateway.Ledger.ReserveAsync(Terms(RequestId.New()))).Reservation.ShouldNotBeNull();
            if (i == 2)
            {
                server.Execute("postgres", "CHECKPOINT"); // what a crash takes along is not what this is about
                server.Kill();
                await server.StartAgainAsync();
                continue;
            }

            server.Execute("postgres", $"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        }

        server.Execute(name, "SELECT held FROM users").ShouldBe(4 * Held);
        server.Execute(name, "SELECT COUNT(*) FROM reservations").ShouldBe(4L);
        health.IsGood.ShouldBeTrue();
    }

    [Fact]
    public async Task A_reservation_that_was_made_and_whose_answer_was_lost_is_said_to_be_neither_made_nor_another_ones()
    {
        await using var way = new CutWay(server.Port);
        await using var gateway = await OpenAsync($"Host=127.0.0.1;Port={way.Port};Database={name};Username=cchat");
        (await gateway.Ledger.ReserveAsync(Terms(RequestId.New()))).Reservation.ShouldNotBeNull();
        way.CutsNextAnswer = true;
        var request = RequestId.New();
        (await Should.ThrowAsync<GatewayStateException>(() => gateway.Ledger.ReserveAsync(Terms(request)))).Fault.ShouldBe(StateFault.Unreachable);
        server.Execute(name, "SELECT held FROM users").ShouldBe(2 * Held, "it was made, and waits for its deadline");

        // Whoever comes with its id now is another, and who comes with a new one is served.
        (await gateway.Ledger.ReserveAsync(Terms(request))).IsRepeated.ShouldBeTrue();
        (await gateway.Ledger.ReserveAsync(Terms(RequestId.New()))).Reservation.ShouldNotBeNull();
        server.Execute(name, "SELECT held FROM users").ShouldBe(3 * Held);
        health.IsGood.ShouldBeTrue();

        // What the server has not heard at all is made by the second try.
        way.CutsNextRequest = true;
        (await gateway.Ledger.ReserveAsync(Terms(RequestId.New()))).Reservation.ShouldNotBeNull();
        server.Execute(name, "SELECT held FROM users").ShouldBe(4 * Held);
    }

    [Fact]
    public async Task A_reservation_is_one_way_to_the_server_alone_and_among_many()
    {
        await using var way = new CutWay(server.Port);
        await using var gateway = await OpenAsync($"Host=127.0.0.1;Port={way.Port};Database={name};Username=cchat");
        (await gateway.Ledger.ReserveAsync(Terms(RequestId.New()))).Reservation.ShouldNotBeNull(); // connects
        foreach (var isFree in (bool[])[false, true, false, true])
        {
            var before = way.Requests;
            (await gateway.Ledger.ReserveAsync(Terms(RequestId.New(), isFree))).Reservation.ShouldNotBeNull();
            (way.Requests - before).ShouldBe(1);
        }

        await using var held = new NpgsqlConnection(server.Connection(name, ";Pooling=false"));
        await held.OpenAsync(TestContext.Current.CancellationToken);
        await RunAsync("BEGIN; UPDATE users SET name = name");
        var first = Task.Run(() => gateway.Ledger.ReserveAsync(Terms(RequestId.New())));
        await Waiting.UntilAsync(() => server.Execute(name, "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") is 1L);
        var others = Enumerable.Range(0, 50).Select(_ => Task.Run(() => gateway.Ledger.ReserveAsync(Terms(RequestId.New())))).ToList();
        await Task.Delay(300, TestContext.Current.CancellationToken);
        var together = way.Requests;
        await RunAsync("COMMIT");
        (await Task.WhenAll([first, .. others])).ShouldAllBe(outcome => outcome.Reservation != null);
        (way.Requests - together).ShouldBeLessThanOrEqualTo(3); // one, where all of them had come by then

        async Task RunAsync(string sql)
        {
            await using var command = new NpgsqlCommand(sql, held);
            await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }
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
        var report = new ReportedUsage(new UsageReport(request.Value, Model, Used, 0, 0), Signed: null);
        while (true)
        {
            try
            {
                return (await gateway.Ledger.SettleAsync(new NodeId(1), [report]))[0];
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
        // What was acknowledged is there, and changes nothing any more; reservations of the last second may have gone, and are nobody's.
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

    private static ReserveTerms Terms(RequestId request, bool isFree = false) => new()
    {
        User = new UserId(1),
        Node = new NodeId(1),
        Model = Model,
        Units = new ComputeUnits(Held),
        Request = request,
        Price = !isFree && UnitPrices.TryCreate(1_000_000, 1_000_000, 1_000_000, out var prices) ? new Price(new PriceId(1), prices) : null,
        Deadline = Deadline,
        IsAttested = false,
    };

    /// <summary>A way to a server that loses a word of one side, once, and its connection with it.</summary>
    private sealed class CutWay : IAsyncDisposable
    {
        private readonly TcpListener listener = new(IPAddress.Loopback, 0);
        private readonly ConcurrentBag<Socket> sockets = [];
        private int requests;

        public CutWay(int server)
        {
            listener.Start();
            _ = Task.Run(async () =>
            {
                while (true)
                {
                    var client = await listener.AcceptSocketAsync();
                    var there = new Socket(SocketType.Stream, ProtocolType.Tcp);
                    await there.ConnectAsync(IPAddress.Loopback, server);
                    sockets.Add(client);
                    sockets.Add(there);
                    _ = CopyAsync(client, there, () => Interlocked.Increment(ref requests) > 0 && CutsNextRequest && !(CutsNextRequest = false));
                    _ = CopyAsync(there, client, () => CutsNextAnswer && !(CutsNextAnswer = false));
                }
            });
        }

        public int Port => ((IPEndPoint)listener.LocalEndpoint).Port;

        /// <summary>Words of clients.</summary>
        public int Requests => Volatile.Read(ref requests);

        public bool CutsNextAnswer { get; set; }

        public bool CutsNextRequest { get; set; }

        public ValueTask DisposeAsync()
        {
            listener.Dispose();
            foreach (var socket in sockets)
                socket.Dispose();
            return default;
        }

        private static async Task CopyAsync(Socket from, Socket to, Func<bool> cuts)
        {
            var buffer = new byte[65536];
            try
            {
                while (await from.ReceiveAsync(buffer) is var read and > 0 && !cuts())
                    await to.SendAsync(buffer.AsMemory(0, read));
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // the other side is gone
            }

            from.Dispose();
            to.Dispose();
        }
    }

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
