using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using ConfidentialChat.Protocol.V2;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>The OpenAPI document: it lists what is served, what that answers and asks for, and its examples are true.</summary>
public sealed class ApiDocsTests
{
    private const int LockBytes = 16 * 1024; // spec/envelope-v1.md section 1
    private const int RelayedBytes = 32 * 1024 * 1024;

    private static readonly string[] V2 = [Endpoints.Nodes, Endpoints.Evidence, Endpoints.Relay, Endpoints.Collateral];

    [Fact]
    public async Task The_document_is_valid_and_lists_every_route_and_no_other()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var anyone = gateway.Client();
        var read = OpenApiDocument.Parse(await anyone.GetStringAsync("/openapi/v1.json"), "json");
        read.Diagnostic!.Errors.ShouldBeEmpty();
        read.Diagnostic.SpecificationVersion.ShouldBe(OpenApiSpecVersion.OpenApi3_1);

        var documented = read.Document!.Paths.SelectMany(path => path.Value.Operations!.Keys.Select(method => $"{method} {path.Key}"));
        var served = gateway.App.Services.GetServices<EndpointDataSource>().SelectMany(source => source.Endpoints).OfType<RouteEndpoint>()
            .Where(
                route => !route.RoutePattern.RawText!.StartsWith(ApiDocs.PagePath, StringComparison.Ordinal)
                    && route.RoutePattern.RawText != ApiDocs.DocumentPath)
            // What refuses every method serves nothing.
            .SelectMany(route => (route.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? []).Where(method => method != "HEAD")
                .Select(method => $"{method} {route.RoutePattern.RawText}"));
        documented.ShouldBe(served, ignoreOrder: true);
    }

    [Fact]
    public async Task The_page_and_its_script_come_from_the_gateway_alone()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var anyone = gateway.Client();
        var page = await anyone.GetStringAsync("/docs/");
        page.ShouldContain("openapi/v1.json");
        page.ShouldNotContain("https://");
        var script = System.Text.RegularExpressions.Regex.Match(page, "src=\"([^\"]+)\"").Groups[1].Value;
        (await anyone.GetAsync(new Uri(new Uri(gateway.Url, "/docs/"), script))).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_page_runs_its_own_scripts_alone_and_stands_in_nobodys_frame()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var anyone = gateway.Client();
        var nonces = new HashSet<string>(StringComparer.Ordinal);
        for (var loads = 0; loads < 2; loads++)
        {
            using var page = await anyone.GetAsync("/docs/");
            var policy = page.Headers.GetValues("Content-Security-Policy").Single();
            policy.ShouldContain("default-src 'none'");
            policy.ShouldContain("frame-ancestors 'none'");
            policy.Split(';').Single(part => part.Contains("script-src", StringComparison.Ordinal)).ShouldNotContain("unsafe");
            var nonce = System.Text.RegularExpressions.Regex.Match(policy, "'nonce-([^']{16,})'").Groups[1].Value;
            nonces.Add(nonce).ShouldBeTrue();
            var html = await page.Content.ReadAsStringAsync();
            var scripts = System.Text.RegularExpressions.Regex.Matches(html, "<script[^>]*>");
            scripts.Count.ShouldBeGreaterThan(0);
            scripts.ShouldAllBe(script => script.Value.Contains($"nonce=\"{nonce}\"", StringComparison.Ordinal));
            System.Text.RegularExpressions.Regex.IsMatch(html, "\\son[a-z]+=").ShouldBeFalse();
        }

        foreach (var path in (string[])["/docs", "/docs/", "/docs/scalar.js", "/docs/none", "/openapi/v1.json"])
        {
            using var answer = await anyone.GetAsync(path);
            answer.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"], path);
            answer.Headers.GetValues("Referrer-Policy").ShouldBe(["no-referrer"], path);
            answer.Headers.GetValues("Content-Security-Policy").Single().ShouldContain("frame-ancestors 'none'");
        }
    }

    [Fact]
    public async Task Turned_off_neither_is_there()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { Docs = false });
        using var anyone = gateway.Client();
        await (await anyone.GetAsync("/openapi/v1.json")).ShouldBeErrorAsync(404, "NOT_FOUND");
        await (await anyone.GetAsync("/docs/")).ShouldBeErrorAsync(404, "NOT_FOUND");
    }

    [Fact]
    public void Every_error_of_the_table_is_in_it_with_its_own_words()
    {
        var components = Document().GetProperty("components");
        components.GetProperty("schemas").GetProperty("Error").GetProperty("properties").GetProperty("error").GetProperty("properties").GetProperty("code")
            .GetProperty("enum").EnumerateArray().Select(code => code.GetString()).ShouldBe(RequestErrors.Table.Select(row => row.Code));
        foreach (var response in components.GetProperty("responses").EnumerateObject())
        {
            var content = response.Value.GetProperty("content").EnumerateObject().ShouldHaveSingleItem();
            foreach (var example in content.Value.GetProperty("examples").EnumerateObject())
            {
                var body = components.GetProperty("examples").GetProperty(example.Value.GetProperty("$ref").GetString()!.Split('/')[^1]).GetProperty("value");
                var (error, again) = Read(content.Name, Encoding.UTF8.GetBytes(body.GetRawText()));
                error.Row().Code.ShouldBe(example.Name);
                response.Value.GetProperty("description").GetString()!.Split(" · ").ShouldContain(example.Name);
                JsonElement.DeepEquals(JsonElement.Parse(again), body).ShouldBeTrue(example.Name);
            }
        }

        static (RequestError Error, byte[] Again) Read(string mediaType, byte[] body)
        {
            if (mediaType == ProblemDocument.MediaType)
            {
                ProblemDocument.TryParse(body, out var problem).ShouldBeTrue();
                return (problem!.Error, problem.ToJson());
            }

            Rejection.TryParse(body, out var rejection).ShouldBeTrue();
            return (rejection!.Error, rejection.ToJson());
        }
    }

    [Fact]
    public async Task The_example_of_a_lock_is_what_a_lock_looks_like()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var example = Document().GetProperty("paths").GetProperty("/v1/nodes/lock").GetProperty("post")
            .GetProperty("responses").GetProperty("200").GetProperty("content").GetProperty("application/json").GetProperty("example");
        var answer = await (await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""))).JsonAsync();
        Shape(answer).ShouldBe(Shape(example));

        example = Document().GetProperty("paths").GetProperty("/v1/models").GetProperty("get")
            .GetProperty("responses").GetProperty("200").GetProperty("content").GetProperty("application/json").GetProperty("example");
        var models = await (await user.GetAsync("/v1/models")).JsonAsync();
        Shape(models).ShouldBe(Shape(example));
        Shape(models.GetProperty("data")[0]).ShouldBe(Shape(example.GetProperty("data")[0]));
    }

    [Fact]
    public void The_sealed_examples_are_the_published_exchange()
    {
        var examples = Document().GetProperty("components").GetProperty("examples");
        var exchange = JsonElement.Parse(File.ReadAllText(Path.Combine(Tree.Root, "spec", "vectors", "envelope-v1.json"))).GetProperty("vectors")[0];
        var request = examples.GetProperty("sealedRequest").GetProperty("value");
        JsonElement.DeepEquals(request, exchange.GetProperty("envelope")).ShouldBeTrue();
        JsonElement.DeepEquals(examples.GetProperty("sealedAnswer").GetProperty("value"), exchange.GetProperty("sealed_answer")).ShouldBeTrue();
        var data = examples.GetProperty("sealedEvent").GetProperty("value").GetString()!;
        JsonElement.DeepEquals(JsonElement.Parse(data["data: ".Length..]), exchange.GetProperty("sealed_events")[0]).ShouldBeTrue();

        EnvelopeRequest.TryParse(Encoding.UTF8.GetBytes(request.GetRawText()), out _, out _).ShouldBeTrue();
        FiveFieldRequest.TryParse(Encoding.UTF8.GetBytes(examples.GetProperty("olderForm").GetProperty("value").GetRawText()), out _, out _).ShouldBeTrue();
    }

    [Fact]
    public async Task Every_documented_status_can_be_met_and_no_other_is()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxOpenLocks = 8 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var penpal = await Penpal.EnrolledAsync(gateway);
        using var user = await gateway.UserAsync();
        using var anyone = gateway.Client();
        var met = new SortedSet<string>(StringComparer.Ordinal);
        await MeetSlowlyAsync(met);
        await MeetSealedAsync(met);
        await MeetMoneyAsync(met);

        // A key that is for something else.
        using var clerk = gateway.Client((await gateway.Operator.CreateApiKeyAsync("clerk", ApiKeyScopes.Admin, expiresAt: null)).Text);
        foreach (var (operation, _, _) in Operations().Where(operation => operation.Responses.Exists(response => response.Name == "403")))
        {
            var url = operation.Replace("{id}", "1", StringComparison.Ordinal).Replace("{digest}", "0", StringComparison.Ordinal);
            var body = operation[0] is 'P' ? Http.Json("{}") : null; // POST, PUT
            var other = operation.Contains("/v1/admin/", StringComparison.Ordinal) ? user : clerk;
            (await MeetAsync(met, other, operation, 403, Request(url, body))).Dispose();
        }

        // Locks, while none is open.
        async Task LockAsync(int status, HttpContent body) => await MeetAsync(met, user, "POST /v1/nodes/lock", status, body);
        await LockAsync(400, Http.Json("["));
        await MeetAsync(met, anyone, "POST /v1/nodes/lock", 401, Http.Json("{}"));
        await LockAsync(402, Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}","max_num_tokens":2000000000}"""));
        await LockAsync(404, Http.Json("""{"model":"nobody's"}"""));
        await LockAsync(413, Http.Json(new byte[LockBytes + 1]));
        await LockAsync(415, new StringContent("{}"));

        // The confidential endpoints. A refusal gives the lock back.
        foreach (var endpoint in EnvelopeEndpoint.Table)
        {
            var locked = await LockedNode.LockAsync(user);
            async Task ConfidentialAsync(int status, HttpContent body) => await MeetAsync(met, user, $"POST {endpoint.Path}", status, body);
            await ConfidentialAsync(400, Http.Json("["));
            await MeetAsync(met, anyone, $"POST {endpoint.Path}", 401, Http.Json(locked.Envelope()));
            await ConfidentialAsync(413, Http.Json(new byte[RelayedBytes + 1]));
            await ConfidentialAsync(415, new ByteArrayContent(locked.Envelope()));
            await ConfidentialAsync(425, Http.Json(locked.Envelope(64, ("stack_small_id", 999))));
            foreach (var error in (RequestError[])[RequestError.ModelNotFound, RequestError.Replay, RequestError.TooManyRequests, RequestError.InferenceError])
            {
                var row = error.Row();
                node.Script = context => ScriptedNode.RefuseAsync(context, row.Status, row.Code);
                await ConfidentialAsync(row.Status, Http.Json(locked.Envelope()));
            }

            node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
            await ConfidentialAsync(200, Http.Json(locked.Envelope()));
        }

        // Where it costs something: a lock that is paid for, and no balance for what its request needs beyond it.
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync(8192);
        foreach (var endpoint in EnvelopeEndpoint.Table)
        {
            var locked = await LockedNode.LockAsync(user);
            var envelope = locked.Envelope(64, ("num_compute_units", 9000));
            await MeetAsync(met, user, $"POST {endpoint.Path}", 402, Http.Json(envelope));
            gateway.Clock.Advance(TimeSpan.FromSeconds(6)); // the lock expires, and its units are the next one's
            await node.BeatAsync();
        }

        (await gateway.Accounts.SetPriceAsync(new NodeId(node.Id), GatewayUnderTest.Model, null, "operator")).ShouldBeTrue();
        await gateway.App.Services.GetRequiredService<KnownNodes>().ReloadAsync();

        for (var open = 0; open < 8; open++)
            await LockAsync(200, Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""));
        await LockAsync(429, Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""));
        await MeetAsync(met, user, "GET /v1/models", 200);
        await MeetAsync(met, anyone, "GET /v1/models", 401);
        foreach (var path in (string[])["/health", "/health/live", "/health/ready"])
            await MeetAsync(met, anyone, $"GET {path}", 200);

        // What nodes send.
        foreach (var path in Penpal.Paths)
        {
            var letter = penpal.Write(path);
            await MeetAsync(met, anyone, $"POST {path}", 401, Http.Json(letter));
            await MeetAsync(met, anyone, $"POST {path}", 400, Http.Json("["), await penpal.HeadersAsync(path, "["));
            var large = new string(' ', (path == NodePaths.UsageReports ? UsageReportEndpoint.MaxBytes : NodeMessages.MaxBytes) + 1);
            await MeetAsync(met, anyone, $"POST {path}", 413, Http.Json(large), await penpal.HeadersAsync(path, large));
            await MeetAsync(met, anyone, $"POST {path}", 415, new StringContent(letter), await penpal.HeadersAsync(path, letter));
            letter = penpal.Write(path);
            var said = await MeetAsync(met, anyone, $"POST {path}", 200, Http.Json(letter), await penpal.HeadersAsync(path, letter));
            if (path == NodePaths.Enrolment)
                penpal.Agree(said);
            if (path == NodePaths.Address) // once a second
                await MeetAsync(met, anyone, $"POST {path}", 429, Http.Json(letter), await penpal.HeadersAsync(path, letter));
        }

        gateway.Clock.Advance(TimeSpan.FromSeconds(1));

        // A database that fails, and then a gateway that stops. What the gateway knows by heart it still says.
        var letters = Penpal.Paths.ToDictionary(path => path, penpal.Write, StringComparer.Ordinal);
        var stranger = new LockedNode(ScriptedNode.NewKey(), 1, 999).Envelope(); // of a stack that is not known yet
        var enrols = await penpal.HeadersAsync(NodePaths.Enrolment, letters[NodePaths.Enrolment]);
        await gateway.ReadAsync(state => state.Database.ExecuteSqlRawAsync(
            "ALTER TABLE stacks RENAME TO gone1; ALTER TABLE enrolment_tokens RENAME TO gone2; ALTER TABLE nodes RENAME TO gone3; ALTER TABLE reservations RENAME TO gone4"));
        await MeetAllAsync(500);
        await MeetAsync(met, anyone, "GET /health/ready", 503);
        gateway.App.Lifetime.StopApplication();
        await MeetAllAsync(503);
        foreach (var path in (string[])["/health", "/health/ready"])
            await MeetAsync(met, anyone, $"GET {path}", 503);
        await MeetAsync(met, anyone, "GET /health/live", 200);

        met.ShouldBe(Operations().SelectMany(operation => operation.Responses.Select(response => $"{operation.Name} {response.Name}")), ignoreOrder: true);

        async Task MeetAllAsync(int status)
        {
            await LockAsync(status, Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""));
            if (status is 503)
                await MeetAsync(met, user, "GET /v1/models", status);
            foreach (var endpoint in EnvelopeEndpoint.Table)
                await MeetAsync(met, user, $"POST {endpoint.Path}", status, Http.Json(stranger));
            foreach (var (path, letter) in letters)
                await MeetAsync(
                    met, anyone, $"POST {path}", status, Http.Json(letter), path == NodePaths.Enrolment ? enrols : await penpal.HeadersAsync(path, letter));
        }
    }

    // What is seen and done with money, at a gateway of its own; the examples have the shape of what is answered.
    private static async Task MeetMoneyAsync(SortedSet<string> met)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var platform = new SimulatedPlatform();
        using var user = await gateway.UserAsync();
        using var anyone = gateway.Client();
        using var clerk = gateway.Client((await gateway.Operator.CreateApiKeyAsync("clerk", ApiKeyScopes.Admin, expiresAt: null)).Text);
        var call = new SealedCall(node.Id, (await node.AttestAsync(platform)).Digest);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", ChunkedAnswerSealer.MediaType);
        await gateway.SetPriceAsync(node, 150_000, 600_000);
        await gateway.DepositAsync(10_000);
        (await user.SendAsync(call.Request())).Dispose();
        await node.SeenAsync();
        await node.VouchAsync(new UsageReport(call.Id, GatewayUnderTest.Model, 304, 48, 0));

        // As they are asked one after the other: what they do lets the next one find something.
        var prefix = (await gateway.Operator.CreateApiKeyAsync("clerk")).Prefix;
        (string Operation, string? Url, string? Fault)[] all =
        [
            ("GET /v1/balance", null, "?x=1"), ("GET /v1/usage", null, "?from=x"), ("GET /v1/usage/{id}", $"/v1/usage/{call.Id}", "?x=1"),
            ("POST /v1/admin/users", null, "{}"), ("GET /v1/admin/users", null, "?limit=0"), ("GET /v1/admin/users/{id}", "/v1/admin/users/1", "?x=1"),
            ("POST /v1/admin/users/{id}/deposits", "/v1/admin/users/1/deposits", """{"amount":0}"""),
            ("POST /v1/admin/users/{id}/corrections", "/v1/admin/users/1/corrections", """{"amount":0}"""),
            ("GET /v1/admin/users/{id}/ledger", "/v1/admin/users/1/ledger", "?after=-1"),
            ("POST /v1/admin/users/{id}/keys", "/v1/admin/users/1/keys", """{"scopes":[]}"""), ("GET /v1/admin/keys", null, "?user=x"),
            ("PUT /v1/admin/prices", null, "["), ("GET /v1/admin/prices", null, "?node=x"),
            ("DELETE /v1/admin/prices", $"/v1/admin/prices?node={node.Id}&model=demo", "?x=1"), ("GET /v1/admin/usage", null, "?by=x"),
            ("GET /v1/admin/audit", null, "?limit=x"), ("DELETE /v1/admin/keys/{key}", $"/v1/admin/keys/{prefix}", "?x=1"),
        ];
        foreach (var (operation, url, fault) in all)
            await MeetGoodAndBadAsync(operation, Url(operation, url), fault!);

        // What is not there, or too much.
        foreach (var operation in all.Select(one => one.Operation).Where(operation => operation.Contains('{', StringComparison.Ordinal)))
        {
            var url = operation.Split(' ')[1].Replace("{id}", "99", StringComparison.Ordinal).Replace("{key}", "none", StringComparison.Ordinal);
            (await SendAsync(operation, 404, url)).Dispose();
        }

        (await SendAsync("DELETE /v1/admin/prices", 404, "/v1/admin/prices?node=99&model=demo")).Dispose();
        (await SendAsync("PUT /v1/admin/prices", 404, "/v1/admin/prices", """{"node":99,"model":"demo","prompt":1,"completion":1,"image":1}""")).Dispose();
        (await SendAsync("POST /v1/admin/users/{id}/corrections", 402, "/v1/admin/users/2/corrections", """{"amount":-1}""")).Dispose();
        var turns = gateway.App.Services.GetRequiredService<Admin.UsageTurns>();
        using (turns.TryTake(new UserId(1)))
            (await SendAsync("GET /v1/usage", 429, "/v1/usage")).Dispose();
        using (turns.TryTake(new UserId(2)))
            (await SendAsync("GET /v1/admin/usage", 429, "/v1/admin/usage")).Dispose();

        string[] tables = ["users", "api_keys", "ledger", "prices", "reservations", "settlements", "audit"];
        await gateway.ReadAsync(state => state.Database.ExecuteSqlRawAsync(
            string.Join(';', tables.Select(table => $"ALTER TABLE {table} RENAME TO gone_{table}"))));
        foreach (var (operation, url, _) in all)
            (await SendAsync(operation, 500, Url(operation, url), Example(operation)?.GetRawText())).Dispose();
        gateway.App.Lifetime.StopApplication();
        foreach (var (operation, url, _) in all)
            (await SendAsync(operation, 503, Url(operation, url), Example(operation)?.GetRawText())).Dispose();

        static string Url(string operation, string? url) => url ?? operation.Split(' ')[1];

        static JsonElement? Example(string operation) =>
            Of(operation).TryGetProperty("requestBody", out var body)
                ? body.GetProperty("content").GetProperty("application/json").GetProperty("example")
                : null;

        static JsonElement Of(string operation) =>
            Document().GetProperty("paths").GetProperty(operation.Split(' ')[1]).GetProperty(operation.Split(' ')[0].ToLowerInvariant());

        async Task MeetGoodAndBadAsync(string operation, string url, string fault)
        {
            var body = Example(operation)?.GetRawText();
            (await SendAsync(operation, 401, url, body, anyone)).Dispose();
            (await SendAsync(operation, 400, body is null ? url.Split('?')[0] + fault : url, body is null ? null : fault)).Dispose();
            if (body is not null)
            {
                (await SendAsync(operation, 413, url, new string(' ', LockBytes + 1))).Dispose();
                (await MeetAsync(met, ClientOf(operation), operation, 415, Request($"{operation.Split(' ')[0]} {url}", new StringContent(body)))).Dispose();
            }

            var answers = Of(operation).GetProperty("responses");
            using var answer = await SendAsync(operation, answers.TryGetProperty("200", out var good) ? 200 : 204, url, body);
            if (good.ValueKind is JsonValueKind.Undefined)
                return;
            var (example, said) = (good.GetProperty("content").GetProperty("application/json").GetProperty("example"), await answer.JsonAsync());
            Names(said).ShouldBe(Names(example), operation);
            if (said.TryGetProperty("data", out var data))
                Names(data[0]).ShouldBe(Names(example.GetProperty("data")[0]), operation);

            static IEnumerable<string> Names(JsonElement value) => value.EnumerateObject().Select(member => member.Name);
        }

        HttpClient ClientOf(string operation) => operation.Contains("/v1/admin/", StringComparison.Ordinal) ? clerk : user;

        Task<HttpResponseMessage> SendAsync(string operation, int status, string url, string? body = null, HttpClient? client = null)
        {
            body ??= operation[0] is 'P' ? Example(operation)!.Value.GetRawText() : null;
            var request = Request($"{operation.Split(' ')[0]} {url}", body is null ? null : Http.Json(body));
            return MeetAsync(met, client ?? ClientOf(operation), operation, status, request);
        }
    }

    // What envelope v2 adds, at a gateway of its own.
    private static async Task MeetSealedAsync(SortedSet<string> met)
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxRelaysPerUser = 1 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var platform = new SimulatedPlatform();
        using var user = await gateway.UserAsync();
        using var anyone = gateway.Client();
        var (list, evidence, collateral) =
            ($"{Endpoints.Nodes}?model={GatewayUnderTest.Model}", EvidenceOf(node), $"/v2/collateral/{await LayCollateralAsync(gateway)}");
        (string Template, string Url)[] reads = [(Endpoints.Nodes, list), (Endpoints.Evidence, evidence), (Endpoints.Collateral, collateral)];
        (await GetAsync(404, Endpoints.Evidence, evidence)).Dispose(); // no bundle yet
        var keys = await node.AttestAsync(platform);
        var call = new SealedCall(node.Id, keys.Digest);

        foreach (var (template, url) in reads)
        {
            (await GetAsync(401, template, url, client: anyone)).Dispose();
            using var answer = await GetAsync(200, template, url);
            (await GetAsync(304, template, url, answer.Headers.ETag!.ToString())).Dispose();
        }

        (await GetAsync(400, Endpoints.Nodes, Endpoints.Nodes)).Dispose();
        (await GetAsync(404, Endpoints.Nodes, $"{Endpoints.Nodes}?model=another")).Dispose();
        (await GetAsync(404, Endpoints.Collateral, "/v2/collateral/0")).Dispose();

        await ChallengeAsync(401, Challenge, client: anyone);
        await ChallengeAsync(404, Challenge, "/v2/nodes/99/evidence");
        await ChallengeAsync(413, Http.Json(new byte[5000]));
        await ChallengeAsync(415, new StringContent("{}"));
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "{}");
        await ChallengeAsync(200, Challenge);
        node.Script = context => ScriptedNode.AnswerAsync(context, 400, "{}");
        await ChallengeAsync(400, Http.Json("{}"));
        node.Script = context => ScriptedNode.AnswerAsync(context, 500, "{}");
        await ChallengeAsync(503, Challenge);

        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", ChunkedAnswerSealer.MediaType);
        await RelayAsync(200, call);
        await RelayAsync(400, Next() with { Units = "0" });
        await RelayAsync(401, Next(), anyone);
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await RelayAsync(402, Next() with { Units = "2000000000" });
        await RelayAsync(412, Next() with { Changes = [(RelayHeaders.MaxPrice, "0, 1000000, 0")] });
        (await gateway.Accounts.SetPriceAsync(new NodeId(node.Id), GatewayUnderTest.Model, null, "operator")).ShouldBeTrue();
        await gateway.App.Services.GetRequiredService<KnownNodes>().ReloadAsync();
        await RelayAsync(404, Next() with { Url = "/v2/nodes/99/relay" });
        await RelayAsync(409, Next() with { Id = call.Id });
        await RelayAsync(413, Next() with { Body = new ByteArrayContent(new byte[RelayedBytes + 1]) });
        var plain = Next().Request();
        plain.Content!.Headers.ContentType = new("text/plain");
        (await MeetAsync(met, user, $"POST {Endpoints.Relay}", 415, plain)).Dispose();
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "plain");
        await RelayAsync(500, Next());

        // One place, which is taken.
        var (arrived, free) = (new TaskCompletionSource(), new TaskCompletionSource());
        node.Script = async context =>
        {
            arrived.SetResult();
            await free.Task;
            await ScriptedNode.AnswerAsync(context, 200, "{}");
        };
        var waiting = user.PostAsync(evidence, Challenge);
        await arrived.Task.Soon();
        await ChallengeAsync(429, Challenge);
        await RelayAsync(429, Next());
        free.SetResult();
        (await waiting).Dispose();

        gateway.App.Lifetime.StopApplication();
        foreach (var (template, url) in reads)
            (await GetAsync(503, template, url)).Dispose();
        await ChallengeAsync(503, Challenge);
        await RelayAsync(503, Next());

        Task<HttpResponseMessage> GetAsync(int status, string template, string url, string? tag = null, HttpClient? client = null)
        {
            var request = Request($"GET {url}");
            if (tag is not null)
                request.Headers.Add("If-None-Match", tag);
            return MeetAsync(met, client ?? user, $"GET {template}", status, request);
        }

        async Task ChallengeAsync(int status, HttpContent body, string? url = null, HttpClient? client = null) =>
            (await MeetAsync(met, client ?? user, $"POST {Endpoints.Evidence}", status, Request($"POST {url ?? evidence}", body))).Dispose();

        async Task RelayAsync(int status, SealedCall sealedCall, HttpClient? client = null) =>
            (await MeetAsync(met, client ?? user, $"POST {Endpoints.Relay}", status, sealedCall.Request())).Dispose();

        SealedCall Next() => call with { Id = Guid.NewGuid(), Body = new ByteArrayContent([1]) };
    }

    private static string EvidenceOf(ScriptedNode node) => Endpoints.Evidence.Replace("{id}", $"{node.Id}", StringComparison.Ordinal);

    private static StringContent Challenge => Http.Json($$"""{"challenge":"{{Convert.ToBase64String(new byte[32])}}"}""");

    // Its digest.
    private static async Task<string> LayCollateralAsync(GatewayUnderTest gateway)
    {
        var digest = Convert.ToHexStringLower(SHA256.HashData("collateral"u8));
        await File.WriteAllBytesAsync(
            Path.Combine(Directory.CreateDirectory(Path.Combine(gateway.DataDirectory, "collateral")).FullName, digest), "collateral"u8.ToArray());
        return digest;
    }

    // At a gateway of their own, whose clock runs ahead.
    private static async Task MeetSlowlyAsync(SortedSet<string> met)
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { UploadTimeout = TimeSpan.FromSeconds(1) });
        using var penpal = await Penpal.EnrolledAsync(gateway);
        using var user = await gateway.UserAsync();
        foreach (var path in (IEnumerable<string>)[Endpoints.Lock, .. EnvelopeEndpoint.Table.Select(endpoint => endpoint.Path)])
            await HaltAsync(
                path, "{}", new Dictionary<string, string>(StringComparer.Ordinal) { ["Authorization"] = $"{user.DefaultRequestHeaders.Authorization}" });
        foreach (var path in Penpal.Paths)
        {
            var letter = penpal.Write(path);
            await HaltAsync(path, letter, await penpal.HeadersAsync(path, letter));
        }

        var clerk = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["Authorization"] = $"Bearer {(await gateway.Operator.CreateApiKeyAsync("clerk", ApiKeyScopes.Admin, expiresAt: null)).Text}",
        };
        foreach (var (operation, responses, _) in Operations().Where(operation => operation.Name.Contains("/v1/admin/", StringComparison.Ordinal)))
        {
            if (responses.Exists(response => response.Name == "408"))
                await HaltAsync(operation.Split(' ')[1], "{}", clerk, method: operation.Split(' ')[0]);
        }

        await using var node = await ScriptedNode.StartAsync(gateway);
        using var platform = new SimulatedPlatform();
        var call = new SealedCall(node.Id, (await node.AttestAsync(platform)).Digest).Request();
        var headers = call.Headers.ToDictionary(header => header.Key, header => header.Value.Single(), StringComparer.Ordinal);
        headers["Authorization"] = $"{user.DefaultRequestHeaders.Authorization}";
        await HaltAsync(Endpoints.Evidence, "{}", headers, EvidenceOf(node));
        await HaltAsync(Endpoints.Relay, "sealed", headers, $"{call.RequestUri}", ChunkedRequestSealer.MediaType);

        // All but the last byte, and time goes on.
        async Task HaltAsync(
            string path, string body, IReadOnlyDictionary<string, string> headers, string? url = null, string mediaType = "application/json",
            string method = "POST")
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(gateway.Url.Host, gateway.Url.Port);
            var head = $"{method} {url ?? path} HTTP/1.1\r\nHost: x\r\nContent-Type: {mediaType}\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n"
                + string.Concat(headers.Select(header => $"{header.Key}: {header.Value}\r\n"));
            await socket.SendAsync(Encoding.UTF8.GetBytes($"{head}\r\n{body[..^1]}"));
            while (!await Task.Run(() => socket.Poll(TimeSpan.FromMilliseconds(50), SelectMode.SelectRead)))
                gateway.Clock.Advance(TimeSpan.FromSeconds(1));
            var answer = new byte[4096];
            Encoding.ASCII.GetString(answer, 0, await socket.ReceiveAsync(answer)).ShouldStartWith("HTTP/1.1 408 ", customMessage: path);
            met.Add($"{method} {path} 408");
        }
    }

    [Fact]
    public async Task The_documented_headers_let_a_request_in_and_each_of_them_is_needed()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var penpal = await Penpal.EnrolledAsync(gateway);
        using var user = await gateway.UserAsync();
        using var anyone = gateway.Client();
        var schemes = Document().GetProperty("components").GetProperty("securitySchemes");
        var secured = 0;
        // Those have 401 among what is met.
        foreach (var operation in Operations().Where(operation => operation.Security is not null && !V2.Contains(operation.Name.Split(' ')[1])
            && !IsOfMoney(operation.Name.Split(' ')[1])))
        {
            secured++;
            var path = operation.Name.Split(' ')[1];
            var isOfNodes = Penpal.Paths.Contains(path);
            var body = isOfNodes ? penpal.Write(path)
                : path == Endpoints.Lock ? $$"""{"model":"{{GatewayUnderTest.Model}}"}"""
                : path == Endpoints.Models ? null
                : Encoding.UTF8.GetString((await LockedNode.LockAsync(user)).Envelope());
            var known = isOfNodes
                ? await penpal.HeadersAsync(path, body!)
                : new Dictionary<string, string>(StringComparer.Ordinal) { ["Authorization"] = $"{user.DefaultRequestHeaders.Authorization}" };
            var documented = operation.Security!.Value.EnumerateArray().ShouldHaveSingleItem().EnumerateObject()
                .Select(scheme => schemes.GetProperty(scheme.Name))
                .Select(scheme => scheme.GetProperty("type").GetString() == "http" ? "Authorization" : scheme.GetProperty("name").GetString()!).ToList();

            foreach (var missing in documented)
                (await SendAsync(without: missing)).StatusCode.ShouldBe(HttpStatusCode.Unauthorized, $"{operation.Name} without {missing}");
            var answer = await SendAsync(without: null);
            answer.IsSuccessStatusCode.ShouldBeTrue($"{operation.Name} with {string.Join(", ", documented)}");
            if (path == NodePaths.Enrolment)
                penpal.Agree(await answer.Content.ReadAsStringAsync());

            Task<HttpResponseMessage> SendAsync(string? without) => anyone.SendAsync(Request(
                operation.Name, body is null ? null : Http.Json(body),
                documented.Where(header => header != without).ToDictionary(header => header, header => known[header], StringComparer.Ordinal)));
        }

        secured.ShouldBe(EnvelopeEndpoint.Table.Count + 2 + Penpal.Paths.Count);
    }

    [Fact]
    public async Task Of_the_documented_headers_of_a_sealed_request_the_required_ones_are_needed()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var platform = new SimulatedPlatform();
        using var user = await gateway.UserAsync();
        var keys = await node.AttestAsync(platform);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", ChunkedAnswerSealer.MediaType);
        var headers = Document().GetProperty("paths").GetProperty(Endpoints.Relay).GetProperty("post").GetProperty("parameters").EnumerateArray()
            .Where(parameter => parameter.GetProperty("in").GetString() == "header").ToList();
        headers.Select(header => header.GetProperty("name").GetString())
            .ShouldBe([RelayHeaders.Model, RelayHeaders.RequestId, RelayHeaders.KeySet, RelayHeaders.MaxUnits, RelayHeaders.MaxPrice], ignoreOrder: true);
        foreach (var header in headers)
        {
            var call = new SealedCall(node.Id, keys.Digest) { Changes = [(header.GetProperty("name").GetString()!, null), ("Incremental", null)] };
            using var response = await user.SendAsync(call.Request());
            response.StatusCode.ShouldBe(header.GetProperty("required").GetBoolean() ? HttpStatusCode.BadRequest : HttpStatusCode.OK, $"{header}");
        }
    }

    [Fact]
    public async Task The_example_of_a_list_of_nodes_is_what_one_looks_like()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var platform = new SimulatedPlatform();
        using var user = await gateway.UserAsync();
        await node.AttestAsync(platform);
        await gateway.SetPriceAsync(node, 1, 2, 3);
        var example = Document().GetProperty("paths").GetProperty(Endpoints.Nodes).GetProperty("get")
            .GetProperty("responses").GetProperty("200").GetProperty("content").GetProperty("application/json").GetProperty("example");
        var answer = await (await user.GetAsync($"{Endpoints.Nodes}?model={GatewayUnderTest.Model}")).JsonAsync();
        Shape(answer).ShouldBe(Shape(example));
        Shape(answer.GetProperty("nodes")[0]).ShouldBe(Shape(example.GetProperty("nodes")[0]));
        Shape(answer.GetProperty("nodes")[0].GetProperty("price")).ShouldBe(Shape(example.GetProperty("nodes")[0].GetProperty("price")));
    }

    [Fact]
    public async Task The_examples_of_a_nodes_messages_are_taken_and_answered_as_they_say()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var penpal = await Penpal.EnrolledAsync(gateway);
        using var anyone = gateway.Client();
        foreach (var path in Penpal.Paths)
        {
            var letter = penpal.Write(path);
            var response = await anyone.SendAsync(Request($"POST {path}", Http.Json(letter), await penpal.HeadersAsync(path, letter)));
            response.IsSuccessStatusCode.ShouldBeTrue(await response.Content.ReadAsStringAsync());
            if (path == NodePaths.Enrolment)
            {
                Shape(await response.JsonAsync()).ShouldBe(Shape(ExampleAnswer(path)));
                penpal.Agree(await response.Content.ReadAsStringAsync());
            }
            else if (path == NodePaths.UsageReports)
                JsonElement.DeepEquals(await response.JsonAsync(), ExampleAnswer(path)).ShouldBeTrue();
            else
                // At the example's address is nobody.
                (await response.JsonAsync()).EnumerateObject().Select(member => member.Name)
                    .ShouldBe(ExampleAnswer(path).EnumerateObject().Select(member => member.Name));
        }
    }

    [Fact]
    public void The_schemas_of_a_nodes_messages_demand_what_the_reader_demands()
    {
        var schemas = Document().GetProperty("components").GetProperty("schemas");
        Check(NodePaths.Enrolment, NodeMessageJson.Default.EnrolmentRequest);
        Check(NodePaths.Heartbeat, NodeMessageJson.Default.NodeStatus);
        Check(NodePaths.Address, NodeMessageJson.Default.AnnouncedAddress);
        Check(NodePaths.UsageReports, NodeMessageJson.Default.UsageReports);

        int MostOf(string schema, string list) => schemas.GetProperty(schema).GetProperty("properties").GetProperty(list).GetProperty("maxItems").GetInt32();
        MostOf("NodeStatus", "models").ShouldBe(Announcement.MaxModels);
        MostOf("NodeStatus", "key_sets").ShouldBe(KeySet.MaxHeld);
        MostOf("UsageReports", "reports").ShouldBe(UsageReportEndpoint.MaxReports);
        MostOf("UsageReports", "vouchers").ShouldBe(UsageReportEndpoint.MaxReports);

        void Check<T>(string path, JsonTypeInfo<T> type)
            where T : class
        {
            var message = JsonNode.Parse(ExampleRequest(path).GetRawText())!;
            bool IsRead()
            {
                try
                {
                    return JsonSerializer.Deserialize(message.ToJsonString(), type) is not null;
                }
                catch (JsonException)
                {
                    return false;
                }
            }

            IsRead().ShouldBeTrue(path);
            Walk(Content(path).GetProperty("schema"), message);

            // Each member is taken away, and one that nobody knows is added, at every level.
            void Walk(JsonElement schema, JsonNode example)
            {
                if (schema.TryGetProperty("$ref", out var reference))
                    schema = schemas.GetProperty(reference.GetString()!.Split('/')[^1]);
                if (example is JsonArray list)
                {
                    Walk(schema.GetProperty("items"), list[0]!);
                    return;
                }

                if (example is not JsonObject members)
                    return;
                var properties = schema.GetProperty("properties");
                properties.EnumerateObject().Select(property => property.Name).ShouldBe(members.Select(member => member.Key), path);
                var required = schema.GetProperty("required").EnumerateArray().Select(name => name.GetString()).ToList();
                foreach (var (name, value) in members.ToList())
                {
                    members.Remove(name);
                    IsRead().ShouldBe(!required.Contains(name), $"{path} without {name}");
                    members.Add(name, value);
                    if (value is not null)
                        Walk(properties.GetProperty(name), value);
                }

                schema.GetProperty("additionalProperties").GetBoolean().ShouldBeFalse();
                members.Add("unknown", 1);
                IsRead().ShouldBeFalse(path);
                members.Remove("unknown");
            }
        }
    }

    private static bool IsOfMoney(string path) =>
        path.StartsWith("/v1/admin/", StringComparison.Ordinal) || path.StartsWith(Endpoints.Usage, StringComparison.Ordinal) || path == Endpoints.Balance;

    private static JsonElement Document() => JsonElement.Parse(File.ReadAllText(Path.Combine(Tree.Root, "spec", "openapi", "gateway.json")));

    // "POST /path", what it answers by status, and what it asks for.
    private static IEnumerable<(string Name, List<JsonProperty> Responses, JsonElement? Security)> Operations() =>
        Document().GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject().Select(operation => (
            $"{operation.Name.ToUpperInvariant()} {path.Name}",
            operation.Value.GetProperty("responses").EnumerateObject().ToList(),
            operation.Value.TryGetProperty("security", out var security) ? security : (JsonElement?)null)));

    private static JsonElement Content(string path) =>
        Document().GetProperty("paths").GetProperty(path).GetProperty("post").GetProperty("requestBody").GetProperty("content").GetProperty("application/json");

    private static JsonElement ExampleRequest(string path) => Content(path).GetProperty("example");

    private static JsonElement ExampleAnswer(string path) =>
        Document().GetProperty("paths").GetProperty(path)
            .GetProperty("post").GetProperty("responses").GetProperty("200").GetProperty("content").GetProperty("application/json").GetProperty("example");

    private static HttpRequestMessage Request(string operation, HttpContent? body = null, IReadOnlyDictionary<string, string>? headers = null)
    {
        var (method, path) = (operation.Split(' ')[0], operation.Split(' ')[1]);
        var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = body };
        request.Headers.ExpectContinue = body?.Headers.ContentLength > LockBytes; // what is refused by its length is not sent
        foreach (var (name, value) in headers ?? new Dictionary<string, string>(StringComparer.Ordinal))
            request.Headers.Add(name, value);
        return request;
    }

    /// <summary>Sends a request that has this status, which the document has too, with the headers that it promises.</summary>
    private static async Task<string> MeetAsync(
        SortedSet<string> met, HttpClient client, string operation, int status, HttpContent? body = null, IReadOnlyDictionary<string, string>? headers = null)
    {
        using var response = await MeetAsync(met, client, operation, status, Request(operation, body, headers));
        return await response.Content.ReadAsStringAsync();
    }

    private static async Task<HttpResponseMessage> MeetAsync(SortedSet<string> met, HttpClient client, string operation, int status, HttpRequestMessage request)
    {
        var response = await client.SendAsync(request);
        ((int)response.StatusCode).ShouldBe(status, $"{operation}: {await response.Content.ReadAsStringAsync()}");
        var documented = Operations().Single(known => known.Name == operation).Responses.SingleOrDefault(answer => answer.Name == $"{status}").Value;
        documented.ValueKind.ShouldBe(JsonValueKind.Object, $"{operation} {status} is not documented");
        if (documented.TryGetProperty("$ref", out var reference))
            documented = Document().GetProperty("components").GetProperty("responses").GetProperty(reference.GetString()!.Split('/')[^1]);
        if (documented.TryGetProperty("headers", out var promised))
            promised.EnumerateObject().ShouldAllBe(header => response.Headers.Contains(header.Name));
        if (documented.TryGetProperty("content", out var content))
            content.EnumerateObject().Select(type => type.Name).ShouldContain(response.Content.Headers.ContentType!.MediaType!);
        met.Add($"{operation} {status}");
        return response;
    }

    private static IEnumerable<(string Name, JsonValueKind Kind)> Shape(JsonElement value) =>
        value.EnumerateObject().Select(member => (member.Name, member.Value.ValueKind));

    /// <summary>A node of which there is nothing but its letters: the document's examples, with a key and times of its own.</summary>
    private sealed class Penpal : IDisposable
    {
        public static readonly IReadOnlyList<string> Paths = [NodePaths.Enrolment, NodePaths.Heartbeat, NodePaths.Address, NodePaths.UsageReports];

        private readonly GatewayUnderTest gateway;
        private readonly Ed25519PrivateKey identity = Ed25519PrivateKey.Generate(out _);
        private readonly RelayKeyAgreement agreement = new(); // one for every letter: of no use but here
        private RelayKey? relayKey;
        private long time;
        private long number;

        private Penpal(GatewayUnderTest gateway)
        {
            this.gateway = gateway;
            time = gateway.Clock.GetUtcNow().ToUnixTimeMilliseconds();
        }

        public static async Task<Penpal> EnrolledAsync(GatewayUnderTest gateway)
        {
            var penpal = new Penpal(gateway);
            using var client = gateway.Client();
            var letter = penpal.Write(NodePaths.Enrolment);
            var headers = await penpal.HeadersAsync(NodePaths.Enrolment, letter);
            var answer = await (await client.SendAsync(Request($"POST {NodePaths.Enrolment}", Http.Json(letter), headers))).JsonAsync();
            penpal.number = answer.GetProperty("node_id").GetInt64();
            penpal.Agree(answer.GetRawText());
            return penpal;
        }

        /// <summary>The next letter.</summary>
        public string Write(string path)
        {
            var letter = JsonNode.Parse(ExampleRequest(path).GetRawText())!;
            if (path == NodePaths.Enrolment)
                letter["agreement_key"] = agreement.PublicKey.ToString();
            return letter.ToJsonString();
        }

        /// <summary>Takes the answer to an enrolment.</summary>
        public void Agree(string answer)
        {
            var said = JsonSerializer.Deserialize(answer, NodeMessageJson.Default.EnrolmentAnswer)!;
            (Ed25519PublicKey.TryParse(said.GatewayKey, out var gatewayKey), X25519PublicKey.TryParse(said.AgreementKey, out var peer)).ShouldBe((true, true));
            agreement.TryAgreeAsNode(peer!, identity.PublicKey, gatewayKey!, out relayKey).ShouldBeTrue();
        }

        /// <summary>Every header that a node has for this letter.</summary>
        public async Task<Dictionary<string, string>> HeadersAsync(string path, string letter)
        {
            var signature = NodeSignature.Over(path, ++time, Encoding.UTF8.GetBytes(letter));
            var headers = new Dictionary<string, string>(StringComparer.Ordinal)
            {
                [NodeSignature.TimeHeaderName] = $"{signature.TimeMs}",
                [NodeSignature.DigestHeaderName] = signature.DigestText,
                [NodeSignature.HeaderName] = signature.Sign(identity),
            };
            if (path == NodePaths.Enrolment)
            {
                headers["Authorization"] = $"Bearer {(await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text}";
                headers[NodeSignature.KeyHeaderName] = identity.PublicKey.ToString();
            }
            else
            {
                headers[NodeSignature.NodeHeaderName] = $"{number}";
                headers[NodeSignature.CodeHeaderName] = signature.Authenticate(relayKey!);
            }

            return headers;
        }

        public void Dispose()
        {
            identity.Dispose();
            agreement.Dispose();
        }
    }
}
