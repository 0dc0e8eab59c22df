using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Client;

/// <summary>What a model reads: one text, several, or the same as token ids.</summary>
[JsonConverter(typeof(TextInputConverter))]
public sealed class TextInput
{
    internal TextInput(JsonElement json) => Json = json;

    /// <summary>The input as it stands in the request: a string, or a list of strings, numbers, or lists of numbers.</summary>
    public JsonElement Json { get; }

    /// <summary>One text, as the ids of its tokens.</summary>
    public static TextInput FromTokens(IEnumerable<int> tokens) => new(Element([.. tokens], OpenAIJsonContext.Default.ListInt32));

    /// <summary>Several texts, each as the ids of its tokens.</summary>
    public static TextInput FromTokens(IEnumerable<IEnumerable<int>> texts) =>
        new(Element([.. texts.Select(tokens => tokens.ToList())], OpenAIJsonContext.Default.ListListInt32));

    public static implicit operator TextInput(string text) => new(Element(text, OpenAIJsonContext.Default.String));

    public static implicit operator TextInput(string[] texts) => new(Element([.. texts], OpenAIJsonContext.Default.ListString));

    private static JsonElement Element<T>(T value, JsonTypeInfo<T> type) => JsonSerializer.SerializeToElement(value, type);
}

internal sealed class TextInputConverter : JsonConverter<TextInput>
{
    public override TextInput Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType is JsonTokenType.String or JsonTokenType.StartArray
            ? new TextInput(JsonElement.ParseValue(ref reader))
            : throw new JsonException();

    public override void Write(Utf8JsonWriter writer, TextInput value, JsonSerializerOptions options) => value.Json.WriteTo(writer);
}
