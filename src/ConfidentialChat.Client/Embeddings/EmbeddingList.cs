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
