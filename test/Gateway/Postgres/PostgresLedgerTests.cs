using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>spec/gateway.md sections 5 and 10, where two gateways write to one database at once: what SQLite's one writer cannot meet.</summary>
public sealed class PostgresLedgerTests : IAsyncLifetime
{
    private const string Model = "tiny";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(100);
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(10);
    private static readonly KeySetDigest KeySet = new(new byte[32]);

    private readonly FakeTimeProvider time = new(DateTimeOffset.FromUnixTimeMilliseconds(1_800_000_000_000));
    private readonly List<Gateway> gateways = [];
    private PostgresUnderTest server = null!;
    private string connection = null!;
    private PostgresDatabase database = null!;

    public async ValueTask InitializeAsync()
    {
        server = await PostgresUnderTest.SharedAsync();
        connection = server.CreateDatabase();
        Run("""
            INSERT INTO users (id, name, created_at) VALUES (1, 'alice', 0);
            INSERT INTO nodes (id, identity_key, address, ready, running, queued, signed_at, heard_at, unreachable, unreported) VALUES (1, 'A', '', TRUE, 0, 0, 0, 0, FALSE, 0)
            """);
        database = await PostgresDatabase.OpenAsync(PostgresServer.From(connection)!, null, default);
        for (var i = 0; i < 2; i++)
        {
            var writer = new PostgresWriter(database, new WriteHealth(TimeProvider.System, NullLogger<WriteHealth>.Instance));
            gateways.Add(new Gateway(writer, new Ledger(writer, time), new Accounts(writer, time)));
        }
    }

    public ValueTask DisposeAsync()
    {
        gateways.ForEach(gateway => gateway.Writer.Dispose());
        database.Dispose();
        server.Drop(connection);
        return default;
    }

    [Fact]
    public async Task One_report_that_comes_to_two_gateways_at_once_is_charged_once()
    {
        var price = await PriceAsync();
        await gateways[0].Accounts.DepositAsync(new UserId(1), new MicroDollars(1_000_000), "operator");
        for (var i = 0; i < 50; i++)
        {
            var reservation = (await gateways[i % 2].Ledger.ReserveAsync(Terms(100, price))).Reservation!;
            var outcomes = await Task.WhenAll(gateways.SelectMany(gateway => new[] { gateway, gateway }).Select(gateway => Task.Run(async () =>
                (await gateway.Ledger.SettleAsync(new NodeId(1), [Report(reservation, 30)]))[0])));
            outcomes.Order().ShouldBe([Settlement.Settled, Settlement.Repeated, Settlement.Repeated, Settlement.Repeated]);
        }

        Run("SELECT balance FROM users").ShouldBe(1_000_000 - 50 * 30L);
        Holds();
    }

