using System.Text.Json;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Embeddings;

/// <summary>Texts that are to become vectors: the OpenAI embeddings request. Null members are not sent, and the engine's defaults hold.</summary>
public sealed class EmbeddingRequest : OpenAIObject, IModelRequest
{
    /// <summary>A model of the gateway, 1 to 256 characters.</summary>
    public required string Model { get; set; }

    public required TextInput Input { get; set; }

    /// <summary><c>float</c> or <c>base64</c>; <see cref="EmbeddingVector.ToFloats"/> reads both.</summary>
    public string? EncodingFormat { get; set; }

    /// <summary>Numbers of each vector, where the model can choose.</summary>
    public int? Dimensions { get; set; }

    /// <summary>The application's own name of its user. It is sealed: the gateway does not see it, the node does.</summary>
    public string? User { get; set; }

    // The gateway adds the input, by the ciphertext's size, to the default that every lock has.
    ComputeUnits? IModelRequest.Units => null;

    /// <summary>Reads a request from UTF-8 JSON, for instance one written for another client.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static EmbeddingRequest Parse(ReadOnlySpan<byte> json) =>
        OpenAIJson.TryRead<EmbeddingRequest>(json) ?? throw new JsonException("The JSON is no embeddings request.");

    byte[] IModelRequest.ToJson(bool stream) => ToJson(); // a member "stream" is not known here, and absent counts as false
}
