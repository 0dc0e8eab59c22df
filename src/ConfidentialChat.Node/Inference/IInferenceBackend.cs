using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference;

/// <summary>An inference engine as the node sees it: an opened request of an endpoint's API goes in, that API's JSON comes out.</summary>
/// <remarks>Implementations are safe for concurrent calls. No prompt, answer or hash of either may reach a log or an error text.</remarks>
public interface IInferenceBackend : IAsyncDisposable
{
    /// <summary>The models that this engine serves, by the names that callers use.</summary>
    IReadOnlyList<string> Models { get; }

    /// <summary>Whether requests can be served. A node whose engine is dead takes none.</summary>
    bool IsAlive { get; }

    /// <summary>Those of <see cref="Models"/> that can be served now.</summary>
    IReadOnlyList<string> AliveModels => IsAlive ? Models : [];

    /// <summary>Raised after <see cref="AliveModels"/> changed, from any thread. An engine that lives as long as the node never raises it.</summary>
    event Action? AliveChanged
    {
        add { }
        remove { }
    }

    /// <summary>What the node states of it under its evidence.</summary>
    EngineDescription Description => EngineDescription.None;

    /// <summary>Reads the request, counts its prompt and begins to serve it.</summary>
    /// <param name="request">An opened request whose <c>model</c> and <c>stream</c> the node has checked already.</param>
    /// <param name="cancellation">Cancelled when the caller is gone; the engine then stops at once.</param>
    /// <returns>A refusal, with nothing computed and nothing to charge, or the answer as it is being made.</returns>
    /// <exception cref="InferenceException">The engine itself failed.</exception>
    /// <exception cref="InferenceAbandonedException">The caller left while the engine was computing.</exception>
    Task<InferenceStart> StartAsync(InferenceRequest request, CancellationToken cancellation);
}

/// <summary>What an engine is, for whoever judges the node: spec/attestation.md section 11.</summary>
/// <param name="Weights">SHA-256 in lower-case hexadecimal of the file that this process loaded, by
/// the model's name. Models that an engine elsewhere has are not in it.</param>
/// <param name="Upstreams">Addresses of engines outside the process.</param>
/// <param name="Dangerous">Names of the dangerous options that are on, without <c>--dangerous-</c>.</param>
/// <param name="Arguments">As the engine was given them.</param>
public sealed record EngineDescription(
    IReadOnlyDictionary<string, string> Weights, IReadOnlyList<string> Upstreams, IReadOnlyList<string> Dangerous, IReadOnlyList<string> Arguments)
{
    public static EngineDescription None { get; } = new(new Dictionary<string, string>(), [], [], []);
}

/// <summary>One opened request.</summary>
public sealed record InferenceRequest
{
    public required InferenceEndpoint Endpoint { get; init; }

    /// <summary>The model, equal to the <c>model</c> member of <see cref="Body"/>.</summary>
    public required string Model { get; init; }

    /// <summary>Whether the answer is a stream of chunk objects or one whole object.</summary>
    public required bool Stream { get; init; }

    /// <summary>
    /// UTF-8 JSON object of the request, exactly as the caller sealed it; valid JSON.
    /// Erased once <see cref="IInferenceBackend.StartAsync"/> is over.
    /// </summary>
    public required ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>The header <c>anthropic-version</c>, for the endpoints that have it; null where the caller sent none.</summary>
    public string? AnthropicVersion { get; init; }

    /// <inheritdoc cref="AnthropicVersion"/>
    public string? AnthropicBeta { get; init; }

    /// <summary>The reservation, prompt and completion together. The prompt must fit; the completion is capped.</summary>
    public required ComputeUnits MaxUnits { get; init; }
}

/// <summary>How a request began: refused, or being answered.</summary>
public abstract record InferenceStart
{
    private InferenceStart()
    {
    }

