using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Connections.Features;

namespace ConfidentialChat.Scripting;

/// <summary>
/// An OpenAI-compatible server that does what its script says: for faults and benchmarks, never for the happy path of a real engine.
/// What it answers by itself is deterministic and no inference. Beside the API there is <c>GET /control</c> with the counters,
/// <c>GET /control/requests</c>, <c>PUT /control/script</c> and <c>POST /control/gates/NAME</c>.
/// </summary>
public sealed class ScriptedEngine : IAsyncDisposable
{
    private const int RequestsKept = 1000;

    private static readonly JsonSerializerOptions Format = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private readonly ConcurrentDictionary<string, Gate> gates = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<EngineRequest> requests = new();
    private readonly Lock scriptGate = new();
    private EngineScript script;
    private int[] served;
    private WebApplication? app;
    private long count;
    private long inFlight;
    private long peak;
    private long cancelled;
    private long eventsSent;
    private long tokensSent;
    private long connections;
    private long tokenized;

    private ScriptedEngine(EngineScript script)
    {
        this.script = script;
        served = new int[script.Exchanges.Count];
    }

    public Uri Url { get; private set; } = new("http://127.0.0.1:0");

    /// <summary>Set at any time; it then begins with its first exchange.</summary>
    public EngineScript Script
    {
        get
        {
            lock (scriptGate)
                return script;
        }

        set
        {
            lock (scriptGate)
                (script, served) = (value, new int[value.Exchanges.Count]);
        }
    }

    public EngineCounters Counters => new(
        Interlocked.Read(ref count), Interlocked.Read(ref inFlight), Interlocked.Read(ref peak), Interlocked.Read(ref cancelled),
        Interlocked.Read(ref eventsSent), Interlocked.Read(ref tokensSent), Interlocked.Read(ref connections), Interlocked.Read(ref tokenized));

    /// <summary>The latest requests for inference, oldest first.</summary>
    public IReadOnlyList<EngineRequest> Requests => [.. requests];

    public static async Task<ScriptedEngine> StartAsync(EngineScript? script = null, int port = 0)
    {
        var engine = new ScriptedEngine(script ?? new EngineScript()) { Url = new Uri($"http://127.0.0.1:{port}") };
        await engine.ReturnAsync();
        return engine;
    }

    /// <summary>Lets through who waits at a gate, and who comes later.</summary>
    public void Open(string gate = "gate") => GateOf(gate).Opened.TrySetResult();

    /// <summary>Completes when a request waits at a gate.</summary>
    public Task ReachedAsync(string gate = "gate") => GateOf(gate).Reached.Task;

    /// <summary>Nobody listens any more; connections are closed.</summary>
    public async Task LeaveAsync()
    {
        if (app is null)
            return;
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await app.StopAsync(now.Token);
        await app.DisposeAsync();
        app = null;
    }

