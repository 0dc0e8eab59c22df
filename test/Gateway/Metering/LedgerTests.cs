using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Tests.Metering;

/// <summary>spec/gateway.md section 5: every transition of locks, reservations and settlements against a reference, without HTTP.</summary>
public sealed class LedgerTests
{
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(5);

    /// <summary>A micro-dollar for each unit, whatever it is.</summary>
    private static readonly UnitPrices MicroDollar = Prices(1_000_000, 1_000_000, 1_000_000);

    /// <summary>What may happen to a request that was claimed, in any order and more than once.</summary>
    private static readonly IReadOnlyDictionary<string, Func<LedgerUnderTest, LedgerUnderTest.Request, Task>> Events =
        new Dictionary<string, Func<LedgerUnderTest, LedgerUnderTest.Request, Task>>(StringComparer.Ordinal)
        {
            ["accepted"] = (ledger, request) => ledger.SpendAsync(request),
            ["refused"] = (ledger, request) => ledger.ReturnAsync(request, release: true),
            ["cut off"] = (ledger, request) => ledger.ReturnAsync(request, release: false),
            ["reported"] = (ledger, request) => ledger.ReportAsync(request, 20, 30),
            ["reported as nothing"] = (ledger, request) => ledger.ReportAsync(request, 0),
            ["reported above"] = (ledger, request) => ledger.ReportAsync(request, 100, 200),
            ["swept"] = (ledger, _) => ledger.SweepAsync(),
            ["overdue"] = async (ledger, _) =>
            {
                await ledger.PassAsync(LedgerUnderTest.ReportDeadline);
                await ledger.SweepAsync();
            },
            ["running at the deadline"] = async (ledger, request) =>
            {
                await ledger.PassAsync(LedgerUnderTest.ReportDeadline);
                await ledger.SweepAsync(request);
            },
        };

    public static TheoryData<string, string> Pairs =>
        [.. Events.Keys.SelectMany(_ => Events.Keys, (first, second) => (first, second))];

    [Theory]
    [MemberData(nameof(Pairs))]
    public async Task Whatever_happens_in_whatever_order_ends_as_the_rules_say(string first, string second)
    {
        // A third one behind each pair, on a stack with room for everything and on one that is full.
        await using var ledger = await LedgerUnderTest.OpenAsync();
        foreach (var third in Events.Keys)
        {
            foreach (var total in (long[])[1000, 150])
            {
                await ledger.RestartAsync(total);
                await ledger.LockAsync();
                var request = (await ledger.ClaimAsync())!;
                foreach (var name in (string[])[first, second, third])
                    await Events[name](ledger, request);
            }
        }
    }

