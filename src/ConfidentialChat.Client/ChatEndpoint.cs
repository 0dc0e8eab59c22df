// spec/envelope-v1.md section 1.
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>Chat completions that are sealed here and answered by a node. Safe for concurrent use.</summary>
public sealed class ChatEndpoint : StreamingEndpoint
{
    internal ChatEndpoint(ConfidentialCalls calls)
        : base(calls, InferenceEndpoint.ChatCompletions)
    {
    }

    /// <summary>Asks for a whole answer.</summary>
    /// <param name="request">Read when the call begins, and left as it is.</param>
    /// <param name="cancellation">Closes the connection, which stops the node.</param>
    /// <exception cref="ConfidentialChatException">Anything but an authentic answer.</exception>
    public Task<ChatCompletion> CreateAsync(ChatCompletionRequest request, CancellationToken cancellation = default) =>
        Typed.CreateAsync<ChatCompletion>(request, null, cancellation);

    /// <summary>Asks for a whole answer, with options of this call's own.</summary>
    /// <inheritdoc cref="CreateAsync(ChatCompletionRequest, CancellationToken)"/>
    public Task<ChatCompletion> CreateAsync(ChatCompletionRequest request, CallOptions options, CancellationToken cancellation = default) =>
        Typed.CreateAsync<ChatCompletion>(request, options, cancellation);

    /// <summary>Asks for an answer in chunks, as the node makes them. The last one usually has no choices and carries the usage.</summary>
    /// <param name="request">Read when the enumeration begins, and left as it is.</param>
    /// <param name="cancellation">Closes the connection, which stops the node; so does ending the enumeration early.</param>
    /// <returns>Sends nothing until it is enumerated; every enumeration is a request of its own.</returns>
    /// <exception cref="ConfidentialChatException">
    /// Thrown by the enumeration. It ends without one only if every choice that began has finished: a stream never ends silently short.
    /// </exception>
    public IAsyncEnumerable<ChatCompletionChunk> CreateStreamAsync(ChatCompletionRequest request, CancellationToken cancellation = default) =>
        Typed.CreateStreamAsync<ChatCompletionChunk>(request, null, cancellation);

    /// <summary>Asks for an answer in chunks, with options of this call's own.</summary>
    /// <inheritdoc cref="CreateStreamAsync(ChatCompletionRequest, CancellationToken)"/>
    public IAsyncEnumerable<ChatCompletionChunk> CreateStreamAsync(
        ChatCompletionRequest request, CallOptions options, CancellationToken cancellation = default) =>
        Typed.CreateStreamAsync<ChatCompletionChunk>(request, options, cancellation);
}
