using System.Runtime.CompilerServices;
using ConfidentialChat.Client;
using Microsoft.Extensions.AI;

namespace ConfidentialChat.Extensions.AI;

/// <summary>Chat of one client, for Microsoft.Extensions.AI.</summary>
internal sealed class SealedChatClient(ConfidentialChatClient client, string? model, CallOptions call) : IChatClient
{
    private readonly ChatClientMetadata metadata = new(Telemetry.Provider, client.ServerUrl, model);

    public async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellation = default)
    {
        Telemetry.WithoutContent();
        var request = RequestOf(messages, options);
        VerifiedNode? node = null;
        var answer = await client.ConfidentialChat.CreateAsync(request, Noting(seen => node = seen), cancellation).ConfigureAwait(false);
        Telemetry.Note(node);
        return ChatAnswer.Of(answer, options, node);
    }

    public async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        Telemetry.WithoutContent();
        var request = RequestOf(messages, options);
        request.StreamOptions ??= new Client.Chat.ChatStreamOptions { IncludeUsage = true };
        VerifiedNode? node = null;
        var answer = new ChatStream(options);
        var isNoted = false;
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, Noting(seen => node = seen), cancellation).ConfigureAwait(false))
        {
            if (!isNoted)
                Telemetry.Note(node);
            isNoted = true;
            yield return answer.Next(chunk, node);
        }

        if (answer.Rest(node) is { } rest)
            yield return rest;
    }

    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(ChatClientMetadata) ? metadata
            : serviceType.IsInstanceOfType(client) ? client
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    // The client is its caller's.
    public void Dispose()
    {
    }

    private Client.Chat.ChatCompletionRequest RequestOf(IEnumerable<ChatMessage> messages, ChatOptions? options)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return ChatQuestion.Of(this, messages, options, model);
    }

    private CallOptions Noting(Action<VerifiedNode> note) => call with
    {
        OnNode = call.OnNode is { } others ? node =>
        {
            note(node);
            others(node);
        }
        : note,
    };
}