    [Theory]
    [InlineData(-1, true)]
    [InlineData(0, false)]
    [InlineData(1, false)]
    public async Task A_lock_is_claimed_until_its_time_has_come(int ticks, bool isClaimed)
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.LockAsync();
        await ledger.PassAsync(Lifetime + (ticks * Tick));
        ((await ledger.ClaimAsync()) is not null).ShouldBe(isClaimed);
    }

    [Theory]
    [InlineData(-1, true)]
    [InlineData(0, false)]
    [InlineData(1, false)]
    public async Task A_lock_that_came_back_is_claimed_for_thirty_seconds_more(int ticks, bool isClaimed)
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.LockAsync();
        var request = (await ledger.ClaimAsync())!;
        await ledger.PassAsync(TimeSpan.FromMinutes(1)); // a claimed lock does not expire
        await ledger.SweepAsync();
        await ledger.ReturnAsync(request, release: true);
        await ledger.PassAsync(Ledger.ReturnedLockLifetime + (ticks * Tick));
        ((await ledger.ClaimAsync()) is not null).ShouldBe(isClaimed);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Locks_deadlines_and_records_end_at_their_times(int ticks)
    {
        foreach (var time in (TimeSpan[])[Lifetime, LedgerUnderTest.ReportDeadline, Lifetime + Ledger.ExpiredLockRetention])
        {
            await using var ledger = await LedgerUnderTest.OpenAsync();
            await ledger.LockAsync();
            var request = (await ledger.ClaimAsync())!;
            await ledger.LockAsync();
            await ledger.PassAsync(time + (ticks * Tick));
            await ledger.SweepAsync();
            await ledger.ReportAsync(request, 20, 30);
        }
    }

    [Fact]
    public async Task An_expired_lock_is_kept_an_hour_though_its_request_still_runs()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync(150);
        await ledger.LockAsync();
        var request = (await ledger.ClaimAsync())!;
        await ledger.ReturnAsync(request, release: false); // no room for both: it expires
        for (var i = 0; i < 3; i++)
        {
            await ledger.PassAsync(Ledger.ExpiredLockRetention);
            await ledger.SweepAsync(request);
            await ledger.LockAsync(0, lifetimeMs: 1);
        }

        await ledger.ReportAsync(request, 1);
        await ledger.SweepAsync();
    }

    [Fact]
    public async Task A_deadline_runs_from_the_last_sweep_that_saw_the_request_running()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.LockAsync();
        var request = (await ledger.ClaimAsync())!;
        await ledger.PassAsync(LedgerUnderTest.ReportDeadline / 2);
        await ledger.SweepAsync(request);
        await ledger.PassAsync(LedgerUnderTest.ReportDeadline - Tick);
        await ledger.SweepAsync();
        await ledger.PassAsync(Tick);
        await ledger.SweepAsync();
        await ledger.ReportAsync(request, 20, 30);
    }

    [Fact]
    public async Task The_oldest_lock_goes_first_and_only_so_many_are_open()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync(maxOpen: 3);
        foreach (var units in (long[])[10, 20, 30, 40])
            await ledger.LockAsync(units);
        await ledger.ClaimAsync(1);
        await ledger.LockAsync(40);
        await ledger.LockAsync(50);
        await ledger.PassAsync(Lifetime); // a full stack does not wait for the sweep
        await ledger.LockAsync(60);
    }

    [Fact]
    public async Task A_claim_without_room_leaves_its_lock_open()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync(200);
        await ledger.LockAsync(100);
        (await ledger.ClaimAsync(201)).ShouldBeNull();
        (await ledger.ClaimAsync(200)).ShouldNotBeNull();
    }

    [Fact]
    public async Task Reports_of_others_change_nothing()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.LockAsync();
        var request = (await ledger.ClaimAsync())!;
        await ledger.ReportWronglyAsync(request, node: 2, LedgerUnderTest.Model);
        await ledger.ReportWronglyAsync(request, node: 1, "other");
        await ledger.ReportAsync(request, 20, 30);
    }

    [Theory]
    [InlineData(160, 0, 0, 150, 0, 0)]
    [InlineData(100, 60, 0, 100, 50, 0)]
    [InlineData(0, 0, 160, 0, 0, 150)]
    [InlineData(100, 40, 60, 100, 40, 10)]
    [InlineData(long.MaxValue, long.MaxValue, long.MaxValue, 150, 0, 0)]
    public async Task What_is_above_the_reservation_is_taken_from_the_pixels_then_from_the_completion(
        long prompt, long completion, long pixels, long chargedPrompt, long chargedCompletion, long chargedPixels)
    {
        var reported = new Protocol.Usage(prompt, completion) { Pixels = pixels };
        reported.CappedAt(new Protocol.ComputeUnits(150)).ShouldBe(new Protocol.Usage(chargedPrompt, chargedCompletion) { Pixels = chargedPixels });
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.LockAsync();
        var request = (await ledger.ClaimAsync())!;
        if (prompt < long.MaxValue)
            await ledger.ReportAsync(request, prompt, completion, pixels);
    }

    [Theory]
    [InlineData("report", "refused")]
    [InlineData("refused", "report")]
    [InlineData("cut off", "report")]
    [InlineData("late report", "sweep")]
    public async Task A_request_without_a_lock_holds_exactly_its_units_until_it_is_over(string first, string second)
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.SetPriceAsync(MicroDollar);
        await ledger.DepositAsync(1000);
        var request = (await ledger.ReserveAsync(600))!;
        (await ledger.ReserveAsync(401)).ShouldBeNull();
        await ledger.RepeatAsync(request);
        (await ledger.ReserveAsync(400)).ShouldNotBeNull();
        foreach (var what in (string[])[first, second])
        {
            switch (what)
            {
                case "report":
                    await ledger.ReportAsync(request, 10, 20);
                    break;
                case "refused":
                    await ledger.ReturnAsync(request, release: true);
                    break;
                case "cut off":
                    await ledger.ReturnAsync(request, release: false);
                    break;
                case "sweep":
                    await ledger.SweepAsync();
                    break;
                default:
                    await ledger.PassAsync(LedgerUnderTest.ReportDeadline);
                    await ledger.SweepAsync();
                    await ledger.ReportAsync(request, 700);
                    break;
            }
        }

        await ledger.RepeatAsync(request); // an id is used once, whatever became of it
    }

    private static UnitPrices Prices(long prompt, long completion, long image) =>
        UnitPrices.TryCreate(prompt, completion, image, out var prices) ? prices : throw new ArgumentOutOfRangeException(nameof(prompt));

    [Fact]
    public async Task A_long_walk_of_many_requests_never_leaves_the_rules()
    {
        var walk = new Random(20261128);
        await using var ledger = await LedgerUnderTest.OpenAsync(700);
        var requests = new List<LedgerUnderTest.Request>();
        for (var step = 0; step < 1500; step++)
        {
            var request = requests.Count > 0 ? requests[walk.Next(requests.Count)] : null;
            switch (walk.Next(11))
            {
                case 0 or 1:
                    await ledger.LockAsync(walk.Next(1, 300), walk.Next(1, 4) * 1000);
                    break;
                case 2 or 3:
                    if (await ledger.ClaimAsync(walk.Next(1, 400)) is { } claimed)
                        requests.Add(claimed);
                    break;
                case 4 when request is not null:
                    await ledger.SpendAsync(request);
                    break;
                case 5 when request is not null:
                    await ledger.ReturnAsync(request, walk.Next(2) == 0);
                    break;
                case 6 or 7 when request is not null:
                    await ledger.ReportAsync(request, walk.Next(200), walk.Next(300));
                    break;
                case 9:
                    if (await ledger.ReserveAsync(walk.Next(1, 400)) is { } reserved)
                        requests.Add(reserved);
                    break;
                case 8:
                    await ledger.PassAsync(walk.Next(12) == 0 ? LedgerUnderTest.ReportDeadline : TimeSpan.FromMilliseconds(walk.Next(3) * 500));
                    break;
                default:
                    await ledger.SweepAsync([.. requests.Where(_ => walk.Next(4) == 0)]);
                    break;
            }
        }
    }
}
