using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Gateway.Tests.Postgres;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Gateway.Tests.Metering;

/// <summary>The ledger on a real SQLite file or PostgreSQL server beside its reference: every step is made on both, and then all rows are compared.</summary>
internal sealed class LedgerUnderTest : IAsyncDisposable
{
    public const string Model = "tiny";
    private const string Rules = """
        SELECT balance, held, carry,
               (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM ledger WHERE user_id = u.id),
               (SELECT CAST(COALESCE(SUM(held_money), 0) AS BIGINT) FROM reservations WHERE user_id = u.id AND state = 'held'),
               (SELECT COUNT(*) FROM stacks WHERE used < 0 OR reserved < 0 OR used + reserved > total)
        FROM users u WHERE id = 1
        """;

    public static readonly TimeSpan ReportDeadline = TimeSpan.FromMinutes(10);

    private static readonly KeySetDigest KeySet = new(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());

    private readonly string directory;
    private readonly Database database;
    private IStateWriter writer;
    private readonly List<string> steps = [];
    private Price? price;
    private int prices;
    private GatewayDbContext? check;
    private System.Data.Common.DbCommand? rules;
    private ReferenceLedger reference;
    private readonly int maxOpen;
    private Stack? stack;
    private readonly Dictionary<StackId, ReferenceLedger.Stack> stacks = [];

    private LedgerUnderTest(string directory, Database database, long total, int maxOpen)
    {
        (this.directory, this.database, this.maxOpen) = (directory, database, maxOpen);
        (writer, Ledger, Accounts) = Start();
        reference = Fresh(total, maxOpen);
    }

    public FakeTimeProvider Time { get; } = new(DateTimeOffset.FromUnixTimeMilliseconds(1_800_000_000_000));

    public Ledger Ledger { get; private set; }

    public Accounts Accounts { get; private set; }

    public ReferenceLedger Reference => reference;

    /// <summary>Whether each step is followed by a comparison of all rows; else by one of what must hold at every moment.</summary>
    public bool ComparesAll { get; set; } = true;

    private long Now => Time.GetUtcNow().ToUnixTimeMilliseconds();

    public static async Task<LedgerUnderTest> OpenAsync(long total = 1000, int maxOpen = 4)
    {
        var directory = Directory.CreateTempSubdirectory("ledger-test-").FullName;
        var server = StateEngine.IsPostgres ? PostgresServer.From((await PostgresUnderTest.SharedAsync()).CreateDatabase()) : null;
        var database = await Database.OpenAsync(DataDirectory.Open(directory, server), isOccupied: false, null, default);
        await using (var state = database.CreateContext())
        {
            state.Users.Add(new UserRow { Id = 1, Name = "alice", CreatedAt = DateTimeOffset.UnixEpoch });
            state.Nodes.Add(new NodeRow { Id = 1, IdentityKey = "A", Address = "http://127.0.0.1" });
            state.Nodes.Add(new NodeRow { Id = 2, IdentityKey = "B", Address = "http://127.0.0.1" });
            await state.SaveChangesAsync();
        }

        return new LedgerUnderTest(directory, database, total, maxOpen);
    }

    /// <summary>Begins anew with empty tables, which costs less than a database of its own.</summary>
    public async Task RestartAsync(long total)
    {
        await using var state = database.CreateContext();
        await state.Database.ExecuteSqlRawAsync("""
            DELETE FROM ledger; DELETE FROM audit; DELETE FROM settlements; DELETE FROM reservations; DELETE FROM locks; DELETE FROM stacks;
            DELETE FROM prices; UPDATE users SET balance = 0, held = 0, carry = 0; UPDATE nodes SET unreported = 0, removed_at = NULL
            """);
        reference = Fresh(total, maxOpen);
        (stack, price, prices) = (null, null, 0);
        steps.Clear();
    }

    /// <summary>The process dies and comes back: what it had in memory is gone.</summary>
    public async Task CrashAsync()
    {
        steps.Add("crash");
        ((IDisposable)writer).Dispose();
        database.SpendAbandoned();
        (writer, Ledger, Accounts) = Start();
        reference.Crash();
        await CompareAsync();
    }

