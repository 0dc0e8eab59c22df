// spec/envelope-v1.md sections 3, 7, 8 and 13, the client's side.
using System.Runtime.CompilerServices;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client.Transport.V1;

/// <summary>The calls of one endpoint whose requests come sealed, and whose answers are left sealed. Whom they are sealed to is not verified here: whoever
/// sealed them chose the key. Safe for concurrent use.</summary>
internal sealed class SealedCalls(GatewayConnection connection, ConfidentialChatOptions options, InferenceEndpoint endpoint)
{
    private readonly string path = EnvelopeV1.PathOf(EnvelopeEndpoint.Of(endpoint));

    /// <summary>Sends a request and waits for its whole answer.</summary>
    public async Task<SealedAnswer> CreateAsync(SealedFields fields, CallOptions? call, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(fields);
        if (fields.Stream is true)
            throw new ArgumentException("A stream has a method of its own: CreateStreamAsync.", nameof(fields));
        using var clock = CallClock.Start(options, call, cancellation);
        var exchange = await BeginAsync(fields, "application/json", call, clock).ConfigureAwait(false);
        await using var _ = exchange.ConfigureAwait(false);
        var body = await exchange.ReadWholeAsync().ConfigureAwait(false);
        return SealedAnswer.TryParse(body, out var answer) ? answer : throw NoSealedObject(exchange);
    }

    /// <summary>Sends a request, when its answer is enumerated.</summary>
    public IAsyncEnumerable<SealedAnswer> CreateStreamAsync(SealedFields fields, CallOptions? call, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(fields);
        if (fields.Stream is false)
            throw new ArgumentException("A whole answer has a method of its own: CreateAsync.", nameof(fields));
        return StreamAsync(fields, call, cancellation);
    }

    private async IAsyncEnumerable<SealedAnswer> StreamAsync(
        SealedFields fields, CallOptions? call, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var clock = CallClock.Start(options, call, cancellation);
        var exchange = await BeginAsync(fields, "text/event-stream", call, clock).ConfigureAwait(false);
        await using var _ = exchange.ConfigureAwait(false);
        var target = new EventTarget();
        var isEmpty = true;
        while (await exchange.ReadEventAsync(target).ConfigureAwait(false))
        {
            isEmpty = false;
            yield return target.Answer ?? throw NoSealedObject(exchange);
        }

        if (isEmpty)
            throw exchange.Truncated(); // the finish reason is sealed: that there was an answer at all is what can be seen here
    }

    // The same bytes every time: only the caller can lock and seal anew, and the node serves them once.
    private async Task<Exchange> BeginAsync(SealedFields fields, string expected, CallOptions? call, CallClock clock)
    {
        var attempts = new Attempts(call?.Retries ?? options.Retries, clock, isSealedAnew: false);
        var body = fields.ToJson();
        var response = await attempts.RunAsync(() => connection.SendAsync(HttpMethod.Post, path, body, expected, clock)).ConfigureAwait(false);
        return new Exchange(response, clock, attempts);
    }

    private static InvalidAnswerException NoSealedObject(Exchange exchange) =>
        new("The answer is no sealed object.") { Attempts = exchange.Attempts.Count };

    private sealed class EventTarget : IEventTarget
    {
        public SealedAnswer? Answer { get; private set; }

        public void Take(string? name, ReadOnlySpan<byte> data) => Answer = SealedAnswer.TryParse(data.ToArray(), out var answer) ? answer : null;
    }
}
