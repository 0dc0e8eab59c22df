// spec/inference.md sections 5, 6 and 8.
using System.Runtime.CompilerServices;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>The answer of an HTTP engine, from its first part on.</summary>
/// <param name="exchange">Owned.</param>
/// <param name="first">At hand already.</param>
/// <param name="request">Whose answer it is.</param>
/// <param name="countedPrompt">The prompt's tokens, where the engine counted them beforehand.</param>
/// <param name="reserved">What the usage cannot exceed.</param>
internal sealed class UpstreamAnswer(
    UpstreamExchange exchange, UpstreamPart first, UpstreamRequest request, long? countedPrompt, ComputeUnits reserved) : InferenceAnswer
{
    private const int BytesOfToken = 4; // of ordinary text; for answers that were cut off before the engine said its count

    private readonly Lock gate = new();
    private Usage? counted = first.Usage;
    private bool isFinalCount = first.IsFinalCount;
    private long pieces = first.HasContent ? 1 : 0;
    private bool isWhole = !request.Stream;
    private int isRead;

    /// <summary>The engine's count; where it said none, the prompt by its size and a token for each piece that came.</summary>
    public override Usage Usage
    {
        get
        {
            lock (gate)
            {
                if (request.Endpoint == InferenceEndpoint.ImageGenerations)
                    return new Usage(0, 0) { Pixels = isWhole ? request.Pixels : 0 }.CappedAt(reserved);
                if (request.Endpoint == InferenceEndpoint.CountTokens)
                    return default;
                var prompt = counted?.PromptTokens ?? countedPrompt ?? request.PromptEstimate;
                var completion = counted?.CompletionTokens ?? 0;
                return new Usage(prompt, Math.Max(completion, counted is null || request.Stream ? Estimate() : 0)).CappedAt(reserved);
            }
        }
    }

    public override string ContentType => request.Stream ? EventStream : Json;

    public override async IAsyncEnumerable<AnswerPart> ReadPartsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        if (Interlocked.Exchange(ref isRead, 1) != 0)
            throw new InvalidOperationException("An answer is read once.");
        for (var part = first; part is not null; part = request.Stream ? await NextAsync(cancellation) : null)
        {
            if (part.Json.Length > 0)
                yield return new AnswerPart(part.Json, part.Name);
        }

        lock (gate)
            isWhole = true;
    }

    public override ValueTask DisposeAsync()
    {
        exchange.Dispose();
        return ValueTask.CompletedTask;
    }

    private async ValueTask<UpstreamPart?> NextAsync(CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var part = await exchange.NextAsync();
        lock (gate)
        {
            if (part is { HasContent: true })
                pieces++;
            counted = part?.Usage is not { } said ? counted : request.Row.HasNamedEvents && counted is { } before ? before.Largest(said) : said;
            isFinalCount |= part is { IsFinalCount: true };
        }

        return part;
    }

    // A whole answer without a count is measured by its size.
    private long Estimate() => request.Stream ? isWhole && counted is not null && (isFinalCount || !request.Row.HasNamedEvents) ? 0 : pieces
        : request.Endpoint == InferenceEndpoint.Embeddings ? 0
        : (first.Json.Length + BytesOfToken - 1) / BytesOfToken;
}
