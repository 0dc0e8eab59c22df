using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Sqlite;
using ConfidentialChat.Gateway.Tests.Postgres;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>A database that is full, busy, lost, or another gateway's.</summary>
public sealed class DatabaseFaultTests
{
    private const string Lock = $$"""{"model":"{{GatewayUnderTest.Model}}","timeout":60}""";

    [Fact]
    [OfSqliteFile]
    public async Task A_full_disk_is_503_and_not_ready_loses_no_report_and_is_over_when_there_is_room_again()
    {
        using var disk = SmallDisk.Mount();
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { DataDirectory = Path.Combine(disk.Path, "data") });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        using var anyone = gateway.Client();
        var report = new UsageReport(await RequestAsync(user, node), GatewayUnderTest.Model, 60, 40, 0);

        // Two more are at the node while the disk fills: one is to be answered, one refused.
        var answers = new TaskCompletionSource();
        node.Script = context => AnswerLaterAsync(context, refuses: false);
        var answered = await SendAsync(user, node);
        node.Script = context => AnswerLaterAsync(context, refuses: true);
        var refused = await SendAsync(user, node);

        disk.Fill();
        HttpResponseMessage locked;
        do // the log's last page has room
            locked = await user.PostAsync("/v1/nodes/lock", Http.Json(Lock));
        while (locked.StatusCode is HttpStatusCode.OK);
        await locked.ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        answers.SetResult();
        (await answered).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await refused).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS"); // the node's word is passed on, though the lock cannot be returned
        for (var second = 0; second < 5; second++)
        {
            await (await anyone.GetAsync("/health/ready")).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            await (await user.PostAsync("/v1/nodes/lock", Http.Json(Lock))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            await (await node.PostReportsAsync(report)).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            await (await node.BeatAsync()).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            gateway.Clock.Advance(TimeSpan.FromSeconds(1));
        }

        (await anyone.GetAsync("/health/live")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await Should.ThrowAsync<GatewayStateException>(() => gateway.Operator.CreateApiKeyAsync("bob"))).Fault
            .ShouldBeOneOf(StateFault.Full, StateFault.Unusable);
        var lines = gateway.Log.Text.Split('\n');
        lines.Count(line => line.Contains(" fail: ", StringComparison.Ordinal)).ShouldBe(1, gateway.Log.Text);
        lines.Single(line => line.Contains(" fail: ", StringComparison.Ordinal)).ShouldContain("disk is full"); // the cause, and nothing of a rollback
        gateway.Log.Text.ShouldNotContain("cannot rollback");

        disk.Clear();
        await ReadyAsync(gateway);
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        await node.ReportAsync(report);
        (await gateway.StackAsync()).Used.ShouldBe(100);
        await LockedNode.LockAsync(user);
        gateway.Log.Text.ShouldContain("takes changes again");

        async Task AnswerLaterAsync(Microsoft.AspNetCore.Http.HttpContext context, bool refuses)
        {
            await answers.Task;
            await (refuses ? ScriptedNode.RefuseAsync(context, 429, "TOO_MANY_REQUESTS") : ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer));
        }
    }

    [Fact]
    [OfSqliteFile]
    public async Task While_the_disk_is_full_nothing_is_sold_and_afterwards_no_money_is_lost_or_charged_twice()
    {
        using var disk = SmallDisk.Mount();
        using var platform = new SimulatedPlatform();
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { DataDirectory = Path.Combine(disk.Path, "data") });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        using var user = await gateway.UserAsync();
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync(1_000_000_000);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", ChunkedAnswerSealer.MediaType);
        var call = new SealedCall(node.Id, keys.Digest);
        (await user.SendAsync(call.Request())).StatusCode.ShouldBe(HttpStatusCode.OK);
        await node.SeenAsync();
        var report = new UsageReport(call.Id, GatewayUnderTest.Model, 60, 40, 0);
        node.Script = context => ScriptedNode.AnswerAsync(
            context, 429, """{"type":"about:blank","code":"TOO_MANY_REQUESTS"}""", ProblemDocument.MediaType);

        disk.Fill();
        HttpResponseMessage refused;
        var told = 0;
        do // the log's last page has room
        {
            refused = await user.SendAsync((call with { Id = Guid.NewGuid() }).Request());
            told += refused.StatusCode is HttpStatusCode.TooManyRequests ? 1 : 0;
        }
        while (refused.StatusCode is HttpStatusCode.TooManyRequests && told < 1000);
        await refused.ShouldBeProblemAsync(RequestError.ServiceUnavailable, forwarded: null);
        var voucher = new DeliveredVoucher(report.Request, Convert.ToBase64String(node.Sign([report])[0]));
        await (await node.PostVouchersAsync(voucher)).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        await Should.ThrowAsync<GatewayStateException>(() => gateway.Accounts.DepositAsync(new UserId(1), new MicroDollars(5), "operator", "paid"));

        disk.Clear();
        await ReadyAsync(gateway);
        await node.BeatAsync();
        await node.VouchAsync(report);
        await node.VouchAsync(report);
        (await gateway.Accounts.DepositAsync(new UserId(1), new MicroDollars(5), "operator", "paid")).Outcome.ShouldBe(MovementOutcome.Done);
        (await gateway.Accounts.DepositAsync(new UserId(1), new MicroDollars(5), "operator", "paid")).Outcome.ShouldBe(MovementOutcome.Repeated);
        gateway.Clock.Advance(TimeSpan.FromMinutes(11)); // of what was refused while nothing could be written the hold ends here
        await gateway.SweepAsync();
        (await gateway.FundsAsync()).ShouldBe((1_000_000_000 - 100 + 5, 0));
        (await gateway.LedgerAsync()).Sum(row => row.Amount).ShouldBe(1_000_000_000 - 100 + 5);
    }

    [Fact]
    [OfSqliteFile]
    public async Task A_process_that_holds_the_database_is_503_here_and_an_error_of_its_own_for_commands_and_is_over_when_it_lets_go()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        using var anyone = gateway.Client();
        await using (var holder = new SqliteConnection($"Data Source={Path.Combine(gateway.DataDirectory, "gateway.db")};Pooling=False"))
        {
            await holder.OpenAsync(TestContext.Current.CancellationToken);
            await using var transaction = holder.BeginTransaction();
            var said = new ConcurrentQueue<string>();
            var patient = await GatewayOperator.OpenAsync(gateway.DataDirectory, progress: said.Enqueue, cancellation: TestContext.Current.CancellationToken);
            var command = Task.Run(() => patient.CreateApiKeyAsync("bob"));
            await (await user.PostAsync("/v1/nodes/lock", Http.Json(Lock))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            await (await anyone.GetAsync("/health/ready")).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            (await Should.ThrowAsync<GatewayStateException>(() => command)).Fault.ShouldBe(StateFault.Busy);
            said.ShouldHaveSingleItem().ShouldMatch("waiting .*gateway.db.* 10 s");
        }

        await ReadyAsync(gateway);
        await LockedNode.LockAsync(user);
        (await gateway.Operator.ListApiKeysAsync()).Count.ShouldBe(1);
    }

    [Fact]
    [OfSqliteFile]
    public async Task After_a_sync_that_failed_nothing_is_called_durable_and_the_gateway_is_not_ready_until_it_starts_again()
    {
        var directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;
        var database = await SqliteDatabase.OpenAsync(DataDirectory.Open(directory), isOccupied: false, null, TestContext.Current.CancellationToken);
        using (var log = new CapturedLog())
        {
            var health = new WriteHealth(TimeProvider.System, new LoggerFactory([log]).CreateLogger<WriteHealth>());
            using var writer = new SqliteWriter(database, health);
            File.Delete(Path.Combine(directory, "gateway.db-wal")); // what is written goes nowhere from here, and there is nothing to sync
            await UnsyncedAsync();
            health.IsGood.ShouldBeFalse();
            (await writer.RunAsync(rows => rows.ProbeAsync())).ShouldBeTrue();
            health.IsGood.ShouldBeFalse();
            await UnsyncedAsync();

            async Task UnsyncedAsync() => (await Should.ThrowAsync<GatewayStateException>(
                () => writer.RunAsync(rows => rows.ProbeAsync(), Commit.Durably))).Fault.ShouldBe(StateFault.Unsynced);
        }

        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task A_second_gateway_on_the_same_data_directory_is_refused_and_told_by_whom()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var options = new GatewayOptions { DataDirectory = gateway.DataDirectory, Port = 0 };
        var link = Directory.CreateSymbolicLink(gateway.DataDirectory + "-by-another-name", gateway.DataDirectory).FullName;
        foreach (var place in (string[])[gateway.DataDirectory, link, gateway.DataDirectory]) // being refused takes nothing away
        {
            var refusal = await Should.ThrowAsync<GatewayOptionsException>(() => GatewayHost.CreateAsync(options with { DataDirectory = place }));
            refusal.Message.ShouldContain(place);
            refusal.Message.ShouldContain($"process {Environment.ProcessId}");
        }

        (await gateway.Operator.CreateApiKeyAsync("bob")).ShouldNotBeNull(); // commands work beside it

        await gateway.App.StopAsync(TestContext.Current.CancellationToken);
        await gateway.App.DisposeAsync();
        await using var next = await GatewayHost.CreateAsync(options);
    }

    [Fact]
    public async Task A_gateway_that_could_not_be_built_leaves_the_data_directory_to_the_next()
    {
        var directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;
        var options = new GatewayOptions { DataDirectory = directory, Port = 0 };
        await Should.ThrowAsync<InvalidTimeZoneException>(() => GatewayHost.CreateAsync(options, _ => throw new InvalidTimeZoneException()));
        await using (await GatewayHost.CreateAsync(options))
        {
        }

        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    [OfSqliteFile]
    public async Task What_a_killed_gateway_had_claimed_is_spent_at_the_next_start_and_its_units_wait_for_the_report()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var answers = new TaskCompletionSource();
        node.Script = async context =>
        {
            await answers.Task;
            await ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        };
        var open = await LockedNode.LockAsync(user, Lock);
        var sending = user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(open.Envelope()));
        await node.SeenAsync();
        await LockedNode.LockAsync(user, Lock); // nobody has claimed it

        // As a kill leaves it. Copied by another process: this one would give SQLite's locks up with the file.
        var image = Path.Combine(Path.GetDirectoryName(gateway.DataDirectory)!, "image");
        using (var copy = Process.Start("cp", ["-r", gateway.DataDirectory, image]))
            await copy.WaitForExitAsync(TestContext.Current.CancellationToken);
        answers.SetResult();
        (await sending).StatusCode.ShouldBe(HttpStatusCode.OK);

        await using var next = await GatewayHost.CreateAsync(
            new GatewayOptions { DataDirectory = image, Port = 0 }, builder => builder.Services.AddSingleton<TimeProvider>(gateway.Clock));
        await next.StartAsync(TestContext.Current.CancellationToken);
        var database = next.Services.GetRequiredService<Database>();
        (await database.QueryAsync(state => state.Locks.OrderBy(row => row.Id).Select(row => row.State).ToListAsync())).ShouldBe(["spent", "open"]);
        (await database.QueryAsync(state => state.Reservations.Select(row => row.State).ToListAsync())).ShouldBe(["held"]);
        await next.StopAsync(TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Eight_keys_at_once_are_made_beside_locks_and_an_enrolment()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var keys = Enumerable.Range(0, 8).Select(i => Task.Run(async () =>
        {
            var command = await GatewayOperator.OpenAsync(gateway.DataDirectory, postgres: gateway.Postgres);
            for (var k = 0; k < 10; k++)
                await command.CreateApiKeyAsync($"user-{i}");
        })).ToList();
        for (var i = 0; i < 50; i++)
            await LockedNode.LockAsync(user);
        await using (await ScriptedNode.StartAsync(gateway))
            await Task.WhenAll(keys);
        (await gateway.Operator.ListApiKeysAsync()).Count.ShouldBe(81);
    }

    private static async Task<Guid> RequestAsync(HttpClient user, ScriptedNode node)
    {
        var body = (await LockedNode.LockAsync(user, Lock)).Envelope();
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(body))).StatusCode.ShouldBe(HttpStatusCode.OK);
        return (await node.SeenAsync()).Request;
    }

    // Returns once the node has it.
    private static async Task<Task<HttpResponseMessage>> SendAsync(HttpClient user, ScriptedNode node)
    {
        var sending = user.PostAsync(GatewayUnderTest.ChatPath, Http.Json((await LockedNode.LockAsync(user, Lock)).Envelope()));
        await node.SeenAsync();
        return sending;
    }

    // By itself: nothing asks for a change meanwhile.
    private static async Task ReadyAsync(GatewayUnderTest gateway)
    {
        using var anyone = gateway.Client();
        for (var tries = 0; (await anyone.GetAsync("/health/ready")).StatusCode is not HttpStatusCode.OK; tries++)
        {
            tries.ShouldBeLessThan(600);
            gateway.Clock.Advance(TimeSpan.FromSeconds(1.0 / 8)); // heartbeats are to stay young
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }
}
