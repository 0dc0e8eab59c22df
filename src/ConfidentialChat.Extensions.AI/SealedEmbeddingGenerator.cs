using ConfidentialChat.Client;
using ConfidentialChat.Client.Embeddings;
using Microsoft.Extensions.AI;

namespace ConfidentialChat.Extensions.AI;

/// <summary>Embeddings of one client, for Microsoft.Extensions.AI.</summary>
internal sealed class SealedEmbeddingGenerator(ConfidentialChatClient client, string? model, int? dimensions, CallOptions call)
    : IEmbeddingGenerator<string, Embedding<float>>
{
    private readonly EmbeddingGeneratorMetadata metadata = new(Telemetry.Provider, client.ServerUrl, model, dimensions);

    public async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(
        IEnumerable<string> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(values);
        var texts = values.ToArray();
        if (texts.Length == 0)
            return [];
        var request = options?.RawRepresentationFactory?.Invoke(this) as EmbeddingRequest ?? new EmbeddingRequest { Model = "", Input = texts };
        request.Input = texts;
        request.Model = options?.ModelId ?? (request.Model is { Length: > 0 } named ? named : model)
            ?? throw new InvalidOperationException(
                $"There is no model.\nhint: name it where the generator is made, or in {nameof(EmbeddingGenerationOptions)}.{nameof(EmbeddingGenerationOptions.ModelId)}.");
        request.Dimensions ??= options?.Dimensions ?? dimensions;
        request.EncodingFormat ??= "base64"; // half as many bytes as digits
        VerifiedNode? node = null;
        var noting = call with
        {
            OnNode = seen =>
            {
                node = seen;
                call.OnNode?.Invoke(seen);
            },
        };
        var answer = await client.ConfidentialEmbeddings.CreateAsync(request, noting, cancellation).ConfigureAwait(false);
        Telemetry.Note(node);
        return new GeneratedEmbeddings<Embedding<float>>(
            answer.ToVectors(texts.Length).Select(vector => new Embedding<float>(vector) { ModelId = answer.Model }))
        {
            Usage = ChatAnswer.UsageOf(answer.Usage),
            AdditionalProperties = ChatAnswer.NodeOf(node),
        };
    }

    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(EmbeddingGeneratorMetadata) ? metadata
            : serviceType.IsInstanceOfType(client) ? client
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    // The client is its caller's.
    public void Dispose()
    {
    }
}