    public async Task<MovementOutcome> DepositAsync(long amount, string? payment = null)
    {
        steps.Add($"deposit {amount} {payment}");
        var (outcome, _) = await Accounts.DepositAsync(new UserId(1), new MicroDollars(amount), "operator", payment);
        if (outcome is not MovementOutcome.Repeated)
            (outcome is MovementOutcome.Done).ShouldBe(reference.Move("deposit", amount), Steps);
        await CompareAsync();
        return outcome;
    }

    public async Task CorrectAsync(long amount)
    {
        steps.Add($"correct by {amount}");
        var outcome = await Accounts.CorrectAsync(new UserId(1), new MicroDollars(Math.Abs(amount)), amount > 0, "operator");
        (outcome.Outcome is MovementOutcome.Done).ShouldBe(reference.Move("correction", amount), Steps);
        await CompareAsync();
    }

    /// <summary>Null is free.</summary>
    public async Task SetPriceAsync(UnitPrices? to)
    {
        steps.Add($"price {to}");
        (await Accounts.SetPriceAsync(new NodeId(1), Model, to, "operator")).ShouldBeTrue();
        if (to is null || to != price?.Units)
            reference.Price = to is { } set ? new(++prices, set.Prompt.Value, set.Completion.Value, set.Image.Value) : null;
        price = await writer.RunAsync(rows => rows.Ledger.CurrentPriceAsync(new NodeId(1), Model));
        await CompareAsync();
    }

    public async Task RemoveNodeAsync(bool isRemoved = true)
    {
        steps.Add(isRemoved ? "node removed" : "node enrolled");
        await using (var state = database.CreateContext())
        {
            DateTimeOffset? at = isRemoved ? Time.GetUtcNow() : null;
            await state.Nodes.Where(node => node.Id == 1).ExecuteUpdateAsync(node => node.SetProperty(row => row.RemovedAt, at));
        }

        reference.IsNodeRemoved = isRemoved;
        await CompareAsync();
    }

    public async Task PassAsync(TimeSpan time)
    {
        steps.Add($"{time} pass");
        Time.Advance(time);
        await CompareAsync();
    }

    /// <summary>Somebody sets the clock.</summary>
    public async Task JumpAsync(TimeSpan by)
    {
        steps.Add($"{by} jump");
        Time.AdjustTime(Time.GetUtcNow() + by);
        await CompareAsync();
    }

    public async Task LockAsync(long units = 100, long lifetimeMs = 5000)
    {
        steps.Add($"lock {units} for {lifetimeMs} ms");
        var outcome = await Ledger.LockAsync(new LockTerms
        {
            User = new UserId(1),
            Node = new NodeId(1),
            Model = Model,
            KeySet = KeySet,
            Units = new ComputeUnits(units),
            Lifetime = TimeSpan.FromMilliseconds(lifetimeMs),
            Price = price,
            StackTotal = new ComputeUnits(reference.Total),
            MaxOpen = maxOpen,
        });
        (outcome.Stack is not null ? "held" : outcome.TooManyOpen ? "too many" : outcome.Shortfall is not null ? "poor" : "full")
            .ShouldBe(reference.LockUnits(units, lifetimeMs, Now, out var expected), Steps);
        if (outcome.Stack is { } id)
        {
            stack = new Stack(id, new UserId(1), new NodeId(1), Model, price);
            stacks[id] = expected;
        }

        await CompareAsync();
    }

    /// <summary>Null where both agree that there is nothing to claim.</summary>
    public async Task<Request?> ClaimAsync(long need = 150)
    {
        steps.Add($"claim {need}");
        if (stack is null)
            return null;
        var (claimed, _) = await Ledger.ClaimAsync(
            RequestId.New(), stack, new LockedKeys(KeySet, IsAttested: false), new ComputeUnits(need), ReportDeadline);
        var expected = reference.Claim(stacks[stack.Id], need, Now);
        (claimed?.Held.Value == expected?.Held).ShouldBeTrue(Steps);
        (claimed is null).ShouldBe(expected is null, Steps);
        await CompareAsync();
        return claimed is null ? null : new Request(claimed, expected!);
    }

