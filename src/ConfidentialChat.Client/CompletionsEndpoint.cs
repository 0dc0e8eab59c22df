// spec/envelope-v1.md section 1.
using ConfidentialChat.Client.Completions;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>Completions of plain text that are sealed here and answered by a node. Safe for concurrent use.</summary>
public sealed class CompletionsEndpoint : StreamingEndpoint
{
    internal CompletionsEndpoint(ConfidentialCalls calls)
        : base(calls, InferenceEndpoint.Completions)
    {
    }

    /// <summary>Asks for a whole answer.</summary>
    /// <param name="request">Read when the call begins, and left as it is.</param>
    /// <param name="cancellation">Closes the connection, which stops the node.</param>
    /// <exception cref="ConfidentialChatException">Anything but an authentic answer.</exception>
    public Task<Completion> CreateAsync(CompletionRequest request, CancellationToken cancellation = default) =>
        Typed.CreateAsync<Completion>(request, null, cancellation);

    /// <summary>Asks for a whole answer, with options of this call's own.</summary>
    /// <inheritdoc cref="CreateAsync(CompletionRequest, CancellationToken)"/>
    public Task<Completion> CreateAsync(CompletionRequest request, CallOptions options, CancellationToken cancellation = default) =>
        Typed.CreateAsync<Completion>(request, options, cancellation);

    /// <summary>Asks for an answer in pieces, as the node makes them. The last one usually has no choices and carries the usage.</summary>
    /// <param name="request">Read when the enumeration begins, and left as it is.</param>
    /// <param name="cancellation">Closes the connection, which stops the node; so does ending the enumeration early.</param>
    /// <returns>Sends nothing until it is enumerated; every enumeration is a request of its own.</returns>
    /// <exception cref="ConfidentialChatException">
    /// Thrown by the enumeration. It ends without one only if every choice that began has finished: a stream never ends silently short.
    /// </exception>
    public IAsyncEnumerable<Completion> CreateStreamAsync(CompletionRequest request, CancellationToken cancellation = default) =>
        Typed.CreateStreamAsync<Completion>(request, null, cancellation);

    /// <summary>Asks for an answer in pieces, with options of this call's own.</summary>
    /// <inheritdoc cref="CreateStreamAsync(CompletionRequest, CancellationToken)"/>
    public IAsyncEnumerable<Completion> CreateStreamAsync(
        CompletionRequest request, CallOptions options, CancellationToken cancellation = default) =>
        Typed.CreateStreamAsync<Completion>(request, options, cancellation);
}
