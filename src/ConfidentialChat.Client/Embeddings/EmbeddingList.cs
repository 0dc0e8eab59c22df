using System.Text.Json.Serialization;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Client.Embeddings;

/// <summary>The vectors of a request's texts.</summary>
public sealed class EmbeddingList : OpenAIObject
{
    /// <summary><c>list</c>.</summary>
    public string? Object { get; set; }

    public required IList<Embedding> Data { get; set; }

    public string? Model { get; set; }

    public ChatUsage? Usage { get; set; }

    /// <summary>The vectors in the order of the request's texts.</summary>
    /// <param name="texts">How many there were.</param>
    /// <exception cref="InvalidAnswerException">There is not exactly one for each, or one is malformed.</exception>
    public IReadOnlyList<float[]> ToVectors(int texts)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(texts);
        var vectors = new float[texts][];
        foreach (var embedding in Data)
        {
            if (embedding.Index < 0 || embedding.Index >= texts || vectors[embedding.Index] is not null)
                throw new InvalidAnswerException("The embeddings are not one for each text.");
            vectors[embedding.Index] = embedding.Vector.ToFloats();
        }

        return Data.Count == texts ? vectors : throw new InvalidAnswerException("The embeddings are not one for each text.");
    }
}

/// <summary>The vector of one text.</summary>
public sealed class Embedding : OpenAIObject, IPlaced
{
    /// <summary><c>embedding</c>.</summary>
    public string? Object { get; set; }

    /// <summary>Which of the request's texts it is of; its place in the list where the engine says none.</summary>
    public int Index { get; set; }

    /// <summary>The member <c>embedding</c>.</summary>
    [JsonPropertyName("embedding")]
    public required EmbeddingVector Vector { get; set; }
}