    /// <summary>Null where both agree that there is no room.</summary>
    public async Task<Request?> ReserveAsync(long units = 150, RequestId? request = null)
    {
        steps.Add($"reserve {units}");
        var outcome = await Ledger.ReserveAsync(Terms(units, request ?? RequestId.New()));
        var expected = reference.Reserve(units, Now);
        outcome.IsRepeated.ShouldBeFalse(Steps);
        (outcome.Reservation?.Held.Value).ShouldBe(expected?.Held, Steps);
        (outcome.Shortfall is null).ShouldBe(expected is not null, Steps);
        await CompareAsync();
        return outcome.Reservation is null ? null : new Request(outcome.Reservation, expected!);
    }

    /// <summary>A request under an id that another has, which changes nothing.</summary>
    public async Task RepeatAsync(Request request)
    {
        steps.Add("reserve again");
        if (request.Expected.Lock is null && price is null)
            (await Ledger.ReserveAsync(Terms(1, request.Reservation.Request))).IsRepeated.ShouldBeTrue(Steps);
        var repeated = await Ledger.ReserveAsync(Terms(1, request.Reservation.Request));
        repeated.Reservation.ShouldBeNull();
        (repeated.IsRepeated || repeated.Shortfall is not null).ShouldBeTrue(Steps);
        await CompareAsync();
    }

    public async Task SpendAsync(Request request)
    {
        steps.Add("spend");
        Ledger.Spend(request.Reservation);
        reference.Spend(request.Expected);
        await CompareAsync();
    }

    public async Task ReturnAsync(Request request, bool release)
    {
        steps.Add(release ? "refused" : "cut off");
        await Ledger.ReturnAsync(request.Reservation, release);
        reference.Return(request.Expected, release, Now);
        await CompareAsync();
    }

    public async Task ReportAsync(Request request, long prompt, long completion = 0, long pixels = 0)
    {
        steps.Add($"report {prompt} + {completion} + {pixels}");
        var report = new UsageReport(request.Reservation.Request.Value, Model, prompt, completion, pixels);
        await Ledger.SettleAsync(new NodeId(1), [new ReportedUsage(report, Signed: null)]);
        reference.Report(request.Expected, prompt, completion, pixels);
        await CompareAsync();
    }

    /// <summary>A report that is another node's or another model's.</summary>
    public async Task ReportWronglyAsync(Request request, long node, string model)
    {
        steps.Add($"report of node {node} for {model}");
        var report = new UsageReport(request.Reservation.Request.Value, model, 1, 1, 0);
        (await Ledger.SettleAsync(new NodeId(node), [new ReportedUsage(report, Signed: null)])).ShouldBe([Settlement.Unknown]);
        await CompareAsync();
    }

    public async Task SweepAsync(params Request[] running)
    {
        steps.Add($"sweep, {running.Length} running");
        await Ledger.SweepAsync([.. running.Select(request => request.Reservation.Request)], ReportDeadline, TimeSpan.FromDays(30), refunds: true);
        reference.Sweep([.. running.Select(request => request.Expected)], Now);
        await CompareAsync();
    }

