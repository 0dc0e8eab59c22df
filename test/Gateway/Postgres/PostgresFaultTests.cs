using System.Net;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>A server that is killed, full, not there, or does not let a gateway in: nothing is lost, nobody pays twice, and it ends by itself.</summary>
public sealed class PostgresFaultTests : IDisposable
{
    private const string Lock = $$"""{"model":"{{GatewayUnderTest.Model}}","timeout":60}""";

    private readonly string directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task A_server_that_is_killed_under_requests_costs_them_nothing_twice_and_is_over_when_it_is_back()
    {
        await using var server = await PostgresUnderTest.StartAsync();
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { Postgres = server.CreateDatabase() });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        using var anyone = gateway.Client();
        var settled = new UsageReport(await RequestAsync(user, node), GatewayUnderTest.Model, 10, 0, 0);
        var report = new UsageReport(await RequestAsync(user, node), GatewayUnderTest.Model, 60, 40, 0);

        // Two more are at the node while the server dies: one is to be answered, one refused.
        var answers = new TaskCompletionSource();
        node.Script = context => AnswerLaterAsync(context, refuses: false);
        var answered = await SendAsync(user, node);
        node.Script = context => AnswerLaterAsync(context, refuses: true);
        var refused = await SendAsync(user, node);
        server.Execute("postgres", "CHECKPOINT"); // locks and reservations may be lost by a crash that comes within a second
        await node.ReportAsync(settled); // is acknowledged: it is on the disk
        server.Kill();

