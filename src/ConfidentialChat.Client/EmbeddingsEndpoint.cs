// spec/envelope-v1.md section 1.
using ConfidentialChat.Client.Embeddings;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>Embeddings of texts that are sealed here and answered by a node. Safe for concurrent use.</summary>
public sealed class EmbeddingsEndpoint : ConfidentialEndpoint
{
    internal EmbeddingsEndpoint(ConfidentialCalls calls)
        : base(calls, InferenceEndpoint.Embeddings)
    {
    }

    /// <summary>Asks for the vectors of texts.</summary>
    /// <param name="request">Read when the call begins, and left as it is.</param>
    /// <param name="cancellation">Closes the connection, which stops the node.</param>
    /// <exception cref="ConfidentialChatException">Anything but an authentic answer.</exception>
    /// <example>
    /// <code>
    /// var answer = await client.ConfidentialEmbeddings.CreateAsync(new EmbeddingRequest { Model = "e5", Input = "a text" });
    /// float[] vector = answer.Data[0].Vector.ToFloats();
    /// </code>
    /// </example>
    public Task<EmbeddingList> CreateAsync(EmbeddingRequest request, CancellationToken cancellation = default) =>
        Typed.CreateAsync<EmbeddingList>(request, null, cancellation);

    /// <summary>Asks for the vectors of texts, with options of this call's own.</summary>
    /// <inheritdoc cref="CreateAsync(EmbeddingRequest, CancellationToken)"/>
    public Task<EmbeddingList> CreateAsync(EmbeddingRequest request, CallOptions options, CancellationToken cancellation = default) =>
        Typed.CreateAsync<EmbeddingList>(request, options, cancellation);
}
