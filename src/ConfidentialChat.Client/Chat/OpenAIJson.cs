using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Client.Completions;
using ConfidentialChat.Client.Embeddings;
using ConfidentialChat.Client.Images;

namespace ConfidentialChat.Client.Chat;

/// <summary>How <see cref="OpenAIObject"/>s are read and written.</summary>
internal static class OpenAIJson
{
    public static JsonSerializerOptions Options { get; } = MakeOptions();

    /// <summary>
    /// Reads one object, or null for whatever is not one. Never throws for what a peer sent, since the reason could hold a piece of it.
    /// </summary>
    public static T? TryRead<T>(ReadOnlySpan<byte> json)
        where T : OpenAIObject
    {
        try
        {
            return JsonSerializer.Deserialize(json, (JsonTypeInfo<T>)Options.GetTypeInfo(typeof(T)));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null; // InvalidOperationException: a lone surrogate
        }
    }

    private static JsonSerializerOptions MakeOptions()
    {
        var options = new JsonSerializerOptions(OpenAIJsonContext.Default.Options)
        {
            // Nothing here is ever put into HTML; and escaped text is up to six times as long, and billed by its bytes.
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            TypeInfoResolver = OpenAIJsonContext.Default,
            Converters = { new OpenAIObjectConverter() },
        };
        options.MakeReadOnly();
        return options;
    }
}

[JsonSourceGenerationOptions(
    GenerationMode = JsonSourceGenerationMode.Metadata,
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(ChatCompletionRequest))]
[JsonSerializable(typeof(ChatCompletion))]
[JsonSerializable(typeof(ChatCompletionChunk))]
[JsonSerializable(typeof(CompletionRequest))]
[JsonSerializable(typeof(Completion))]
[JsonSerializable(typeof(EmbeddingRequest))]
[JsonSerializable(typeof(EmbeddingList))]
[JsonSerializable(typeof(ImageRequest))]
[JsonSerializable(typeof(ImageList))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(List<ChatContentPart>))]
[JsonSerializable(typeof(List<string>))]
[JsonSerializable(typeof(List<int>))]
[JsonSerializable(typeof(List<List<int>>))]
internal sealed partial class OpenAIJsonContext : JsonSerializerContext;
