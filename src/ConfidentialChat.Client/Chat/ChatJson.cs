using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace ConfidentialChat.Client.Chat;

/// <summary>How <see cref="OpenAIObject"/>s are read and written.</summary>
internal static class ChatJson
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
        var options = new JsonSerializerOptions(ChatJsonContext.Default.Options)
        {
            // Nothing here is ever put into HTML; and escaped text is up to six times as long, and billed by its bytes.
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            TypeInfoResolver = ChatJsonContext.Default.WithAddedModifier(KeepNulls),
        };
        options.MakeReadOnly();
        return options;
    }

    private static void KeepNulls(JsonTypeInfo type)
    {
        if (type.Kind != JsonTypeInfoKind.Object || !type.Type.IsAssignableTo(typeof(OpenAIObject)))
            return;
        foreach (var property in type.Properties)
        {
            if (property.IsExtensionData || property.IsRequired || property.Set is not { } set || !property.IsSetNullable
                || (property.PropertyType.IsValueType && Nullable.GetUnderlyingType(property.PropertyType) is null))
                continue;
            var name = property.Name;
            property.Set = (target, value) =>
            {
                if (value is null)
                    ((OpenAIObject)target).NoteNull(name);
                set(target, value);
            };
            property.ShouldSerialize = (target, value) => value is not null || ((OpenAIObject)target).WasNull(name);
        }
    }
}

[JsonSourceGenerationOptions(
    GenerationMode = JsonSourceGenerationMode.Metadata,
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(ChatCompletionRequest))]
[JsonSerializable(typeof(ChatCompletion))]
[JsonSerializable(typeof(ChatCompletionChunk))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(List<ChatContentPart>))]
[JsonSerializable(typeof(List<string>))]
internal sealed partial class ChatJsonContext : JsonSerializerContext;
