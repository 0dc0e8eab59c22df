using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ConfidentialChat.Client.Embeddings;

/// <summary>A vector as the engine wrote it: a list of numbers, or base64 of 32-bit floats, little endian.</summary>
[JsonConverter(typeof(EmbeddingVectorConverter))]
public sealed class EmbeddingVector
{
    internal EmbeddingVector(JsonElement json) => Json = json;

    /// <summary>The vector as it stands in the answer, with all its digits.</summary>
    public JsonElement Json { get; }

    /// <summary>The numbers, from either form.</summary>
    /// <exception cref="InvalidAnswerException">The engine wrote something else into the list or the base64.</exception>
    public float[] ToFloats()
    {
        if (Json.ValueKind == JsonValueKind.Array)
        {
            var numbers = new float[Json.GetArrayLength()];
            var i = 0;
            foreach (var number in Json.EnumerateArray())
                numbers[i++] = number.ValueKind == JsonValueKind.Number && number.TryGetSingle(out var value) ? value : throw Malformed();
            return numbers;
        }

        if (!Json.TryGetBytesFromBase64(out var bytes) || bytes.Length % sizeof(float) != 0)
            throw Malformed();
        var floats = new float[bytes.Length / sizeof(float)];
        for (var i = 0; i < floats.Length; i++)
            floats[i] = BinaryPrimitives.ReadSingleLittleEndian(bytes.AsSpan(i * sizeof(float)));
        return floats;
    }

    private static InvalidAnswerException Malformed() => new("An embedding is neither numbers nor base64 of 32-bit floats.");
}

internal sealed class EmbeddingVectorConverter : JsonConverter<EmbeddingVector>
{
    public override EmbeddingVector Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType is JsonTokenType.String or JsonTokenType.StartArray
            ? new EmbeddingVector(JsonElement.ParseValue(ref reader))
            : throw new JsonException();

    public override void Write(Utf8JsonWriter writer, EmbeddingVector value, JsonSerializerOptions options) => value.Json.WriteTo(writer);
}
