using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Client;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Gateway;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;
using ConfidentialChat.Scripting;
using Microsoft.Data.Sqlite;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>
/// spec/envelope-v1.md section 9, row by row, through gateway, node and engine: the status and the code, and that nothing was charged
/// and no lock was lost, but where the engine has worked; that no unit was lost, and that no text leaked.
/// </summary>
public sealed class ErrorTableTests(ErrorTableTests.Shared shared) : IClassFixture<ErrorTableTests.Shared>
{
    private const string Chat = "/v1/confidential/chat/completions";

    private readonly ScriptedStack scripted = shared.Scripted;

    /// <summary>But for the one that is only ever a problem document, in envelope v2: there the tests of the gateway have it.</summary>
    public static TheoryData<RequestError> EveryError =>
        [.. RequestErrors.Table.Select(row => row.Error).Where(error => error is not RequestError.PriceChanged)];

    [Theory]
    [MemberData(nameof(EveryError))]
    public async Task Every_row_of_the_table_is_answered_and_costs_nothing_but_what_was_worked_at(RequestError error)
    {
        var stack = scripted.Stack;
        var key = await stack.NewUserAsync();
        using var raw = new RawClient(stack, key);
        var attempt = await Prepare(error, raw);
        var (used, locks) = (await Ledger.SettledAsync(stack), Ledger.UsableLocks(stack, key));

        using var answer = await attempt();

        var body = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        var told = JsonNode.Parse(body)!["error"]!;
        ((int)answer.StatusCode, (string?)told["code"]).ShouldBe((error.Row().Status, error.Row().Code), body);
        ((string?)told["message"])!.ShouldContain(error.Row().Message);
        if (error.Row().Status is 429 or 503)
            answer.Headers.RetryAfter!.Delta!.Value.ShouldBeGreaterThan(TimeSpan.Zero);
        if (error.Row().Status is 401)
            answer.Headers.WwwAuthenticate.ToString().ShouldBe("Bearer");
        body.ShouldNotContain(ScriptedStack.PromptCanary);
        body.ShouldNotContain(ScriptedStack.EngineCanary);

        if (error.Row().SpendsLock)
        {
            (await Ledger.SettledAsync(stack)).ShouldBeGreaterThan(used, "an engine worked for nothing");
            Ledger.UsableLocks(stack, key).ShouldBe(locks - 1, "a lock was given back for work that was done");
        }
        else
        {
            (await Ledger.SettledAsync(stack)).ShouldBe(used, "units were charged");
            Ledger.UsableLocks(stack, key).ShouldBe(locks, "a lock was lost");
        }

        Ledger.Lost(stack).ShouldBe(0, "units were lost");
        await scripted.ShouldHoldNoCanaryAsync();
    }

