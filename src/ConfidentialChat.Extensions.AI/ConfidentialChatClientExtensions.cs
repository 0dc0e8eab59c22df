using ConfidentialChat.Client;
using Microsoft.Extensions.AI;

namespace ConfidentialChat.Extensions.AI;

/// <summary>A <see cref="ConfidentialChatClient"/> as what Microsoft.Extensions.AI, and whatever is built on it, asks of a model.</summary>
public static class ConfidentialChatClientExtensions
{
    /// <summary>A chat client. Safe for concurrent use; its disposal leaves <paramref name="client"/> open.</summary>
    /// <param name="client">Seals and sends; the caller keeps it.</param>
    /// <param name="model">Asked where <see cref="ChatOptions.ModelId"/> names none; null where it always does.</param>
    /// <param name="options">What its calls do differently.</param>
    /// <returns>
    /// Throws what the client throws: <see cref="ConfidentialChatException"/> for anything but an authentic answer, <see cref="NotSupportedException"/>
    /// for what cannot be asked of a node (see docs/clients.md); nothing was sent then. Streams end without an exception only where the answer is whole.
    /// </returns>
    /// <example>
    /// <code>
    /// IChatClient chat = client.AsIChatClient("llama-3.3-70b");
    /// Console.WriteLine(await chat.GetResponseAsync("Who can read this question?"));
    /// </code>
    /// </example>
    public static IChatClient AsIChatClient(this ConfidentialChatClient client, string? model = null, CallOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        return new SealedChatClient(client, model, options ?? new CallOptions());
    }

    /// <summary>An embedding generator. Safe for concurrent use; its disposal leaves <paramref name="client"/> open.</summary>
    /// <param name="client">Seals and sends; the caller keeps it.</param>
    /// <param name="model">Asked where <see cref="EmbeddingGenerationOptions.ModelId"/> names none; null where it always does.</param>
    /// <param name="dimensions">Numbers of a vector where <see cref="EmbeddingGenerationOptions.Dimensions"/> says none; null leaves it to the model.</param>
    /// <param name="options">What its calls do differently.</param>
    public static IEmbeddingGenerator<string, Embedding<float>> AsIEmbeddingGenerator(
        this ConfidentialChatClient client, string? model = null, int? dimensions = null, CallOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        return new SealedEmbeddingGenerator(client, model, dimensions, options ?? new CallOptions());
    }
}
