using System.Globalization;
using System.Net;
using System.Text.Json;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Gateway.Tests.Postgres;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/gateway.md section 11, over HTTP.</summary>
public class AdministrationTests : IAsyncLifetime
{
    private readonly SimulatedPlatform platform = new();
    private GatewayUnderTest gateway = null!;
    private ScriptedNode node = null!;
    private KeySetDigest keys;
    private HttpClient alice = null!, bob = null!, admin = null!;
    private long arranged; // the audit log's last line of it
    private string adminPrefix = "";

    public async ValueTask InitializeAsync()
    {
        gateway = await GatewayUnderTest.StartAsync();
        node = await ScriptedNode.StartAsync(gateway);
        keys = (await node.AttestAsync(platform)).Digest;
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", ChunkedAnswerSealer.MediaType);
        alice = await gateway.UserAsync();
        bob = await gateway.UserAsync("bob");
        var key = await gateway.Operator.CreateApiKeyAsync("clerk", ApiKeyScopes.Admin, expiresAt: null);
        adminPrefix = key.Prefix;
        admin = gateway.Client(key.Text);
        arranged = (await gateway.Operator.Administration.ListAuditAsync(new Page(Limit: 1))).Data[0].Id;
        await gateway.NoticeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var client in (HttpClient[])[alice, bob, admin])
            client.Dispose();
        await node.DisposeAsync();
        await gateway.DisposeAsync();
        platform.Dispose();
    }

    [Fact]
    public async Task What_was_paid_is_added_once_for_each_reference_and_everything_is_in_the_audit_log_with_who_did_it()
    {
        var paid = await PostAsync("users/1/deposits", """{"amount":12000345,"reference":"invoice 7","note":"by wire"}""");
        Figures(paid).ShouldBe((12_000_345, 0, 12_000_345, false));
        Figures(await PostAsync("users/1/deposits", """{"amount":12000345,"reference":"invoice 7"}""")).ShouldBe((12_000_345, 0, 12_000_345, true));
        await RefusedAsync("users/1/deposits", """{"amount":12000346,"reference":"invoice 7"}""", "reference");
        await RefusedAsync("users/1/corrections", """{"amount":12000345,"reference":"invoice 7"}""", "reference");
        Figures(await PostAsync("users/2/deposits", """{"amount":1,"reference":"invoice 7"}""")).ShouldBe((1, 0, 1, false)); // another payer's
        Figures(await PostAsync("users/1/corrections", """{"amount":-345,"reference":"c1","note":"counted twice"}"""))
            .ShouldBe((12_000_000, 0, 12_000_000, false));
        Figures(await PostAsync("users/1/corrections", """{"amount":-345,"reference":"c1"}""")).ShouldBe((12_000_000, 0, 12_000_000, true));

        (await ListAsync("users/1/ledger")).Select(entry => (entry.GetProperty("kind").GetString(), entry.GetProperty("amount").GetInt64(),
            entry.GetProperty("made_by").GetString(), entry.GetProperty("reference").GetString())).ShouldBe(
            [("correction", -345, $"cc_{adminPrefix}", "c1"), ("deposit", 12_000_345, $"cc_{adminPrefix}", "invoice 7")]);
        (await AuditAsync()).Select(line => (line.GetProperty("actor").GetString(), line.GetProperty("act").GetString(),
            line.GetProperty("subject").GetString(), line.GetProperty("detail").GetString())).ShouldBe(
            [
                ($"cc_{adminPrefix}", "correction", "user 1", "-345 c1 counted twice"),
                ($"cc_{adminPrefix}", "deposit", "user 2", "1 invoice 7"),
                ($"cc_{adminPrefix}", "deposit", "user 1", "12000345 invoice 7 by wire"),
            ]);
        (await (await alice.GetAsync("/v1/balance")).JsonAsync()).GetRawText().ShouldBe("""{"balance":12000000,"held":0,"available":12000000}""");
    }

    [Theory]
    [InlineData("deposits", """{"amount":0}""", "amount")]
    [InlineData("deposits", """{"amount":-1}""", "amount")]
    [InlineData("deposits", """{"amount":9007199254740992}""", "amount")]
    [InlineData("deposits", """{"amount":9223372036854775808}""", "amount")]
    [InlineData("deposits", """{"amount":1e3}""", "amount")]
    [InlineData("deposits", """{"amount":1.5}""", "amount")]
    [InlineData("deposits", """{"amount":"1"}""", "amount")]
    [InlineData("deposits", """{"amount":null}""", "amount")]
    [InlineData("deposits", "{}", "amount")]
    [InlineData("deposits", """{"amount":1,"reference":""}""", "reference")]
    [InlineData("deposits", """{"amount":1,"reference":7}""", "reference")]
    [InlineData("deposits", """{"amount":1,"reference":"a\u202eb"}""", "reference")]
    [InlineData("deposits", """{"amount":1,"note":"two\nlines"}""", "note")]
    [InlineData("deposits", """{"amount":1,"amounts":2}""", "amounts")]
    [InlineData("corrections", """{"amount":0}""", "amount")]
    [InlineData("corrections", """{"amount":-9007199254740992}""", "amount")]
    [InlineData("corrections", """{"amount":-9223372036854775808}""", "amount")]
    public async Task An_amount_that_is_none_names_its_field_and_moves_nothing(string what, string body, string field)
    {
        await RefusedAsync($"users/1/{what}", body, field);
        (await ListAsync("users/1/ledger")).ShouldBeEmpty();
        (await AuditAsync()).ShouldBeEmpty();
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("""{"amount":1,"amount":2}""")]
    [InlineData("""{"amount":1""")]
    [InlineData("")]
    public async Task A_body_that_can_be_read_in_two_ways_or_none_is_refused(string body) =>
        await (await admin.PostAsync("/v1/admin/users/1/deposits", Http.Json(body))).ShouldBeErrorAsync(400, "INVALID_JSON");

    [Fact]
    public async Task A_balance_goes_up_to_the_largest_amount_and_down_to_what_is_held_and_no_further()
    {
        await PostAsync("users/1/deposits", $$"""{"amount":{{MicroDollars.MaxValue - 1}}}""");
        await RefusedAsync("users/1/deposits", """{"amount":2}""", "amount");
        await RefusedAsync("users/1/corrections", $$"""{"amount":{{MicroDollars.MaxValue}}}""", "amount");
        Figures(await PostAsync("users/1/deposits", """{"amount":1}""")).Balance.ShouldBe(MicroDollars.MaxValue);

        await SetPriceAsync(150_000, 600_000);
        Figures(await PostAsync("users/1/corrections", $$"""{"amount":{{3000 - MicroDollars.MaxValue}}}""")).Balance.ShouldBe(3000);
        await AnsweredAsync(alice);
        (await (await alice.GetAsync("/v1/balance")).JsonAsync()).GetRawText().ShouldBe("""{"balance":3000,"held":2458,"available":542}""");
        using var refused = await admin.PostAsync("/v1/admin/users/1/corrections", Http.Json("""{"amount":-543}"""));
        await refused.ShouldBeErrorAsync(402, "BALANCE_ERROR");
        var error = JsonElement.Parse(await refused.Content.ReadAsStringAsync()).GetProperty("error");
        (error.GetProperty("needed").GetInt64(), error.GetProperty("available").GetInt64()).ShouldBe((543, 542));
        Figures(await PostAsync("users/1/corrections", """{"amount":-542}""")).ShouldBe((2458, 2458, 0, false));
    }

    [Fact]
    public async Task Of_many_deposits_at_once_all_count_and_of_one_reference_one()
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(number => admin.PostAsync(
            "/v1/admin/users/1/deposits",
            Http.Json(number % 2 == 0 ? """{"amount":1000}""" : """{"amount":7,"reference":"the same"}"""))));
        var figures = new List<bool>();
        foreach (var answer in answers)
            figures.Add((await answer.JsonAsync()).GetProperty("repeated").GetBoolean());
        figures.Count(repeated => repeated).ShouldBe(19);
        (await gateway.ReadAsync(state => Task.FromResult(state.Users.Single(row => row.Name == "alice").Balance))).ShouldBe(20_007);
        (await AuditAsync()).Count.ShouldBe(21);
    }

    [Fact]
    public async Task Another_users_things_and_what_there_is_not_are_404_and_a_key_for_requests_opens_none_of_it()
    {
        await SetPriceAsync(150_000, 600_000);
        await PostAsync("users/1/deposits", """{"amount":1000000}""");
        var call = await AnsweredAsync(alice);
        (await alice.GetAsync($"/v1/usage/{call.Id}")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await bob.GetAsync($"/v1/usage/{call.Id}")).ShouldBeErrorAsync(404, "NOT_FOUND");
        foreach (var id in (string[])[$"{Guid.NewGuid()}", "1", $"{call.Id:N}"])
            await (await alice.GetAsync($"/v1/usage/{id}")).ShouldBeErrorAsync(404, "NOT_FOUND");
        (string Method, string Path, string? Body)[] unknown =
        [
            ("GET", "users/99", null), ("GET", "users/-1", null), ("GET", "users/x", null), ("GET", "users/99999999999999999999", null),
            ("GET", "users/99/ledger", null), ("POST", "users/99/deposits", """{"amount":1}"""), ("POST", "users/99/corrections", """{"amount":1}"""),
            ("POST", "users/99/keys", "{}"), ("DELETE", "keys/aaaaaaaa", null), ("DELETE", "keys/a", null),
            ("PUT", "prices", """{"node":99,"model":"m","prompt":1,"completion":1,"image":1}"""), ("DELETE", "prices?node=99&model=m", null),
            ("DELETE", $"prices?node={node.Id}&model=m", null),
        ];
        foreach (var (method, path, body) in unknown)
            await (await SendAsync(admin, method, path, body)).ShouldBeErrorAsync(404, "NOT_FOUND");
        foreach (var (method, path, body) in unknown)
            await (await SendAsync(alice, method, path, body)).ShouldBeErrorAsync(403, "FORBIDDEN");
        using var anyone = gateway.Client();
        await (await SendAsync(anyone, "GET", "audit", null)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        foreach (var path in (string[])["/v1/balance", "/v1/usage", $"/v1/usage/{call.Id}"])
            await (await admin.GetAsync(path)).ShouldBeErrorAsync(403, "FORBIDDEN");
    }

    [Fact]
    public async Task No_key_opens_administration_until_an_operator_makes_one()
    {
        await using var fresh = await GatewayUnderTest.StartAsync();
        using var user = await fresh.UserAsync();
        await (await user.GetAsync("/v1/admin/users")).ShouldBeErrorAsync(403, "FORBIDDEN");
        (await fresh.Operator.ListApiKeysAsync()).ShouldAllBe(key => key.Scopes == ApiKeyScopes.Inference);
    }

    [Fact]
    public async Task A_key_that_was_made_opens_at_once_and_a_revoked_one_nothing()
    {
        var made = await PostAsync("users/2/keys", """{"scopes":["inference"],"expires_at":"2999-01-01T00:00:00Z"}""");
        using var user = gateway.Client(made.GetProperty("api_key").GetString());
        (await user.GetAsync("/v1/balance")).StatusCode.ShouldBe(HttpStatusCode.OK);
        var prefix = made.GetProperty("prefix").GetString()!;
        var listed = (await ListAsync("keys?user=2")).Single(key => key.GetProperty("prefix").GetString() == prefix);
        listed.GetProperty("scopes").GetRawText().ShouldBe("""["inference"]""");
        listed.GetProperty("user").GetString().ShouldBe("bob");
        (await admin.DeleteAsync($"/v1/admin/keys/{prefix}")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await (await user.GetAsync("/v1/balance")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await admin.DeleteAsync($"/v1/admin/keys/{prefix}")).ShouldBeErrorAsync(404, "NOT_FOUND");
        (await AuditAsync()).Select(line => (line.GetProperty("act").GetString(), line.GetProperty("subject").GetString())).ShouldBe(
            [("key.revoke", $"key cc_{prefix}"), ("key.create", $"key cc_{prefix} of user 2")]);

        foreach (var (body, field) in ((string, string)[])[
            ("""{"scopes":[]}""", "scopes"), ("""{"scopes":["root"]}""", "scopes"), ("""{"scopes":"inference"}""", "scopes"),
            ("""{"expires_at":"2000-01-01T00:00:00Z"}""", "expires_at"), ("""{"expires_at":"2999-01-01T00:00:00"}""", "expires_at"),
            ("""{"expires_at":4102444800}""", "expires_at"), ("""{"expires_at":"tomorrow"}""", "expires_at")])
            await RefusedAsync("users/2/keys", body, field);
    }

    [Fact]
    public async Task Users_are_made_once_and_listed_in_pages_that_skip_and_repeat_nobody()
    {
        for (var number = 0; number < 5; number++)
            (await PostAsync("users", $$"""{"name":"user {{number}}"}""")).GetProperty("name").GetString().ShouldBe($"user {number}");
        await RefusedAsync("users", """{"name":"user 3"}""", "name");
        await RefusedAsync("users", """{"name":" "}""", "name");
        await RefusedAsync("users", """{"name":"a\u0000b"}""", "name");
        await RefusedAsync("users", $$"""{"name":"{{new string('n', 201)}}"}""", "name");
        var names = new List<string?>();
        string? after = "";
        do
        {
            var page = await (await admin.GetAsync($"/v1/admin/users?limit=3{after}")).JsonAsync();
            names.AddRange(page.GetProperty("data").EnumerateArray().Select(user => user.GetProperty("name").GetString()));
            after = page.GetProperty("next") is { ValueKind: JsonValueKind.Number } next ? $"&after={next}" : null;
        }
        while (after is not null);
        names.ShouldBe(["alice", "bob", "clerk", "user 0", "user 1", "user 2", "user 3", "user 4"]);
        (await ListAsync("users?name=user%201")).ShouldHaveSingleItem().GetProperty("id").GetInt64().ShouldBe(5);
        foreach (var (query, field) in ((string, string)[])[
            ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("after=-1", "after"), ("limit=1&limit=2", "limit"), ("offset=3", "offset")])
            await (await admin.GetAsync($"/v1/admin/users?{query}")).ShouldBeErrorAsync(400, "INVALID_FIELD", field);
    }

    [Fact]
    public async Task A_price_holds_at_once_and_one_that_is_none_names_its_part()
    {
        await SetPriceAsync(150_000, 600_000);
        (await ListedPriceAsync()).GetProperty("completion").GetInt64().ShouldBe(600_000);
        var price = (await ListAsync($"prices?node={node.Id}")).ShouldHaveSingleItem();
        (price.GetProperty("model").GetString(), price.GetProperty("prompt").GetInt64(), price.GetProperty("set_by").GetString())
            .ShouldBe((GatewayUnderTest.Model, 150_000, $"cc_{adminPrefix}"));
        foreach (var (body, field) in ((string, string)[])[
            ("""{"node":1,"model":"m","prompt":-1,"completion":1,"image":1}""", "prompt"),
            ("""{"node":1,"model":"m","prompt":1,"completion":1000000000001,"image":1}""", "completion"),
            ("""{"node":1,"model":"m","prompt":1,"completion":1}""", "image"), ("""{"node":1,"model":"","prompt":1,"completion":1,"image":1}""", "model"),
            ("""{"model":"m","prompt":1,"completion":1,"image":1}""", "node")])
            await (await SendAsync(admin, "PUT", "prices", body)).ShouldBeErrorAsync(400, "INVALID_FIELD", field);
        (await SendAsync(admin, "DELETE", $"prices?node={node.Id}&model={GatewayUnderTest.Model}", null)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await ListedPriceAsync()).ValueKind.ShouldBe(JsonValueKind.Null);
        await (await SendAsync(admin, "DELETE", $"prices?node={node.Id}&model={GatewayUnderTest.Model}", null)).ShouldBeErrorAsync(404, "NOT_FOUND");
        (await AuditAsync()).Select(line => line.GetProperty("act").GetString()).ShouldBe(["price.end", "price.set"]);
    }

    [Fact]
    public async Task A_request_is_shown_to_its_user_as_it_runs_is_settled_and_was_signed()
    {
        await SetPriceAsync(150_000, 600_000);
        await PostAsync("users/1/deposits", """{"amount":10000}""");
        var call = await AnsweredAsync(alice);
        var running = await UsageAsync(call);
        (running.GetProperty("state").GetString(), running.GetProperty("held").GetInt64(), running.GetProperty("reserved").GetInt64())
            .ShouldBe(("held", 2458, 4096));
        foreach (var absent in (string[])["reported", "charged", "charge", "millionths", "settled_at", "voucher"])
            running.GetProperty(absent).ValueKind.ShouldBe(JsonValueKind.Null, absent);

        await node.VouchAsync(Usage(call, 1001, 303));
        var settled = await UsageAsync(call);
        (settled.GetProperty("state").GetString(), settled.GetProperty("held").GetInt64(), settled.GetProperty("model").GetString())
            .ShouldBe(("reported", 0, GatewayUnderTest.Model));
        settled.GetProperty("reported").GetRawText().ShouldBe("""{"prompt":1001,"completion":303,"pixels":0}""");
        settled.GetProperty("charged").GetRawText().ShouldBe("""{"prompt":1001,"completion":303,"pixels":0}""");
        (settled.GetProperty("charge").GetInt64(), settled.GetProperty("millionths").GetInt32()).ShouldBe((331, 950_000));
        settled.GetProperty("price").GetProperty("prompt").GetInt64().ShouldBe(150_000);
        SignedVoucher.TryParse(settled.GetProperty("voucher").GetBytesFromBase64(), out var voucher);
        (voucher!.Voucher.Request.Value, voucher.Voucher.Usage).ShouldBe((call.Id, new Usage(1001, 303)));

        await SetPriceAsync(1, 1);
        JsonElement.DeepEquals(await UsageAsync(call), settled).ShouldBeTrue(); // the price was fixed
    }

    [Fact]
    public async Task Usage_is_summed_by_day_model_and_user_exactly_and_at_the_price_of_each_request()
    {
        await SetPriceAsync(150_000, 600_000);
        foreach (var user in (int[])[1, 2])
            await PostAsync($"users/{user}/deposits", """{"amount":1000000}""");
        await node.VouchAsync(Usage(await AnsweredAsync(alice), 1, 0)); // 0.15
        await node.VouchAsync(Usage(await AnsweredAsync(alice), 1, 0));
        await SetPriceAsync(100_000, 100_000);
        await node.VouchAsync(Usage(await AnsweredAsync(alice), 7, 0)); // 0.7
        await node.VouchAsync(Usage(await AnsweredAsync(bob), 10, 10)); // 2
        var first = Today();
        gateway.Clock.Advance(TimeSpan.FromDays(1));
        await node.AttestAsync(platform);
        await node.BeatAsync();

        var own = await (await alice.GetAsync("/v1/usage")).JsonAsync();
        var line = own.GetProperty("data").EnumerateArray().ShouldHaveSingleItem();
        line.GetRawText().ShouldBe(
            $$"""{"day":"{{first}}","model":"{{GatewayUnderTest.Model}}","requests":3,"prompt":9,"completion":0,"pixels":0,"charge":1,"millionths":0}""");
        (own.GetProperty("from").GetString(), own.GetProperty("to").GetString(), own.GetProperty("truncated").GetBoolean())
            .ShouldBe((Day(-29), Today(), false));

        (await SumsAsync("")).ShouldBe([(first, "alice", 3, 1), (first, "bob", 1, 2)]);
        (await SumsAsync("&user=2")).ShouldBe([(first, "bob", 1, 2)]);
        (await SumsAsync("&model=none")).ShouldBeEmpty();
        (await SumsAsync($"&by=user&user=1&model={GatewayUnderTest.Model}")).ShouldBe([(null, "alice", 3, 1)]);
        (await SumsAsync("&by=day")).ShouldBe([(first, null, 4, 3)]);
        (await SumsAsync($"&from={Today()}")).ShouldBeEmpty();

        foreach (var (query, field) in ((string, string)[])[
            ("from=2026-02-30", "from"), ("from=30.01.2026", "from"), ("from=2026-01-02&to=2026-01-01", "from"), ("from=2020-01-01&to=2026-01-01", "from"),
            ("from=0001-01-01&to=9999-12-31", "from"), ("to=1", "to"), ("user=1", "user")])
            await (await alice.GetAsync($"/v1/usage?{query}")).ShouldBeErrorAsync(400, "INVALID_FIELD", field);
        foreach (var range in (string[])["to=0001-01-01", "from=9999-12-31", "from=9999-12-01&to=9999-12-31", "from=0001-01-01"])
            (await (await alice.GetAsync($"/v1/usage?{range}")).JsonAsync()).GetProperty("data").GetArrayLength().ShouldBe(0, range);
        foreach (var by in (string[])["", "hour", "day,day", "day,,user"])
            await (await admin.GetAsync($"/v1/admin/usage?by={by}")).ShouldBeErrorAsync(400, "INVALID_FIELD", "by");

        async Task<IEnumerable<(string?, string?, long, long)>> SumsAsync(string query) =>
            (await (await admin.GetAsync($"/v1/admin/usage?to={Today()}{query}")).JsonAsync()).GetProperty("data").EnumerateArray().Select(sum => (
                sum.TryGetProperty("day", out var day) ? day.GetString() : null, sum.TryGetProperty("name", out var name) ? name.GetString() : null,
                sum.GetProperty("requests").GetInt64(), sum.GetProperty("charge").GetInt64()));

        string Day(int days) => gateway.Clock.GetUtcNow().AddDays(days).UtcDateTime.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

        string Today() => Day(0);
    }

    [Fact]
    public async Task Units_of_a_stack_cost_its_dearest_part_and_a_refused_request_nothing()
    {
        await SetPriceAsync(150_000, 600_000);
        await PostAsync("users/1/deposits", """{"amount":100000}""");
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        var locked = await LockedNode.LockAsync(alice);
        (await alice.PostAsync(GatewayUnderTest.ChatPath, Http.Json(locked.Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);
        var request = (await gateway.ReservationsAsync()).Single().RequestId;
        await node.VouchAsync(new UsageReport(Guid.Parse(request), GatewayUnderTest.Model, 100, 20, 0));
        var usage = await (await alice.GetAsync($"/v1/usage/{request}")).JsonAsync();
        (usage.GetProperty("state").GetString(), usage.GetProperty("charge").GetInt64(), usage.GetProperty("millionths").GetInt32())
            .ShouldBe(("reported", 72, 0)); // 120 × 0.6

        node.Script = context => ScriptedNode.AnswerAsync(
            context, 429, """{"type":"about:blank","status":429,"code":"TOO_MANY_REQUESTS"}""", ProblemDocument.MediaType);
        var call = new SealedCall(node.Id, keys);
        (await alice.SendAsync(call.Request())).StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        var refused = await UsageAsync(call);
        (refused.GetProperty("state").GetString(), refused.GetProperty("held").GetInt64(), refused.GetProperty("charge").ValueKind)
            .ShouldBe(("released", 0, JsonValueKind.Null));
    }

    [Fact]
    public async Task What_an_operator_does_to_keys_tokens_and_nodes_is_in_the_audit_log_and_what_changed_nothing_is_not()
    {
        var admin = gateway.Operator.Administration;
        var end = DateTimeOffset.UtcNow.AddDays(1);
        var first = (await gateway.Operator.CreateUserAsync("erin"))!;
        (await gateway.Operator.CreateUserAsync("erin")).ShouldBeNull();
        var second = await gateway.Operator.CreateApiKeyAsync("erin", ApiKeyScopes.Inference | ApiKeyScopes.Admin, end);
        (await gateway.Operator.RevokeApiKeyAsync(first.Prefix)).ShouldBeTrue();
        (await gateway.Operator.RevokeApiKeyAsync(first.Prefix)).ShouldBeFalse();
        var token = await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1));
        (await gateway.Operator.RemoveNodeAsync(node.Id)).ShouldBeTrue();
        (await gateway.Operator.RemoveNodeAsync(node.Id)).ShouldBeFalse();

        var user = (await admin.ListUsersAsync("erin", new Page())).Data.Single().Id;
        var lines = (await admin.ListAuditAsync(new Page())).Data.TakeWhile(line => line.Id > arranged).Reverse().ToList();
        lines.ShouldAllBe(line => line.Actor == Administration.Operator);
        lines.Select(line => (line.Act, line.Subject, line.Detail)).ShouldBe(
        [
            ("user.create", $"user {user}", "erin"),
            ("key.create", $"key cc_{first.Prefix} of user {user}", "inference"),
            ("key.create", $"key cc_{second.Prefix} of user {user}", $"inference admin, until {end:yyyy-MM-ddTHH:mm:ssZ}"),
            ("key.revoke", $"key cc_{first.Prefix}", null),
            ("token.create", $"token cce_{token.Prefix}", $"until {token.ExpiresAt:yyyy-MM-ddTHH:mm:ssZ}"),
            ("node.remove", $"node {node.Id}", null),
        ]);
        lines.ShouldNotContain(line => $"{line}".Contains(first.Text) || $"{line}".Contains(second.Text) || $"{line}".Contains(token.Text));
    }

    [Fact]
    public async Task Beside_the_gateway_the_same_is_done_by_whoever_has_the_database_and_holds_within_a_second()
    {
        var beside = gateway.Operator.Administration;
        var dave = (await beside.CreateUserAsync("dave", Administration.Operator))!;
        (await beside.CreateUserAsync("dave", Administration.Operator)).ShouldBeNull();
        var key = (await beside.CreateKeyAsync(dave.Id, ApiKeyScopes.Inference, expiresAt: null, Administration.Operator))!;
        (await beside.DepositAsync(dave.Id, new MicroDollars(500), Administration.Operator, "r1")).ShouldBe(new(ActOutcome.Done, new FundsEntry(500, 0)));
        (await beside.DepositAsync(dave.Id, new MicroDollars(500), Administration.Operator, "r1")).ShouldBe(new(ActOutcome.Repeated, new FundsEntry(500, 0)));
        (await beside.DepositAsync(dave.Id, new MicroDollars(501), Administration.Operator, "r1")).Outcome.ShouldBe(ActOutcome.ReferenceTaken);
        (await beside.DepositAsync(99, new MicroDollars(1), Administration.Operator)).Outcome.ShouldBe(ActOutcome.NotFound);
        (await beside.CorrectAsync(dave.Id, new MicroDollars(501), isAdded: false, Administration.Operator)).Outcome.ShouldBe(ActOutcome.TooLittle);
        (await beside.SetPriceAsync(node.Id, GatewayUnderTest.Model, new UnitPrices(new(1), new(2), new(3)), Administration.Operator)).ShouldBeTrue();
        await gateway.NoticeAsync();
        using var user = gateway.Client(key.Text);
        (await (await user.GetAsync("/v1/balance")).JsonAsync()).GetProperty("balance").GetInt64().ShouldBe(500);
        (await ListedPriceAsync()).GetProperty("image").GetInt64().ShouldBe(3);
        (await AuditAsync()).Select(line => (line.GetProperty("actor").GetString(), line.GetProperty("act").GetString())).ShouldBe(
            [("operator", "price.set"), ("operator", "deposit"), ("operator", "key.create"), ("operator", "user.create")]);
    }

    [OfSqliteFile]
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_database_that_takes_nothing_is_said_and_nothing_is_half_done(bool isFull)
    {
        using var disk = SmallDisk.Mount();
        var data = Path.Combine(disk.Path, "data");
        var before = await GatewayOperator.OpenAsync(data);
        var user = (await before.Administration.CreateUserAsync("alice", Administration.Operator))!;
        (await before.Administration.DepositAsync(user.Id, new MicroDollars(100), Administration.Operator)).Outcome.ShouldBe(ActOutcome.Done);
        if (isFull)
            disk.Fill();
        else
            disk.MakeReadOnly();

        // A page of the log may have room yet.
        var faults = new List<GatewayStateException>();
        for (var tries = 0; tries < 50 && faults.Count < 3; tries++)
        {
            try
            {
                await before.Administration.DepositAsync(user.Id, new MicroDollars(1), Administration.Operator);
            }
            catch (GatewayStateException e)
            {
                faults.Add(e);
            }
        }

        faults.Count.ShouldBe(3);
        faults.ShouldAllBe(fault => fault.Hint.Length > 0);
        await Should.ThrowAsync<GatewayStateException>(() => before.Administration.CreateUserAsync("bob", Administration.Operator));
        await Should.ThrowAsync<GatewayStateException>(
            () => before.Administration.CreateKeyAsync(user.Id, ApiKeyScopes.Inference, expiresAt: null, Administration.Operator));
        if (isFull)
            disk.Clear();
        else
            disk.MakeWritable();
        var sum = (await before.Administration.ListLedgerAsync(user.Id, new Page())).Data.Sum(entry => entry.Amount);
        (await before.Administration.FindUserAsync(user.Id))!.Balance.ShouldBe(sum);
        (await before.Administration.ListAuditAsync(new Page())).Data.Count(line => line.Act == "deposit")
            .ShouldBe((await before.Administration.ListLedgerAsync(user.Id, new Page())).Data.Count);
        (await before.Administration.ListUsersAsync(null, new Page())).Data.Select(known => known.Name).ShouldBe(["alice"]);
        (await before.ListApiKeysAsync()).ShouldBeEmpty();
    }

    private static (long Balance, long Held, long Available, bool Repeated) Figures(JsonElement moved) => (
        moved.GetProperty("balance").GetInt64(), moved.GetProperty("held").GetInt64(), moved.GetProperty("available").GetInt64(),
        moved.GetProperty("repeated").GetBoolean());

    private static UsageReport Usage(SealedCall call, long prompt, long completion) => new(call.Id, GatewayUnderTest.Model, prompt, completion, 0);

    private static Task<HttpResponseMessage> SendAsync(HttpClient client, string method, string path, string? body) =>
        client.SendAsync(new HttpRequestMessage(new HttpMethod(method), $"/v1/admin/{path}") { Content = body is null ? null : Http.Json(body) });

    private async Task<JsonElement> PostAsync(string path, string body) => await (await admin.PostAsync($"/v1/admin/{path}", Http.Json(body))).JsonAsync();

    private async Task RefusedAsync(string path, string body, string field) =>
        await (await admin.PostAsync($"/v1/admin/{path}", Http.Json(body))).ShouldBeErrorAsync(400, "INVALID_FIELD", field);

    private async Task<List<JsonElement>> ListAsync(string path) =>
        [.. (await (await admin.GetAsync($"/v1/admin/{path}")).JsonAsync()).GetProperty("data").EnumerateArray()];

    // Of what was done since the test began.
    private async Task<List<JsonElement>> AuditAsync() => [.. (await ListAsync("audit")).Where(line => line.GetProperty("id").GetInt64() > arranged)];

    private async Task SetPriceAsync(long prompt, long completion)
    {
        var body = JsonSerializer.Serialize(new { node = node.Id, model = GatewayUnderTest.Model, prompt, completion, image = 0 });
        (await SendAsync(admin, "PUT", "prices", body)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
    }

    private async Task<JsonElement> ListedPriceAsync() =>
        (await (await alice.GetAsync($"/v2/nodes?model={GatewayUnderTest.Model}")).JsonAsync()).GetProperty("nodes")[0].GetProperty("price");

    private async Task<JsonElement> UsageAsync(SealedCall call) => await (await alice.GetAsync($"/v1/usage/{call.Id}")).JsonAsync();

    private async Task<SealedCall> AnsweredAsync(HttpClient user)
    {
        var call = new SealedCall(node.Id, keys);
        using var response = await user.SendAsync(call.Request());
        response.StatusCode.ShouldBe(HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
        await node.SeenAsync();
        return call;
    }
}