        await (await user.PostAsync("/v1/nodes/lock", Http.Json(Lock))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        answers.SetResult();
        (await answered).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await refused).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS"); // the node's word is passed on, though the lock cannot be returned
        for (var second = 0; second < 3; second++)
        {
            await (await anyone.GetAsync("/health/ready")).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            await (await user.PostAsync("/v1/nodes/lock", Http.Json(Lock))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            await (await node.PostReportsAsync(report)).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            await (await node.BeatAsync()).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
            gateway.Clock.Advance(TimeSpan.FromSeconds(1));
        }

        (await anyone.GetAsync("/health/live")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await Should.ThrowAsync<GatewayStateException>(() => gateway.Operator.CreateApiKeyAsync("bob"))).Fault.ShouldBe(StateFault.Unreachable);
        var lines = gateway.Log.Text.Split('\n');
        lines.Single(line => line.Contains(" fail: ", StringComparison.Ordinal)).ShouldContain($"127.0.0.1:{server.Port}", Case.Sensitive, gateway.Log.Text);

        await server.StartAgainAsync();
        await ReadyAsync(gateway);
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        await node.ReportAsync(settled, report, settled, report); // as a node does that was not answered
        (await gateway.UnitsAsync()).Used.ShouldBe(110);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        await RequestAsync(user, node);
        gateway.Log.Text.ShouldContain("takes changes again");

        async Task AnswerLaterAsync(Microsoft.AspNetCore.Http.HttpContext context, bool refuses)
        {
            await answers.Task;
            await (refuses ? ScriptedNode.RefuseAsync(context, 429, "TOO_MANY_REQUESTS") : ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer));
        }
    }

    [Fact]
    public async Task A_server_that_starts_anew_again_and_again_under_a_load_loses_no_report_and_charges_none_twice()
    {
        await using var server = await PostgresUnderTest.StartAsync();
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { Postgres = server.CreateDatabase() });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        using var done = new CancellationTokenSource();
        var acknowledged = 0;
        var refused = 0;
        var load = Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                using var answer = await user.PostAsync("/v1/nodes/lock", Http.Json("""{"model":"test-model","timeout":60,"max_num_tokens":1000}"""));
                ((int)answer.StatusCode).ShouldBeOneOf(200, 503);
                if (answer.StatusCode is not HttpStatusCode.OK)
                {
                    Interlocked.Increment(ref refused);
                    await Task.Delay(20);
                    continue;
                }

                var json = await answer.JsonAsync();
                var locked = new LockedNode(json.GetProperty("public_key").GetString()!, node.Id, json.GetProperty("stack_small_id").GetInt64());
                using var relayed = await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(locked.Envelope(64, ("num_compute_units", 500))));
                ((int)relayed.StatusCode).ShouldBeOneOf(200, 425, 503); // the lock may have been lost with the server
                if (relayed.StatusCode is not HttpStatusCode.OK || !node.TrySeen(out var seen))
                    continue;
                var report = new UsageReport(seen.Request, GatewayUnderTest.Model, 1, 0, 0);
                for (HttpStatusCode? status = null; status is not HttpStatusCode.OK; await Task.Delay(5))
                {
                    using var reported = await node.PostReportsAsync(report);
                    status = reported.StatusCode;
                    status.ShouldBeOneOf(HttpStatusCode.OK, HttpStatusCode.ServiceUnavailable);
                }

                Interlocked.Increment(ref acknowledged);
            }
        })));
        for (var i = 0; i < 3; i++)
        {
            await Task.Delay(500, TestContext.Current.CancellationToken);
            server.Kill();
            await Task.Delay(200, TestContext.Current.CancellationToken);
            await server.StartAgainAsync();
            await ReadyAsync(gateway);
        }

        await Task.Delay(300, TestContext.Current.CancellationToken);
        await done.CancelAsync();
        await load;
        refused.ShouldBeGreaterThan(0);

        // What was acknowledged is charged once, but for reservations that a crash took along before they were on the disk: those are nobody's.
        var (used, _) = await gateway.UnitsAsync();
        var stacks = await gateway.ReadAsync(state => state.Stacks.AsNoTracking().ToListAsync());
        stacks.Sum(stack => stack.Used).ShouldBe(used);
        used.ShouldBeLessThanOrEqualTo(acknowledged);
        used.ShouldBeGreaterThan(acknowledged / 2);
        gateway.Clock.Advance(TimeSpan.FromMinutes(11));
        await gateway.SweepAsync();
        (await gateway.ReadAsync(state => state.Stacks.SumAsync(stack => stack.Reserved))).ShouldBe(0);
    }

    [Fact]
    public async Task A_full_disk_of_the_servers_is_said_and_is_over_when_there_is_room_again()
    {
        using var disk = SmallDisk.Mount(24, "nobody");
        await using var server = await PostgresUnderTest.StartAsync();
        server.Execute("postgres", $"CREATE TABLESPACE small LOCATION '{disk.Path}'");
        server.Execute("postgres", "CREATE DATABASE crowded TEMPLATE gateway_template TABLESPACE small");
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { Postgres = server.Connection("crowded") });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var report = new UsageReport(await RequestAsync(user, node), GatewayUnderTest.Model, 60, 40, 0);
        disk.Fill();
        HttpResponseMessage locked;
        do // pages that are there have room
            locked = await user.PostAsync("/v1/nodes/lock", Http.Json(Lock));
        while (locked.StatusCode is HttpStatusCode.OK);
        await locked.ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        gateway.Log.Text.ShouldContain("disk is full");
        disk.Clear();
        await ReadyAsync(gateway);
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        await node.ReportAsync(report);
        (await gateway.UnitsAsync()).Used.ShouldBe(100);
        await LockedNode.LockAsync(user);
    }

    [Theory]
    [InlineData("Host=127.0.0.1;Port=1;Database=cchat;Username=cchat", StateFault.Unreachable, "127.0.0.1:1", "running")]
    [InlineData("Host=no.such.host.invalid;Database=cchat;Username=cchat", StateFault.Unreachable, "no.such.host.invalid", "running")]
    [InlineData("{0};Database=nowhere;Username=cchat", StateFault.Absent, "nowhere", "CREATE DATABASE nowhere OWNER cchat")]
    [InlineData("{0};Database=postgres;Username=careful;Password=hunter2", StateFault.Refused, "password of careful", "Passfile")]
    [InlineData("{0};Database=postgres;Username=careful", StateFault.Refused, "password", "Passfile")]
    [InlineData("{0};Database=postgres;Username=nobody", StateFault.Refused, "let nobody in", "pg_hba.conf")]
    [InlineData("{0};Database=narrow;Username=careful;Password=secret", StateFault.Refused, "careful may not", "GRANT CREATE")]
    [InlineData("{0};Database=narrow;Username=cchat;SSL Mode=VerifyFull;Password=hunter2", StateFault.Refused, "TLS", "ssl = on")]
    [InlineData("{0};Database=narrow;Username=cchat;Search Path=nowhere", StateFault.Refused, "no schema for cchat", "search_path")]
    [InlineData("{0};Database=frozen;Username=cchat", StateFault.ReadOnly, "takes no changes", "primary")]
    [InlineData("{0};Database=narrow;Username=crowd;Password=secret", StateFault.Busy, "no connection left", "max_connections")]
    public async Task A_server_that_does_not_serve_a_gateway_is_named_with_what_can_be_done(string written, StateFault fault, string message, string hint)
    {
        var server = await Strict.Value;
        var text = written.Replace("{0}", $"Host=127.0.0.1;Port={server.Port};Timeout=3", StringComparison.Ordinal);
        var options = new GatewayOptions { DataDirectory = Path.Combine(directory, "data"), Postgres = text, Port = 0 };
        foreach (var open in (Func<Task>[])[() => GatewayHost.CreateAsync(options), () => GatewayOperator.OpenAsync(directory, postgres: text)])
        {
            var refusal = await Should.ThrowAsync<GatewayStateException>(open);
            refusal.Fault.ShouldBe(fault, refusal.ToString());
            refusal.Message.ShouldContain(message, Case.Insensitive);
            refusal.Hint.ShouldContain(hint);
            $"{refusal} {refusal.Hint}".ShouldNotContain("hunter2");
        }
    }

    /// <summary>Asks for passwords, where the name is not its own.</summary>
    private static readonly Lazy<Task<PostgresUnderTest>> Strict = new(async () =>
    {
        var server = await PostgresUnderTest.StartAsync("host all careful,crowd 127.0.0.1/32 scram-sha-256\nhost all nobody 127.0.0.1/32 reject");
        server.Execute("postgres", "CREATE ROLE careful LOGIN PASSWORD 'secret'");
        server.Execute("postgres", "CREATE ROLE crowd LOGIN PASSWORD 'secret' CONNECTION LIMIT 0");
        server.Execute("postgres", "CREATE DATABASE narrow");
        server.Execute("postgres", "CREATE DATABASE frozen");
        server.Execute("postgres", "ALTER DATABASE frozen SET default_transaction_read_only = on");
        return server;
    });

    [Fact]
    public async Task Two_gateways_of_one_database_and_key_serve_what_the_other_locked_and_settle_what_the_other_relayed_once()
    {
        var server = await PostgresUnderTest.SharedAsync();
        var connection = server.CreateDatabase();
        await using (var first = await GatewayUnderTest.StartAsync(options => options with { Postgres = connection }))
        {
            var data = Path.Combine(directory, "second");
            Directory.CreateDirectory(data);
            File.Copy(Path.Combine(first.DataDirectory, "gateway.key"), Path.Combine(data, "gateway.key"));
            await using var second = await GatewayUnderTest.StartAsync(options => options with { Postgres = connection, DataDirectory = data });
            await using var node = await ScriptedNode.StartAsync(first);
            var key = await first.KeyAsync();
            await second.NoticeAsync();
            using var atFirst = first.Client(key);
            using var atSecond = second.Client(key);
            var body = (await LockedNode.LockAsync(atFirst, Lock)).Envelope();
            (await atSecond.PostAsync(GatewayUnderTest.ChatPath, Http.Json(body))).StatusCode.ShouldBe(HttpStatusCode.OK);
            await (await atFirst.PostAsync(GatewayUnderTest.ChatPath, Http.Json(body))).ShouldBeErrorAsync(425, "UNAVAILABLE_STACK");
            var report = new UsageReport((await node.SeenAsync()).Request, GatewayUnderTest.Model, 60, 40, 0);
            var reports = new List<Task<HttpResponseMessage>>();
            for (var i = 0; i < 8; i++)
            {
                node.Gateway = i % 2 == 0 ? first : second;
                reports.Add(node.PostReportsAsync(report));
            }

            (await Task.WhenAll(reports)).ShouldAllBe(answer => answer.StatusCode == HttpStatusCode.OK);
            (await first.UnitsAsync()).Used.ShouldBe(100);
            (await second.StackAsync()).Used.ShouldBe(100);

            await second.Operator.RevokeApiKeyAsync(key.Split('_')[1]);
            await first.NoticeAsync();
            await (await atFirst.GetAsync("/v1/models")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        }

        server.Drop(connection);
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