    /// <summary>Listens, at the address of before.</summary>
    public async Task ReturnAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MinResponseDataRate = null;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.AddServerHeader = false;
            kestrel.Listen(IPAddress.Loopback, Url.Port, listen => listen.Use(next => connection =>
            {
                Interlocked.Increment(ref connections);
                return next(connection);
            }));
        });
        app = builder.Build();
        app.Run(AnswerAsync);
        await app.StartAsync();
        Url = new Uri(app.Urls.Single());
    }

    public async ValueTask DisposeAsync() => await LeaveAsync();

    private async Task AnswerAsync(HttpContext http)
    {
        var path = http.Request.Path.Value!;
        using var buffer = new MemoryStream();
        await http.Request.Body.CopyToAsync(buffer, http.RequestAborted);
        var body = Encoding.UTF8.GetString(buffer.ToArray());
        var current = Script;
        if (path.StartsWith("/control", StringComparison.Ordinal))
        {
            await ControlAsync(http, path, body);
            return;
        }

        if (current.ApiKey is { } key && http.Request.Headers.Authorization != $"Bearer {key}" && path != "/health")
        {
            await JsonAsync(http, 401, new { error = new { message = "no such key", type = "invalid_request_error", code = "invalid_api_key" } });
            return;
        }

        switch (path)
        {
            case "/health":
                if (current.HealthGate is { } healthGate)
                    await PassAsync(healthGate, http.RequestAborted);
                http.Response.StatusCode = current.HealthStatus;
                return;
            case "/v1/models" when current.Engine != "tei":
                await JsonAsync(http, 200, new { @object = "list", data = new[] { Model(current) } });
                return;
            case "/info" when current.Engine == "tei":
                await JsonAsync(http, 200, new { model_id = current.Model, max_client_batch_size = 32 });
                return;
            case "/get_server_info" when current.Engine == "sglang":
                await JsonAsync(http, 200, new { disable_radix_cache = current.DisableRadixCache });
                return;
            case "/tokenize" or "/apply-template" when current.Tokenizer:
                Interlocked.Increment(ref tokenized);
                await TokenizeAsync(http, path, body, current);
                return;
            case "/openapi.json" when current is { Engine: "vllm" or "sglang", Describes: true }:
                await JsonAsync(http, 200, new
                {
                    paths = current.Paths.ToDictionary(known => known, _ => new { post = new { } }, StringComparer.Ordinal),
                    components = new
                    {
                        schemas = current.Salted.ToDictionary(name => name, _ => new { properties = new { cache_salt = new { } } }, StringComparer.Ordinal),
                    },
                });
                return;
            case var known when known.StartsWith("/v1/", StringComparison.Ordinal) && current.Paths.Contains(known, StringComparer.Ordinal):
                await InferAsync(http, path, body);
                return;
            default:
                await JsonAsync(http, 404, new { detail = "Not Found" });
                return;
        }
    }

    private static Dictionary<string, object> Model(EngineScript script)
    {
        var model = new Dictionary<string, object>(StringComparer.Ordinal)
        {
            ["id"] = script.Model,
            ["object"] = "model",
            ["created"] = 1,
            ["owned_by"] = script.Engine,
        };
        if (script.MaxModelLen is { } length)
            model["max_model_len"] = length;
        return model;
    }

    private async Task InferAsync(HttpContext http, string path, string body)
    {
        requests.Enqueue(new EngineRequest(path, body, http.Request.Headers.Authorization)
        {
            Headers = http.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase),
        });
        while (requests.Count > RequestsKept)
            requests.TryDequeue(out _);
        Interlocked.Increment(ref count);
        var now = Interlocked.Increment(ref inFlight);
        for (var seen = Interlocked.Read(ref peak); now > seen; seen = Interlocked.Read(ref peak))
            Interlocked.CompareExchange(ref peak, now, seen);
        var isWhole = false;
        try
        {
            var reply = new EngineReply(http, Take(path, out var current), current, body);
            foreach (var step in reply.Steps)
                await DoAsync(reply, step);
            isWhole = true;
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or ConnectionEndedException)
        {
            isWhole = e is ConnectionEndedException;
        }
        finally
        {
            Interlocked.Decrement(ref inFlight);
            if (!isWhole)
                Interlocked.Increment(ref cancelled);
        }
    }

    private IReadOnlyList<EngineStep> Take(string path, out EngineScript current)
    {
        lock (scriptGate)
        {
            current = script;
            for (var i = 0; i < script.Exchanges.Count; i++)
            {
                var exchange = script.Exchanges[i];
                if ((exchange.Path is not null && exchange.Path != path) || (exchange.Times > 0 && served[i] >= exchange.Times))
                    continue;
                served[i]++;
                return exchange.Steps;
            }

            return [EngineStep.Of("serve")];
        }
    }

    private async Task DoAsync(EngineReply reply, EngineStep step)
    {
        var gone = reply.Http.RequestAborted;
        switch (step.Do)
        {
            case "status":
                reply.Http.Response.StatusCode = step.Status;
                foreach (var (name, value) in step.Headers)
                    reply.Http.Response.Headers[name] = value;
                if (reply.Http.Response.ContentType == "text/event-stream")
                    await reply.Http.Response.Body.FlushAsync(gone);
                break;
            case "body":
                await reply.SendAsync(step.Text!);
                break;
            case "slow":
                foreach (var character in step.Text!)
                {
                    await reply.SendAsync(character.ToString());
                    await Task.Delay(step.Ms, gone);
                }

                break;
            case "event":
                await EventAsync(reply, step.Text ?? step.Data!.Value.GetRawText(), step.Name);
                break;
            case "stream":
                for (var i = 0; step.Events == 0 || i < step.Events; i++)
                {
                    if (step.Ms > 0)
                        await Task.Delay(step.Ms, gone);
                    await EventAsync(reply, reply.Chunk(EngineReply.Word(i, step.Bytes), null, null));
                    Interlocked.Increment(ref tokensSent);
                }

                break;
            case "finish":
                await EventAsync(reply, reply.Chunk(null, "stop", null));
                break;
            case "usage":
                await EventAsync(reply, reply.UsageChunk(step.Events));
                break;
            case "done":
                await EventAsync(reply, "[DONE]");
                break;
            case "huge":
                await EventAsync(reply, reply.Chunk(new string('h', step.Bytes), null, null));
                break;
            case "delay":
                await Task.Delay(step.Ms, gone);
                break;
            case "wait":
                await PassAsync(step.Gate, gone);
                break;
            case "cut":
                await reply.Http.Response.Body.FlushAsync(gone);
                reply.Http.Abort();
                throw new ConnectionEndedException();
            case "reset":
                reply.Http.Features.Get<IConnectionSocketFeature>()!.Socket.LingerState = new LingerOption(true, 0);
                reply.Http.Abort();
                throw new ConnectionEndedException();
            case "recorded":
                await reply.ReplayAsync(await File.ReadAllTextAsync(step.File!, gone));
                break;
            case "serve":
                await ServeAsync(reply);
                break;
            default:
                throw new InvalidOperationException($"There is no step {step.Do}.");
        }
    }

    private async Task ServeAsync(EngineReply reply)
    {
        if (!reply.IsStream)
        {
            if (reply.Script.DelayMs > 0)
                await Task.Delay(reply.Script.DelayMs * reply.Tokens, reply.Http.RequestAborted);
            Interlocked.Add(ref tokensSent, reply.Tokens);
            reply.Http.Response.ContentType = "application/json";
            await reply.SendAsync(reply.Whole());
            return;
        }

        reply.Http.Response.ContentType = "text/event-stream";
        await reply.Http.Response.Body.FlushAsync(reply.Http.RequestAborted);
        if (reply.Task is { } task)
        {
            foreach (var (name, data) in task.Events())
                await EventAsync(reply, data, name);
            return;
        }

        foreach (var (name, data, isToken) in reply.NamedEvents())
        {
            if (isToken && reply.Script.DelayMs > 0)
                await Task.Delay(reply.Script.DelayMs, reply.Http.RequestAborted);
            await EventAsync(reply, data, name);
            Interlocked.Add(ref tokensSent, isToken ? 1 : 0);
        }

        if (reply.HasNamedEvents)
            return;
        for (var i = 0; i < reply.Tokens; i++)
        {
            if (reply.Script.DelayMs > 0)
                await Task.Delay(reply.Script.DelayMs, reply.Http.RequestAborted);
            await EventAsync(reply, reply.Chunk(EngineReply.Word(i, reply.Script.Bytes), null, reply.IsContinuous ? i + 1 : null));
            Interlocked.Increment(ref tokensSent);
        }

        await EventAsync(reply, reply.Chunk(null, reply.FinishReason, reply.IsContinuous ? reply.Tokens : null));
        if (reply.IncludesUsage)
            await EventAsync(reply, reply.UsageChunk(reply.Tokens));
        await EventAsync(reply, "[DONE]");
    }

    private async Task EventAsync(EngineReply reply, string data, string? name = null)
    {
        await reply.SendAsync($"{(name is null ? "" : $"event: {name}\n")}data: {data}\n\n");
        await reply.Http.Response.Body.FlushAsync(reply.Http.RequestAborted);
        Interlocked.Increment(ref eventsSent);
    }

    private static async Task TokenizeAsync(HttpContext http, string path, string body, EngineScript script)
    {
        using var document = JsonDocument.Parse(body);
        var root = document.RootElement;
        var text = EngineReply.PromptOf(root);
        if (path == "/apply-template")
            await JsonAsync(http, 200, new { prompt = text });
        else if (script.Engine == "llamacpp")
            await JsonAsync(http, 200, new { tokens = Enumerable.Range(0, EngineReply.Count(root.GetProperty("content").GetString()!)) });
        else
            await JsonAsync(
                http, 200,
                new { count = EngineReply.Count(text), max_model_len = script.MaxModelLen ?? 0, tokens = Enumerable.Range(0, EngineReply.Count(text)) });
    }

    private async Task ControlAsync(HttpContext http, string path, string body)
    {
        switch (http.Request.Method, path)
        {
            case ("GET", "/control"):
                await JsonAsync(http, 200, Counters);
                break;
            case ("GET", "/control/requests"):
                await JsonAsync(http, 200, Requests);
                break;
            case ("PUT", "/control/script"):
                Script = EngineScript.Parse(Encoding.UTF8.GetBytes(body));
                http.Response.StatusCode = 204;
                break;
            case ("POST", _) when path.StartsWith("/control/gates/", StringComparison.Ordinal):
                Open(path["/control/gates/".Length..]);
                http.Response.StatusCode = 204;
                break;
            default:
                http.Response.StatusCode = 404;
                break;
        }
    }

    private static async Task JsonAsync(HttpContext http, int status, object value)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        await http.Response.Body.WriteAsync(JsonSerializer.SerializeToUtf8Bytes(value, Format), http.RequestAborted);
    }

    private async Task PassAsync(string name, CancellationToken gone)
    {
        var gate = GateOf(name);
        gate.Reached.TrySetResult();
        await gate.Opened.Task.WaitAsync(gone);
    }

    private Gate GateOf(string name) => gates.GetOrAdd(name, _ => new Gate());

    private sealed class Gate
    {
        public TaskCompletionSource Reached { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Opened { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>The script ended the connection: no caller left.</summary>
    private sealed class ConnectionEndedException : Exception;
}