    // What leads to the error, up to the request that shows it: locks made here are there before and after.
    private async Task<Func<Task<HttpResponseMessage>>> Prepare(RequestError error, RawClient raw)
    {
        const int locked = 60; // seconds: what is compared before and after does not expire in between
        switch (error)
        {
            case RequestError.AuthError:
                var stranger = new RawClient(scripted.Stack, "cc_abcdefgh_" + new string('A', 43));
                var unknown = RawClient.ToJson(await SealAsync());
                return () => stranger.SendAsync(unknown);
            case RequestError.InvalidJson:
                await raw.LockAsync(locked);
                return () => raw.PostAsync(Chat, "[");
            case RequestError.InvalidField:
                return await SendingAsync(envelope => envelope.Remove("nonce"));
            case RequestError.InvalidKey:
                return await SendingAsync(envelope => envelope["client_dh_public_key"] = Convert.ToBase64String(new byte[32]));
            case RequestError.UnknownNodeKey:
                return await SendingAsync(
                    envelope => envelope["node_dh_public_key"] = Convert.ToBase64String(Enumerable.Range(1, 32).Select(i => (byte)i).ToArray()));
            case RequestError.DecryptionFailed:
                return await SendingAsync(envelope => envelope["plaintext_body_hash"] = Convert.ToBase64String(new byte[32]));
            case RequestError.ModelMismatch:
                return await SendingAsync(_ => { }, RawClient.Chat("another", ScriptedStack.PromptCanary, stream: false));
            case RequestError.StreamMismatch:
                return await SendingAsync(envelope => envelope["stream"] = true);
            case RequestError.ContextTooLarge:
                scripted.Next(EngineStep.Answer(400, $$$"""{"error":{"message":"This model's maximum context length is 8 tokens. {{{ScriptedStack.EngineCanary}}}","code":"context_length_exceeded"}}"""));
                return await SendingAsync(_ => { });
            case RequestError.BalanceError:
                return () => raw.PostAsync("/v1/nodes/lock", $$"""{"model":"{{ScriptedStack.Model}}","max_num_tokens":2000000000}""");
            case RequestError.NotFound:
                return () => raw.PostAsync("/v1/elsewhere", "{}");
            case RequestError.ModelNotFound:
                return () => raw.PostAsync("/v1/nodes/lock", """{"model":"nobody's"}""");
            case RequestError.EndpointNotServed: // within envelope v2 alone
                scripted.Next(EngineStep.Answer(404, $$"""{"detail":"{{ScriptedStack.EngineCanary}}"}"""));
                var http = new HttpClient(new ConfidentialHttpHandler(scripted.Stack.Options()));
                var asked = $$"""{"model":"{{ScriptedStack.Model}}","input":"{{ScriptedStack.PromptCanary}}"}""";
                return () => http.PostAsync(new Uri("https://api.example/v1/responses"), new StringContent(asked, Encoding.UTF8, "application/json"));
            case RequestError.Forbidden:
                var clerk = new RawClient(scripted.Stack, await scripted.Stack.NewUserAsync(ApiKeyScopes.Admin));
                return () => clerk.PostAsync("/v1/nodes/lock", "{}");
            case RequestError.MethodNotAllowed:
                return () => raw.GetAsync(Chat);
            case RequestError.Replay:
                var first = RawClient.ToJson(await SealAsync());
                (await raw.SendAsync(first)).IsSuccessStatusCode.ShouldBeTrue();
                await raw.LockAsync(locked);
                return () => raw.SendAsync(first);
            case RequestError.BodyTooLarge:
                await raw.LockAsync(locked);
                return () => raw.PostAsync(
                    Chat, new ByteArrayContent(new byte[(32 * 1024 * 1024) + 1]) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } });
            case RequestError.BodyTooSlow:
                await raw.LockAsync(locked);
                return () => raw.HaltAsync(Chat);
            case RequestError.UnsupportedMediaType:
                var typed = RawClient.ToJson(await SealAsync()).ToJsonString();
                return () => raw.PostAsync(Chat, new StringContent(typed, Encoding.UTF8, "text/plain"));
            case RequestError.UnavailableStack:
                return await SendingAsync(envelope => envelope["stack_small_id"] = 1L << 40);
            case RequestError.TooManyRequests:
                scripted.Next(EngineStep.Answer(429, Complaint, headers: ("Retry-After", "7")));
                return await SendingAsync(_ => { });
            case RequestError.InferenceError:
                scripted.Next(EngineStep.Answer(500, Complaint));
                return await SendingAsync(_ => { });
            case RequestError.InferenceTimeout:
                scripted.Next(EngineStep.Wait("never"));
                return await SendingAsync(_ => { }, Question(ScriptedStack.PromptCanary, stream: true), stream: true);
            case RequestError.InternalError:
                // A state update fails: the table that it writes is away.
                var wanted = RawClient.ToJson(await SealAsync());
                return async () =>
                {
                    await using var database = new SqliteConnection(
                        $"Data Source={Path.Combine(scripted.Stack.DataDirectory, "gateway", "gateway.db")};Pooling=False");
                    await database.OpenAsync();
                    using var rename = database.CreateCommand();
                    rename.CommandText = "PRAGMA busy_timeout = 10000; ALTER TABLE reservations RENAME TO reservations_away";
                    await rename.ExecuteNonQueryAsync();
                    var answer = await raw.SendAsync(wanted);
                    rename.CommandText = "ALTER TABLE reservations_away RENAME TO reservations";
                    await rename.ExecuteNonQueryAsync();
                    return answer;
                };
            case RequestError.ServiceUnavailable:
                return async () =>
                {
                    await scripted.Stack.SignalNodeAsync("STOP");
                    try
                    {
                        HttpResponseMessage answer;
                        do
                            answer = await raw.PostAsync("/v1/nodes/lock", $$"""{"model":"{{ScriptedStack.Model}}","timeout":1}""");
                        while (answer.IsSuccessStatusCode && await WaitAsync(TimeSpan.FromSeconds(1.5))); // three missed heartbeats
                        return answer;
                    }
                    finally
                    {
                        await scripted.Stack.SignalNodeAsync("CONT");
                        var lockCall = $$"""{"model":"{{ScriptedStack.Model}}","timeout":1}""";
                        while ((await raw.PostAsync("/v1/nodes/lock", lockCall)).StatusCode is System.Net.HttpStatusCode.ServiceUnavailable)
                            await WaitAsync(TimeSpan.FromSeconds(0.2)); // the tests after this one need it
                        await WaitAsync(TimeSpan.FromSeconds(2.5)); // until that lock has expired
                    }
                };
            default:
                throw new InvalidOperationException($"No request shows {error}: the table has grown.");
        }

        Task<SealedRequest> SealAsync(string? json = null, bool stream = false) =>
            raw.SealAsync(json ?? Question(ScriptedStack.PromptCanary, stream), stream, locked);

        async Task<Func<Task<HttpResponseMessage>>> SendingAsync(Action<JsonObject> change, string? json = null, bool stream = false)
        {
            var envelope = RawClient.ToJson(await SealAsync(json, stream));
            change(envelope);
            return () => raw.SendAsync(envelope);
        }
    }

    private const string Complaint = $$$"""{"error":{"message":"{{{ScriptedStack.EngineCanary}}}: {{{ScriptedStack.PromptCanary}}}","type":"server_error"}}""";

    private static string Question(string prompt, bool stream = false) => RawClient.Chat(ScriptedStack.Model, prompt, stream);

    private static async Task<bool> WaitAsync(TimeSpan time)
    {
        await Task.Delay(time, TestContext.Current.CancellationToken);
        return true;
    }

    /// <summary>An engine that may take five seconds to its first token.</summary>
    public sealed class Shared : IAsyncLifetime
    {
        public ScriptedStack Scripted { get; } = new("--upstream-first-token-seconds", "5");

        public ValueTask InitializeAsync() => Scripted.InitializeAsync();

        public ValueTask DisposeAsync() => Scripted.DisposeAsync();
    }
}
