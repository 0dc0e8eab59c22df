using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Bench.WholePath.Processes;
using ConfidentialChat.Bench.WholePath.Servers;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Bench.WholePath.Load;

/// <summary>One way from the load to the engine.</summary>
internal abstract class Route
{
    /// <summary>Says it in tables and results.</summary>
    public required string Name { get; init; }

    /// <summary>Where the load connects.</summary>
    public required Uri To { get; init; }

    /// <summary>The processes under test: on core 0 while it is measured, and counted.</summary>
    public required IReadOnlyList<Hop> Tested { get; init; }

    /// <summary>Processes on its way that are not: on core 1.</summary>
    public IReadOnlyList<Hop> Aside { get; init; } = [];

    /// <summary>Calls that can be prepared at once.</summary>
    public virtual int BatchMax => int.MaxValue;

    /// <summary>Calls that are worth their preparation in one measurement.</summary>
    public virtual int CallsMax => int.MaxValue;

    /// <summary>Whether it can stream; where not, nothing is said of chunks.</summary>
    public bool Streams { get; init; } = true;

    /// <summary>Whether answers may be checked at every call; sealed ones cost as much to open as they did to make.</summary>
    public bool Checks { get; set; }

    /// <summary>Makes requests ready, beside the clock.</summary>
    public abstract Task PrepareAsync(int count, Shape shape);

    /// <summary>Makes one call and says when the first byte of its answer was there.</summary>
    public abstract ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape);

    protected static RawAnswer Ok(in RawAnswer answer) => answer.Status == 200
        ? answer
        : throw new LostAnswerException($"answered {answer.Status}: {Encoding.UTF8.GetString(answer.Body.Span[..Math.Min(answer.Body.Length, 200)])}");
}

/// <summary>Plain requests: the engine itself, and relays that open nothing.</summary>
internal sealed class PlainRoute : Route
{
    private byte[] request = [];
    private Shape prepared = new(-1);

    public string Path { get; init; } = "/v1/chat/completions";

    public string? Headers { get; init; }

    public override Task PrepareAsync(int count, Shape shape)
    {
        if (prepared != shape)
            request = RawConnection.Post(To, Path, shape.Json(), Headers);
        prepared = shape;
        return Task.CompletedTask;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        var answer = Ok(await connection.ExchangeAsync(request));
        return !Checks || shape.IsWhole(answer.Body.Span) ? answer.FirstByte : throw new LostAnswerException("the answer is not whole");
    }
}

/// <summary>Requests sealed to the floor's node, which knows no locks and takes one request any number of times.</summary>
internal sealed class FloorRoute : Route
{
    private SealedBytes? request;
    private Shape prepared = new(-1);

    public required X25519PublicKey NodeKey { get; init; }

    public override Task PrepareAsync(int count, Shape shape)
    {
        if (prepared != shape || Checks)
            request = SealedBytes.Make(To, NodeKey, new StackId(1), shape, shape.Json(), null);
        prepared = shape;
        return Task.CompletedTask;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        var answer = Ok(await connection.ExchangeAsync(request!.Bytes));
        lock (request)
            return !Checks || request.IsWhole(shape, answer.Body) ? answer.FirstByte : throw new LostAnswerException("the answer is not whole");
    }
}

/// <summary>Requests sealed by a server of the Encrypted HTTP Body Protocol to itself, which takes one any number of times.</summary>
internal sealed class EhbpRoute : Route
{
    private byte[] request = [];
    private Shape prepared = new(-1);

    public override async Task PrepareAsync(int count, Shape shape)
    {
        if (prepared == shape)
            return;
        using var connection = new RawConnection(To);
        var answer = Ok(await connection.ExchangeAsync(RawConnection.Post(To, "/seal", shape.Json())));
        using var made = JsonDocument.Parse(answer.Body);
        request = RawConnection.Post(
            To, "/v1/chat/completions", made.RootElement.GetProperty("body").GetBytesFromBase64(),
            $"Ehbp-Encapsulated-Key: {made.RootElement.GetProperty("key").GetString()}\r\n");
        prepared = shape;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape) => Ok(await connection.ExchangeAsync(request)).FirstByte;
}

/// <summary>Our gateway and node; locks are taken and requests sealed beside the clock.</summary>
internal sealed class RelayRoute : Route
{
    private readonly Lock gate = new();
    private SealedBytes[] requests = [];

    public required ChatStack Stack { get; init; }

    public override int BatchMax => 960; // below the 1000 open locks of a stack, and made and used within the minute that a lock lives

    public override async Task PrepareAsync(int count, Shape shape)
    {
        var (made, next) = (new SealedBytes[count], 0);
        var json = shape.Json();
        await Task.WhenAll(Enumerable.Range(0, Math.Min(8, count)).Select(async _ =>
        {
            using var connection = new RawConnection(To);
            while (Interlocked.Increment(ref next) - 1 is var index && index < count)
                made[index] = await LockAsync(connection, Stack, Stack.ApiKeys[index % Stack.ApiKeys.Count], shape, json);
        }));
        lock (gate)
            requests = made;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        var request = requests[index];
        var answer = Ok(await connection.ExchangeAsync(request.Bytes));
        if (Checks && !request.IsWhole(shape, answer.Body))
            throw new LostAnswerException("the answer does not open, or is not whole");
        request.Request.Dispose();
        return answer.FirstByte;
    }