    public async ValueTask DisposeAsync()
    {
        ((IDisposable)writer).Dispose();
        if (rules is not null)
            await rules.DisposeAsync();
        if (check is not null)
            await check.DisposeAsync();
        database.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    private ReserveTerms Terms(long units, RequestId request) => new()
    {
        User = new UserId(1),
        Node = new NodeId(1),
        Model = Model,
        Units = new ComputeUnits(units),
        Request = request,
        Price = price,
        Deadline = ReportDeadline,
        IsAttested = false,
    };

    private string Steps => string.Join("; ", steps);

    private static ReferenceLedger Fresh(long total, int maxOpen) => new(total, maxOpen, (long)ReportDeadline.TotalMilliseconds);

    private (IStateWriter Writer, Ledger Ledger, Accounts Accounts) Start()
    {
        var started = database.CreateWriter(new WriteHealth(Time, NullLogger<WriteHealth>.Instance));
        return (started, new Ledger(started, Time), new Accounts(started, Time));
    }

    private Task CompareAsync() => ComparesAll ? CompareAllAsync() : CheckAsync();

    // What has to hold at every moment, by one statement that every engine knows.
    private async Task CheckAsync()
    {
        await writer.RunAsync(_ => ValueTask.FromResult(true)); // what is written lazily
        if (check is null)
        {
            check = database.CreateContext();
            await check.Database.OpenConnectionAsync();
            rules = check.Database.GetDbConnection().CreateCommand();
            rules.CommandText = Rules;
        }

        await using var row = await rules!.ExecuteReaderAsync();
        (await row.ReadAsync()).ShouldBeTrue();
        (row.GetInt64(0), row.GetInt64(1), row.GetInt64(2)).ShouldBe((reference.Balance, reference.Held, reference.Carry), Steps);
        row.GetInt64(3).ShouldBe(row.GetInt64(0), Steps);
        row.GetInt64(4).ShouldBe(row.GetInt64(1), Steps);
        row.GetInt64(5).ShouldBe(0, Steps);
        (0 <= row.GetInt64(1) && row.GetInt64(1) <= row.GetInt64(0)).ShouldBeTrue(Steps);
    }

    public async Task CompareAllAsync()
    {
        await writer.RunAsync(_ => ValueTask.FromResult(true)); // what is written lazily
        await using var state = database.CreateContext();
        var user = await state.Users.AsNoTracking().SingleAsync();
        (user.Balance, user.Held, user.Carry).ShouldBe((reference.Balance, reference.Held, reference.Carry), Steps);
        (0 <= user.Held && user.Held <= user.Balance).ShouldBeTrue(Steps);
        var entries = await state.Ledger.AsNoTracking().OrderBy(row => row.Id).ToListAsync();
        entries.Select(row => (row.Kind, row.Amount)).ShouldBe(reference.Entries, Steps);
        entries.Sum(row => row.Amount).ShouldBe(user.Balance, Steps);
        (entries.Count == 0 ? 0 : entries[^1].Carry).ShouldBe(user.Carry, Steps);
        (await state.Stacks.AsNoTracking().ToListAsync()).Select(row => (row.PriceId is null, row.Total, row.Used, row.Reserved, row.OpenLocks)).Order()
            .ShouldBe(
                reference.Stacks.Select(one => (
                    one.Price is null, one.Total, one.Used, one.Reserved,
                    (long)reference.Locks.Count(held => held.Stack == one && held.State is "open" or "returned"))).Order(),
                Steps);
        (await state.Locks.AsNoTracking().OrderBy(row => row.Id).ToListAsync()).Select(row => (row.Units, row.State, row.ExpiresAt.ToUnixTimeMilliseconds()))
            .ShouldBe(reference.Locks.Select(one => (one.Units, one.State, one.Expires)), Steps);
        var reservations = await state.Reservations.AsNoTracking().ToListAsync();
        reservations.Select(row => (row.Held, row.HeldMoney, row.State)).Order()
            .ShouldBe(reference.Reservations.Select(one => (one.Held, one.Money, one.State)).Order(), Steps);
        reservations.Where(row => row.State is "held").Select(row => row.DeadlineAt.ToUnixTimeMilliseconds()).Order()
            .ShouldBe(reference.Reservations.Where(one => one.State is "held").Select(one => one.Deadline).Order(), Steps);
        (await state.Settlements.AsNoTracking().ToListAsync())
            .Select(row => (row.Kind, row.ChargedPrompt, row.ChargedCompletion, row.ChargedPixels)).Order()
            .ShouldBe(reference.Reservations.Where(one => one.Settled is not null).Select(one => one.Settled!.Value)
                .Select(settled => (settled.Kind, settled.Charged[0], settled.Charged[1], settled.Charged[2])).Order(), Steps);
        (await state.Nodes.AsNoTracking().OrderBy(row => row.Id).FirstAsync()).Unreported.ShouldBe(reference.Unreported, Steps);
    }

    /// <summary>One request in both.</summary>
    internal sealed record Request(Reservation Reservation, ReferenceLedger.Reservation Expected);
}