    [Fact]
    public async Task One_lock_is_claimed_once_however_many_want_it()
    {
        for (var round = 0; round < 20; round++)
        {
            StackId id = default;
            for (var i = 0; i < 3; i++)
                id = (await gateways[0].Ledger.LockAsync(Terms(null))).Stack!.Value;
            var stack = (await gateways[0].Writer.RunAsync(rows => rows.Ledger.FindStackAsync(id)))!;
            var claims = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(() => gateways[i % 2].Ledger.ClaimAsync(
                RequestId.New(), stack, new LockedKeys(KeySet, IsAttested: false), new ComputeUnits(100), Deadline))));
            claims.Count(claim => claim.Reservation is not null).ShouldBe(3);
        }

        Holds();
    }

    [Fact]
    public async Task One_stack_and_one_price_are_made_once_and_a_balance_is_spent_once()
    {
        var prices = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(() => gateways[i % 2].Accounts.SetPriceAsync(
            new NodeId(1), Model, Prices(1_000_000 + i), "operator"))));
        prices.ShouldAllBe(isSet => isSet);
        Run("SELECT COUNT(*) FROM prices WHERE ended_at IS NULL").ShouldBe(1L);
        var price = await PriceAsync();
        await gateways[0].Accounts.DepositAsync(new UserId(1), new MicroDollars(1000), "operator");
        var reserved = await Task.WhenAll(Enumerable.Range(0, 16).Select(i => Task.Run(() => gateways[i % 2].Ledger.ReserveAsync(Terms(250, price)))));
        reserved.Count(outcome => outcome.Reservation is not null).ShouldBe(4);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(() => gateways[i % 2].Ledger.LockAsync(Terms(null)))));
        Run("SELECT COUNT(*) FROM stacks").ShouldBe(1L);
        var deposits = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(() => gateways[i % 2].Accounts.DepositAsync(
            new UserId(1), new MicroDollars(7), "operator", "invoice 1"))));
        deposits.Count(movement => movement.Outcome is MovementOutcome.Done).ShouldBe(1);
        Holds();
    }

    [Fact]
    public async Task One_id_that_many_reserve_under_at_two_gateways_at_once_is_one_requests()
    {
        var price = await PriceAsync();
        await gateways[0].Accounts.DepositAsync(new UserId(1), new MicroDollars(1_000_000), "operator");
        for (var i = 0; i < 40; i++)
        {
            var terms = Terms(100, i % 2 == 0 ? price : null);
            var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(() => gateways[worker % 2].Ledger.ReserveAsync(terms))));
            outcomes.Count(outcome => outcome.Reservation is not null).ShouldBe(1);
            outcomes.Count(outcome => outcome.IsRepeated).ShouldBe(7);
        }

        Run("SELECT held FROM users").ShouldBe(20 * 100L);
        Holds();
    }

    [Fact]
    public async Task Who_is_refused_among_many_that_are_written_together_hears_why_and_the_others_are_held()
    {
        var price = await PriceAsync();
        await gateways[0].Accounts.DepositAsync(new UserId(1), new MicroDollars(1000), "operator");
        var taken = Terms(100, price);
        (await gateways[0].Ledger.ReserveAsync(taken)).Reservation.ShouldNotBeNull();
        await using var held = new Npgsql.NpgsqlConnection(connection);
        await held.OpenAsync(TestContext.Current.CancellationToken);
        await using (var command = new Npgsql.NpgsqlCommand("BEGIN; UPDATE users SET name = name WHERE id = 1", held))
            await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        var waiting = Task.Run(() => gateways[0].Ledger.ReserveAsync(Terms(100, price)));
        await Task.Delay(200, TestContext.Current.CancellationToken); // so that the others come together behind it
        var others = Enumerable.Range(0, 9).Select(i => i == 4 ? taken : Terms(i == 7 ? 5000 : 100, price))
            .Select(terms => Task.Run(() => gateways[0].Ledger.ReserveAsync(terms))).ToList();
        await Task.Delay(200, TestContext.Current.CancellationToken);
        await using (var command = new Npgsql.NpgsqlCommand("ROLLBACK", held))
            await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        (await waiting.WaitAsync(Patience)).Reservation.ShouldNotBeNull();
        var outcomes = await Task.WhenAll(others).WaitAsync(Patience);
        outcomes.Count(outcome => outcome.Reservation is not null).ShouldBe(7);
        outcomes[4].IsRepeated.ShouldBeTrue();
        outcomes[7].Shortfall!.Needed.Value.ShouldBe(5000);
        Run("SELECT held FROM users").ShouldBe(900L);
        Holds();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Two_gateways_at_once_never_leave_the_rules(int seed)
    {
        var price = await PriceAsync();
        await gateways[0].Accounts.DepositAsync(new UserId(1), new MicroDollars(3000), "operator");
        var known = new System.Collections.Concurrent.ConcurrentBag<Reservation>();
        var steps = Tree.Slow ? 5000 : 150;
        var ends = Task.WhenAll(Enumerable.Range(0, 6).Select(worker => Task.Run(async () =>
        {
            var walk = new Random((seed * 100) + worker);
            var gateway = gateways[worker % 2];
            Stack? stack = null;
            for (var step = 0; step < steps; step++)
            {
                var reservation = known.ToArray() is { Length: > 0 } all ? all[walk.Next(all.Length)] : null;
                switch (walk.Next(12))
                {
                    case 0 or 1 or 2:
                        if ((await gateway.Ledger.ReserveAsync(Terms(walk.Next(1, 400), price))).Reservation is { } reserved)
                            known.Add(reserved);
                        break;
                    case 3 or 4:
                        if ((await gateway.Ledger.LockAsync(Terms(walk.Next(3) == 0 ? price : null))).Stack is { } locked)
                            stack = await gateway.Writer.RunAsync(rows => rows.Ledger.FindStackAsync(locked));
                        break;
                    case 5 or 6 when stack is not null:
                        var need = new ComputeUnits(walk.Next(1, 300));
                        var claim = await gateway.Ledger.ClaimAsync(RequestId.New(), stack, new LockedKeys(KeySet, IsAttested: false), need, Deadline);
                        if (claim.Reservation is { } claimed)
                            known.Add(claimed);
                        break;
                    case 7 or 8 when reservation is not null:
                        await gateway.Ledger.SettleAsync(new NodeId(1), [Report(reservation, walk.Next(500))]);
                        break;
                    case 9 when reservation is not null:
                        await gateway.Ledger.ReturnAsync(reservation, release: walk.Next(2) == 0);
                        break;
                    case 10:
                        time.Advance(walk.Next(20) == 0 ? Deadline : TimeSpan.FromSeconds(1));
                        await gateway.Ledger.SweepAsync([], Deadline, TimeSpan.FromDays(30), refunds: true);
                        break;
                    case 11:
                        await gateway.Accounts.DepositAsync(new UserId(1), new MicroDollars(walk.Next(1, 200)), "operator");
                        break;
                }
            }
        })));
        while (!ends.IsCompleted)
        {
            Holds();
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }

        await ends.WaitAsync(Patience);
        time.Advance(Deadline * 2);
        await gateways[0].Ledger.SweepAsync([], Deadline, TimeSpan.FromDays(30), refunds: true);
        Holds();
        Run("SELECT held FROM users").ShouldBe(0L);
        Run("SELECT SUM(reserved)::bigint FROM stacks").ShouldBe(0L);
        Run("SELECT SUM(open_locks)::bigint FROM stacks").ShouldBe(0L);
    }

    // At one moment: by one statement.
    private void Holds() => Run("""
        SELECT COALESCE(STRING_AGG(what, '; '), '') FROM (
            SELECT 'balance' AS what FROM users u WHERE balance <> (SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE user_id = u.id)
            UNION ALL SELECT 'held' FROM users u WHERE held <> (SELECT COALESCE(SUM(held_money), 0) FROM reservations WHERE user_id = u.id AND state = 'held')
            UNION ALL SELECT 'used' FROM stacks s WHERE used <> (
                SELECT COALESCE(SUM(charged_prompt + charged_completion + charged_pixels), 0)
                FROM settlements JOIN reservations r USING (request_id) WHERE r.stack_id = s.id)
            UNION ALL SELECT 'reserved' FROM stacks s WHERE reserved <>
                (SELECT COALESCE(SUM(held), 0) FROM reservations r WHERE r.stack_id = s.id AND state = 'held')
                + (SELECT COALESCE(SUM(units), 0) FROM locks l WHERE l.stack_id = s.id AND state IN ('open', 'returned'))
            UNION ALL SELECT 'locks' FROM stacks s WHERE open_locks <> (SELECT COUNT(*) FROM locks l WHERE l.stack_id = s.id AND state IN ('open', 'returned'))
            UNION ALL SELECT 'money' FROM users u WHERE balance < held OR (SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE kind IN ('settlement', 'correction')) * -1000000 + carry <> (
                SELECT COALESCE(SUM(charged_prompt * p.prompt + charged_completion * p.completion + charged_pixels * p.image), 0)
                FROM settlements JOIN reservations r USING (request_id) JOIN prices p ON p.id = r.price_id WHERE r.stack_id IS NULL)
        ) AS broken
        """).ShouldBe("");

    private static UnitPrices Prices(long each) =>
        UnitPrices.TryCreate(each, each, each, out var prices) ? prices : throw new ArgumentOutOfRangeException(nameof(each));

    // A micro-dollar for each unit.
    private async Task<Price> PriceAsync()
    {
        (await gateways[0].Accounts.SetPriceAsync(new NodeId(1), Model, Prices(1_000_000), "operator")).ShouldBeTrue();
        return (await gateways[0].Writer.RunAsync(rows => rows.Ledger.CurrentPriceAsync(new NodeId(1), Model)))!;
    }

    private static ReserveTerms Terms(long units, Price? price) => new()
    {
        User = new UserId(1),
        Node = new NodeId(1),
        Model = Model,
        Units = new ComputeUnits(units),
        Request = RequestId.New(),
        Price = price,
        Deadline = Deadline,
        IsAttested = false,
    };

    private static LockTerms Terms(Price? price) => new()
    {
        User = new UserId(1),
        Node = new NodeId(1),
        Model = Model,
        KeySet = KeySet,
        Units = new ComputeUnits(100),
        Lifetime = TimeSpan.FromSeconds(5),
        StackTotal = new ComputeUnits(10_000),
        MaxOpen = 20,
        Price = price,
    };

    private static ReportedUsage Report(Reservation reservation, long prompt) =>
        new(new UsageReport(reservation.Request.Value, Model, prompt, 0, 0), Signed: null);

    private object? Run(string sql) => PostgresUnderTest.ExecuteAt(connection, sql);

    private sealed record Gateway(PostgresWriter Writer, Ledger Ledger, Accounts Accounts);
}