    /// <summary>The caller's mistake; nothing was computed.</summary>
    /// <param name="Reason">Why.</param>
    /// <param name="Field">The member at fault, a name from the OpenAI API such as <c>temperature</c>; never a value.</param>
    public sealed record Refused(InferenceRefusal Reason, string? Field = null) : InferenceStart
    {
        /// <summary>Where it is busy: how long the caller is to stay away, as the engine has it. Not bounded; null where it does not say.</summary>
        public TimeSpan? RetryAfter { get; init; }

        /// <summary>Where it does not serve the endpoint: what it has.</summary>
        public IReadOnlyList<InferenceEndpoint> Served { get; init; } = [];
    }

    /// <summary>The engine is at work. The caller owns <paramref name="Answer"/> and disposes of it.</summary>
    public sealed record Started(InferenceAnswer Answer) : InferenceStart;
}

/// <summary>Why an engine refuses a request.</summary>
public enum InferenceRefusal
{
    /// <summary>A member has the wrong type or range, or asks for what this engine does not do; <c>model</c> where it does not do the endpoint.</summary>
    InvalidField,

    /// <summary>The prompt does not fit the model's context or the reservation.</summary>
    ContextTooLarge,

    /// <summary>No room for another request now.</summary>
    Busy,

    /// <summary>It does not do this endpoint; of those with named events, and of counting tokens.</summary>
    NotServed,
}

/// <summary>An answer in the making. Disposal stops the engine at once; it is safe at any point and more than once.</summary>
public abstract class InferenceAnswer : IAsyncDisposable
{
    /// <summary>A media type of <see cref="ContentType"/>: one JSON object.</summary>
    public const string Json = "application/json";

    /// <summary>A media type of <see cref="ContentType"/>: server-sent events.</summary>
    public const string EventStream = "text/event-stream";

    /// <summary>The HTTP status inside the envelope.</summary>
    public virtual int Status => 200;

    /// <summary>The media type inside the envelope; it says how the parts are to be read.</summary>
    public abstract string ContentType { get; }

    /// <summary>What was computed so far; exact once the parts have ended or the answer has been disposed of.</summary>
    public abstract Usage Usage { get; }

    /// <summary>
    /// The parts. Of <see cref="EventStream"/> each is one event, of <see cref="Json"/> the one part is the whole UTF-8 JSON object without
    /// line breaks, of anything else they are bytes that follow each other. The events of the OpenAI API's chunks have no name and hold one
    /// whole JSON object without line breaks, the last of them with a <c>finish_reason</c> (followed by a usage chunk where
    /// <c>stream_options.include_usage</c> asked for it). Those of an API with named events have their type for a name, and end with the one
    /// that the API ends with. Read once.
    /// </summary>
    /// <exception cref="InferenceException">The engine failed; no further part follows.</exception>
    public abstract IAsyncEnumerable<AnswerPart> ReadPartsAsync(CancellationToken cancellation);

    public abstract ValueTask DisposeAsync();
}

/// <summary>One part of an answer: an event, or bytes as they are.</summary>
/// <param name="Data">An array of its own, the reader's to clear.</param>
/// <param name="EventName">The <c>event</c> field; null where there is none, and for what is no event.</param>
public readonly record struct AnswerPart(ReadOnlyMemory<byte> Data, string? EventName = null);

/// <summary>The engine failed. The message is for the operator's log and holds nothing of prompt or answer.</summary>
public sealed class InferenceException(InferenceFailure failure, string message, Exception? inner = null) : Exception(message, inner)
{
    public InferenceFailure Failure { get; } = failure;

    /// <summary>What is charged for it: of an engine that timed out what it had computed, as far as that is known; nothing of one that failed.</summary>
    public Usage Usage { get; init; }
}

/// <summary>The caller left before there was an answer to count by; the engine had the request and was computing.</summary>
/// <param name="usage">What is charged for it.</param>
/// <param name="cancellation">The caller's.</param>
public sealed class InferenceAbandonedException(Usage usage, CancellationToken cancellation)
    : OperationCanceledException("The caller left before the answer began.", cancellation)
{
    public Usage Usage { get; } = usage;
}

/// <summary>How an engine fails.</summary>
public enum InferenceFailure
{
    Failed,
    TimedOut,
}
