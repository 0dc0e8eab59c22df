using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Sqlite;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Gateway.Tests.Metering;

/// <summary>The ledger on a real SQLite file beside its reference: every step is made on both, and then all rows are compared.</summary>
internal sealed class LedgerUnderTest : IAsyncDisposable
{
    public const string Model = "tiny";
    public static readonly TimeSpan ReportDeadline = TimeSpan.FromMinutes(10);

    private static readonly KeySetDigest KeySet = new(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());

    private readonly string directory;
    private readonly Database database;
    private readonly SqliteWriter writer;
    private readonly List<string> steps = [];
    private ReferenceLedger reference;
    private readonly int maxOpen;
    private StackId stack;

    private LedgerUnderTest(string directory, Database database, long total, int maxOpen)
    {
        (this.directory, this.database, this.maxOpen) = (directory, database, maxOpen);
        writer = new SqliteWriter(database, new WriteHealth(Time, NullLogger<WriteHealth>.Instance));
        Ledger = new Ledger(writer, Time);
        reference = Fresh(total, maxOpen);
    }

    public FakeTimeProvider Time { get; } = new(DateTimeOffset.FromUnixTimeMilliseconds(1_800_000_000_000));

    public Ledger Ledger { get; }

    private long Now => Time.GetUtcNow().ToUnixTimeMilliseconds();

    public static async Task<LedgerUnderTest> OpenAsync(long total = 1000, int maxOpen = 4)
    {
        var directory = Directory.CreateTempSubdirectory("ledger-test-").FullName;
        var database = await Database.OpenAsync(DataDirectory.Open(directory), isOccupied: false, null, default);
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
        await state.Database.ExecuteSqlRawAsync(
            "DELETE FROM settlements; DELETE FROM reservations; DELETE FROM locks; DELETE FROM stacks; UPDATE nodes SET unreported = 0");
        reference = Fresh(total, maxOpen);
        steps.Clear();
    }

    public async Task PassAsync(TimeSpan time)
    {
        steps.Add($"{time} pass");
        Time.Advance(time);
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
            StackTotal = new ComputeUnits(reference.Total),
            MaxOpen = maxOpen,
        });
        stack = outcome.Stack ?? stack;
        (outcome.Stack is not null ? "held" : outcome.TooManyOpen ? "too many" : "full").ShouldBe(reference.LockUnits(units, lifetimeMs, Now), Steps);
        await CompareAsync();
    }

    /// <summary>Null where both agree that there is nothing to claim.</summary>
    public async Task<Request?> ClaimAsync(long need = 150)
    {
        steps.Add($"claim {need}");
        var claimed = await Ledger.ClaimAsync(RequestId.New(), stack, new LockedKeys(KeySet, IsAttested: false), new ComputeUnits(need), ReportDeadline);
        var expected = reference.Claim(need, Now);
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
        stack = outcome.Reservation?.Stack ?? stack;
        outcome.IsRepeated.ShouldBeFalse(Steps);
        (outcome.Reservation?.Held.Value).ShouldBe(expected?.Held, Steps);
        await CompareAsync();
        return outcome.Reservation is null ? null : new Request(outcome.Reservation, expected!);
    }

    /// <summary>A request under an id that another has, which changes nothing.</summary>
    public async Task RepeatAsync(Request request)
    {
        steps.Add("reserve again");
        (await Ledger.ReserveAsync(Terms(10, request.Reservation.Request))).ShouldBe(new ReserveOutcome(null, IsRepeated: true), Steps);
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
        reference.Report(request.Expected, prompt + completion + pixels);
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
        await Ledger.SweepAsync([.. running.Select(request => request.Reservation.Request)], ReportDeadline, TimeSpan.FromDays(30));
        reference.Sweep([.. running.Select(request => request.Expected)], Now);
        await CompareAsync();
    }

    public ValueTask DisposeAsync()
    {
        writer.Dispose();
        Directory.Delete(directory, recursive: true);
        return default;
    }

    private ReserveTerms Terms(long units, RequestId request) => new()
    {
        User = new UserId(1),
        Node = new NodeId(1),
        Model = Model,
        Units = new ComputeUnits(units),
        Request = request,
        StackTotal = new ComputeUnits(reference.Total),
        Deadline = ReportDeadline,
        IsAttested = false,
    };

    private string Steps => string.Join("; ", steps);

    private static ReferenceLedger Fresh(long total, int maxOpen) => new(total, maxOpen, (long)ReportDeadline.TotalMilliseconds);

    private async Task CompareAsync()
    {
        await writer.RunAsync(_ => ValueTask.FromResult(true)); // what is written lazily
        await using var state = database.CreateContext();
        var stack = await state.Stacks.AsNoTracking().SingleOrDefaultAsync();
        (stack?.Used ?? 0, stack?.Reserved ?? 0).ShouldBe((reference.Used, reference.Reserved), Steps);
        (stack?.OpenLocks ?? 0).ShouldBe(reference.Locks.Count(one => one.State is "open" or "returned"), Steps);
        (await state.Locks.AsNoTracking().OrderBy(row => row.Id).ToListAsync()).Select(row => (row.Units, row.State, row.ExpiresAt.ToUnixTimeMilliseconds()))
            .ShouldBe(reference.Locks.Select(one => (one.Units, one.State, one.Expires)), Steps);
        var reservations = await state.Reservations.AsNoTracking().ToListAsync();
        reservations.Select(row => (row.Held, row.State)).Order().ShouldBe(reference.Reservations.Select(one => (one.Held, one.State)).Order(), Steps);
        reservations.Where(row => row.State is "held").Select(row => row.DeadlineAt.ToUnixTimeMilliseconds()).Order()
            .ShouldBe(reference.Reservations.Where(one => one.State is "held").Select(one => one.Deadline).Order(), Steps);
        (await state.Settlements.AsNoTracking().ToListAsync())
            .Select(row => (row.Kind, row.ChargedPrompt + row.ChargedCompletion + row.ChargedPixels)).Order()
            .ShouldBe(reference.Reservations.Where(one => one.Settled is not null).Select(one => one.Settled!.Value).Order(), Steps);
        (await state.Nodes.AsNoTracking().OrderBy(row => row.Id).FirstAsync()).Unreported.ShouldBe(reference.Unreported, Steps);
    }

    /// <summary>One request in both.</summary>
    internal sealed record Request(Reservation Reservation, ReferenceLedger.Reservation Expected);
}