    /// <summary>Takes a lock and seals a request to its key.</summary>
    public static async ValueTask<SealedBytes> LockAsync(
        RawConnection connection, ChatStack stack, string apiKey, Shape shape, byte[] json, string model = Engine.Model)
    {
        var headers = $"Authorization: Bearer {apiKey}\r\n";
        var ask = RawConnection.Post(stack.Gateway.Url, "/v1/nodes/lock", Encoding.UTF8.GetBytes($$"""{"model":"{{model}}","timeout":60}"""), headers);
        var answer = Ok(await connection.ExchangeAsync(ask));
        var (key, number) = ReadLock(answer.Body.Span);
        return SealedBytes.Make(stack.Gateway.Url, key, number, shape, json, headers, model);
    }

    private static (X25519PublicKey Key, StackId Stack) ReadLock(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        using var answer = JsonDocument.ParseValue(ref reader);
        var key = new X25519PublicKey(answer.RootElement.GetProperty("public_key").GetBytesFromBase64());
        return (key, new StackId(answer.RootElement.GetProperty("stack_small_id").GetInt64()));
    }
}

/// <summary>The same with version 1's lock call counted in.</summary>
internal sealed class LockAndRelayRoute : Route
{
    private byte[] json = [];

    public required ChatStack Stack { get; init; }

    public override Task PrepareAsync(int count, Shape shape)
    {
        json = shape.Json();
        return Task.CompletedTask;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        var request = await RelayRoute.LockAsync(connection, Stack, Stack.ApiKeys[index % Stack.ApiKeys.Count], shape, json);
        using var key = request.Request;
        var answer = Ok(await connection.ExchangeAsync(request.Bytes));
        return !Checks || request.IsWhole(shape, answer.Body) ? answer.FirstByte : throw new LostAnswerException("the answer does not open, or is not whole");
    }
}

/// <summary>The whole path as a user has it: the client library verifies, seals, sends and opens.</summary>
internal abstract class LibraryRoute(ChatStack stack, Uri engine, EnvelopeVersion envelope) : Route, IAsyncDisposable
{
    protected ConfidentialChatClient Client { get; } = new(new ConfidentialChatOptions
    {
        BearerKey = stack.ApiKeys[0],
        ServerUrl = stack.Gateway.Url,
        Policy = PolicyOf(engine),
        Envelope = envelope,
    });

    /// <summary>Accepts this stack's simulated node with its engine, and nothing else.</summary>
    public static Policy PolicyOf(Uri engine) => Policy.Default with { AllowSimulated = true, Upstreams = [engine.GetLeftPart(UriPartial.Path)] };

    public ValueTask DisposeAsync()
    {
        Client.Dispose();
        return ValueTask.CompletedTask;
    }

    protected static long End(in Shape shape, int chunks, long first) => chunks >= shape.Chunks ? first : throw new LostAnswerException("the stream is short");
}

/// <summary>Typed requests and answers.</summary>
internal sealed class ClientRoute(ChatStack stack, Uri engine, EnvelopeVersion envelope) : LibraryRoute(stack, engine, envelope)
{
    private ChatCompletionRequest request = null!;

    public override Task PrepareAsync(int count, Shape shape)
    {
        request = ChatCompletionRequest.Parse(shape.Json());
        return Task.CompletedTask;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        if (!shape.IsStream)
        {
            await Client.ConfidentialChat.CreateAsync(request);
            return System.Diagnostics.Stopwatch.GetTimestamp();
        }

        var (first, chunks) = (0L, 0);
        await foreach (var _ in Client.ConfidentialChat.CreateStreamAsync(request))
        {
            if (chunks++ == 0)
                first = System.Diagnostics.Stopwatch.GetTimestamp();
        }

        return End(shape, chunks, first);
    }
}

/// <summary>JSON bytes in, opened bytes out.</summary>
internal sealed class RawCallRoute(ChatStack stack, Uri engine, EnvelopeVersion envelope) : LibraryRoute(stack, engine, envelope)
{
    private byte[] json = [];

    public override Task PrepareAsync(int count, Shape shape)
    {
        json = shape.Json();
        return Task.CompletedTask;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        await using var answer = await Client.SendAsync(InferenceEndpoint.ChatCompletions, json);
        if (!shape.IsStream)
        {
            var whole = await answer.ReadWholeAsync();
            return !Checks || shape.IsWhole(whole.Span)
                ? System.Diagnostics.Stopwatch.GetTimestamp()
                : throw new LostAnswerException("the answer is not whole");
        }

        var (first, chunks) = (0L, 0);
        await foreach (var _ in answer.ReadEventsAsync())
        {
            if (chunks++ == 0)
                first = System.Diagnostics.Stopwatch.GetTimestamp();
        }

        return End(shape, chunks, first);
    }
}
