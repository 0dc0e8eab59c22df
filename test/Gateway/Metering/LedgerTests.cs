using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Tests.Postgres;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Tests.Metering;

/// <summary>spec/gateway.md section 5: every transition of locks, reservations and settlements against a reference, without HTTP.</summary>
public class LedgerTests
{
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(5);

    private static int WalkLength => (Tree.Slow, StateEngine.IsPostgres) switch
    {
        (true, false) => 1_000_000,
        (true, true) => 100_000,
        (_, false) => 3_000,
        _ => 1_000,
    };

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
        foreach (var third in StateEngine.IsPostgres && !Tree.Slow ? [Events.Keys.ElementAt((first.Length + second.Length) % Events.Count)] : Events.Keys)
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

    [Theory]
    [InlineData(-1)]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Money_is_held_until_the_deadline_has_come(int ticks)
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.SetPriceAsync(MicroDollar);
        await ledger.DepositAsync(1000);
        var request = (await ledger.ReserveAsync(600))!;
        await ledger.PassAsync(LedgerUnderTest.ReportDeadline + (ticks * Tick));
        await ledger.SweepAsync();
        ledger.Reference.Held.ShouldBe(ticks < 0 ? 600 : 0);
        await ledger.ReportAsync(request, 20, 30);
        ledger.Reference.Entries[^1].ShouldBe((ticks < 0 ? "settlement" : "correction", -50));
    }

    [Theory]
    [InlineData(600, 599, false)]
    [InlineData(600, 600, true)]
    [InlineData(600, 601, true)]
    public async Task A_request_holds_what_it_may_cost_at_the_most_or_nothing(long units, long deposit, bool isHeld)
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.SetPriceAsync(Prices(0, 1_000_000, 999_999));
        await ledger.DepositAsync(deposit);
        ((await ledger.ReserveAsync(units)) is not null).ShouldBe(isHeld);
    }

    [Fact]
    public async Task A_requests_price_is_the_one_that_it_was_made_at_whatever_is_set_later()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.SetPriceAsync(MicroDollar);
        await ledger.DepositAsync(1000);
        var (first, second) = ((await ledger.ReserveAsync(100))!, (await ledger.ReserveAsync(100))!);
        await ledger.SetPriceAsync(Prices(7_000_000, 7_000_000, 7_000_000));
        await ledger.ReportAsync(first, 40, 60);
        var third = (await ledger.ReserveAsync(100))!;
        await ledger.SetPriceAsync(null);
        await ledger.ReportAsync(second, 100);
        await ledger.ReportAsync(third, 1);
        ledger.Reference.Entries.ShouldBe([("deposit", 1000), ("settlement", -100), ("settlement", -100), ("settlement", -7)]);
        (await ledger.ReserveAsync(1_000_000)).ShouldNotBeNull(); // free by now
    }

    [Theory]
    [InlineData(1_001_000, 1001)]
    [InlineData(1_000, 1)]
    [InlineData(999, 0)]
    public async Task Nothing_is_rounded_however_small_requests_are(long price, long paid)
    {
        // A thousand requests of 1 unit each, at a micro-dollar and a thousandth of one, at that thousandth, and at less.
        await using var ledger = await LedgerUnderTest.OpenAsync();
        ledger.ComparesAll = false;
        await ledger.SetPriceAsync(Prices(price, 0, 0));
        await ledger.DepositAsync(2000);
        for (var i = 0; i < 1000; i++)
            await ledger.ReportAsync((await ledger.ReserveAsync(1))!, 1);
        (ledger.Reference.Balance, ledger.Reference.Carry).ShouldBe((2000 - paid, price % 1000 * 1000));
        await ledger.CompareAllAsync();
    }

    [Fact]
    public async Task A_stack_is_bought_to_the_unit_and_refunded_when_its_price_is_not_the_current_one_or_its_node_is_gone()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.SetPriceAsync(Prices(1_500_000, 2_500_000, 0));
        await ledger.DepositAsync(10_000);
        await ledger.LockAsync(101); // 252.5
        ledger.Reference.Entries[^1].ShouldBe(("purchase", -253));
        await ledger.ReportAsync((await ledger.ClaimAsync(201))!, 51, 50); // 100 more
        ledger.Reference.Entries[^1].ShouldBe(("purchase", -250));

        await ledger.SetPriceAsync(MicroDollar);
        await ledger.LockAsync(10);
        ledger.Reference.Entries[^2..].ShouldBe([("refund", 250), ("purchase", -10)]);

        await ledger.RemoveNodeAsync();
        await ledger.SweepAsync();
        ledger.Reference.Entries[^1].Kind.ShouldBe("purchase"); // a lock holds it
        await ledger.PassAsync(Lifetime);
        await ledger.SweepAsync();
        ledger.Reference.Entries[^1].ShouldBe(("refund", 10));
    }

    [Fact]
    public async Task What_cannot_be_held_is_not_bought()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync(maxOpen: 1);
        await ledger.SetPriceAsync(MicroDollar);
        await ledger.DepositAsync(100);
        await ledger.LockAsync(60);
        await ledger.LockAsync(50); // 40 are left
        await ledger.LockAsync(30); // too many are open
        ledger.Reference.Balance.ShouldBe(40);
        (await ledger.ClaimAsync(101)).ShouldBeNull();
        (await ledger.ClaimAsync(100)).ShouldNotBeNull();
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(1L << 40)]
    [InlineData(9_007_199_255)]
    public async Task Absurd_amounts_of_units_are_refused_and_change_nothing(long units)
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.SetPriceAsync(Prices(UnitPrices.MaxValue, 1, UnitPrices.MaxValue));
        await ledger.DepositAsync(MicroDollars.MaxValue);
        await ledger.DepositAsync(1); // above what is an amount
        await ledger.LockAsync(units);
        (await ledger.ReserveAsync(units)).ShouldBeNull();
        await ledger.SetPriceAsync(Prices(0, 0, 0));
        await ledger.ReportAsync((await ledger.ReserveAsync(units))!, 5);
    }

    [Fact]
    public async Task A_late_report_takes_no_more_than_is_not_held()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        await ledger.SetPriceAsync(Prices(1_000_000, 3_000_000, 2_000_000));
        await ledger.DepositAsync(1000);
        var request = (await ledger.ReserveAsync(300))!;
        await ledger.PassAsync(LedgerUnderTest.ReportDeadline);
        await ledger.SweepAsync();
        (await ledger.ReserveAsync(300)).ShouldNotBeNull(); // 100 are left
        await ledger.ReportAsync(request, 11, 100, 100); // 11 and 29 of 3: 98
        ledger.Reference.Entries[^1].ShouldBe(("correction", -100));
        await ledger.ReportAsync(request, 1);
    }

    [Fact]
    public async Task A_deposit_of_one_reference_counts_once_for_each_user()
    {
        await using var ledger = await LedgerUnderTest.OpenAsync();
        (await ledger.DepositAsync(100, "invoice 7")).ShouldBe(MovementOutcome.Done);
        (await ledger.DepositAsync(100, "invoice 7")).ShouldBe(MovementOutcome.Repeated);
        (await ledger.DepositAsync(250, "invoice 7")).ShouldBe(MovementOutcome.Repeated);
        (await ledger.DepositAsync(100, "invoice 8")).ShouldBe(MovementOutcome.Done);
        ledger.Reference.Balance.ShouldBe(200);
        (await ledger.Accounts.DepositAsync(new UserId(7), new MicroDollars(5), "operator")).Outcome.ShouldBe(MovementOutcome.UnknownUser);
        (await ledger.Accounts.SetPriceAsync(new NodeId(7), LedgerUnderTest.Model, MicroDollar, "operator")).ShouldBeFalse();
    }

    [Fact]
    public void What_is_no_amount_cannot_be_made()
    {
        foreach (var value in (long[])[-1, long.MinValue, MicroDollars.MaxValue + 1, long.MaxValue])
        {
            Should.Throw<ArgumentOutOfRangeException>(() => new MicroDollars(value));
            MicroDollars.TryCreate(value, out _).ShouldBeFalse();
            UnitPrices.TryCreate(1, value, 1, out _).ShouldBeFalse();
            UnitPrices.TryCreate(value, 1, 1, out _).ShouldBeFalse();
        }

        UnitPrices.TryCreate(1, 1, UnitPrices.MaxValue + 1, out _).ShouldBeFalse();
        string?[] texts =
        [
            null, "", "1", "1, 2", "1, 2, 3, 4", "1, -2, 3", "1, 2, 3.5", "+1, 2, 3", "1, 2, 1000000000001", "1, , 3", "\uff11, 2, 3", "1 0, 2, 3",
            "99999999999999999999, 2, 3",
        ];
        foreach (var text in texts)
            UnitPrices.TryParse(text, out _).ShouldBeFalse(text);
        UnitPrices.TryParse(Prices(1, 2, UnitPrices.MaxValue).ToString(), out var read).ShouldBeTrue();
        read.ShouldBe(Prices(1, 2, UnitPrices.MaxValue));
        new MicroDollars(12_000_345).ToDollars().ShouldBe("12.000345");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task A_walk_of_many_requests_never_leaves_the_rules(int seed)
    {
        await using var ledger = await LedgerUnderTest.OpenAsync(700);
        var walk = new Random(seed);
        for (var episode = 0; episode < 3; episode++)
        {
            await ledger.RestartAsync(700);
            await WalkAsync(ledger, walk, 350);
        }
    }

    [Fact]
    [TimeLimit(1200)]
    public async Task However_many_steps_never_leave_the_rules()
    {
        const int Episode = 500;
        await using var ledger = await LedgerUnderTest.OpenAsync(700);
        ledger.ComparesAll = false;
        var walk = new Random(20261128);
        for (var step = 0; step < WalkLength; step += Episode)
        {
            await ledger.RestartAsync(700);
            await WalkAsync(ledger, walk, Episode);
            await ledger.CompareAllAsync();
        }
    }

    private static UnitPrices Prices(long prompt, long completion, long image) =>
        UnitPrices.TryCreate(prompt, completion, image, out var prices) ? prices : throw new ArgumentOutOfRangeException(nameof(prompt));

    private static async Task WalkAsync(LedgerUnderTest ledger, Random walk, int steps)
    {
        UnitPrices?[] prices = [null, MicroDollar, Prices(150_001, 600_007, 3), Prices(0, 0, 0), Prices(2_999_999, 0, 7_777_777)];
        var requests = new List<LedgerUnderTest.Request>();
        for (var step = 0; step < steps; step++)
        {
            var request = requests.Count > 0 ? requests[walk.Next(requests.Count)] : null;
            switch (walk.Next(20))
            {
                case 0 or 1:
                    await ledger.LockAsync(walk.Next(1, 300), walk.Next(1, 4) * 1000);
                    break;
                case 2 or 3 when await ledger.ClaimAsync(walk.Next(1, 400)) is { } claimed:
                    requests.Add(claimed);
                    break;
                case 4 when request is not null:
                    await ledger.SpendAsync(request);
                    break;
                case 5 when request is not null:
                    await ledger.ReturnAsync(request, walk.Next(2) == 0);
                    break;
                case 6 or 7 or 8 when request is not null:
                    await ledger.ReportAsync(request, walk.Next(200), walk.Next(300), walk.Next(3) * walk.Next(50));
                    break;
                case 9 or 10 or 11 when await ledger.ReserveAsync(walk.Next(1, 400)) is { } reserved:
                    requests.Add(reserved);
                    break;
                case 12:
                    await ledger.PassAsync(walk.Next(12) == 0 ? LedgerUnderTest.ReportDeadline : TimeSpan.FromMilliseconds(walk.Next(3) * 500));
                    break;
                case 13:
                    await ledger.DepositAsync(walk.Next(1, 1500));
                    break;
                case 14:
                    await ledger.CorrectAsync(walk.Next(2) == 0 ? walk.Next(1, 50) : -walk.Next(1, 500));
                    break;
                case 15 when walk.Next(3) == 0:
                    await ledger.SetPriceAsync(prices[walk.Next(prices.Length)]);
                    break;
                case 16 when request is not null:
                    await ledger.RepeatAsync(request);
                    break;
                case 17 when walk.Next(4) == 0:
                    await ledger.CrashAsync();
                    break;
                case 18 when walk.Next(6) == 0:
                    await ledger.RemoveNodeAsync(walk.Next(2) == 0);
                    break;
                case 19 when walk.Next(30) == 0:
                    await ledger.JumpAsync(TimeSpan.FromDays(walk.Next(2) == 0 ? -1 : 1)); // somebody sets the clock
                    break;
                default:
                    await ledger.SweepAsync([.. requests.Where(_ => walk.Next(4) == 0)]);
                    break;
            }
        }
    }
}
