using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace ConfidentialChat.Client.Chat;

/// <summary>A tool that the model may call.</summary>
public sealed class ChatTool : OpenAIObject
{
    /// <summary><c>function</c>, or another kind.</summary>
    public required string Type { get; set; }

    public ChatFunction? Function { get; set; }

    /// <summary>A function.</summary>
    /// <param name="name">How the model calls it.</param>
    /// <param name="description">When and what for.</param>
    /// <param name="parameters">JSON schema; null for none.</param>
    /// <param name="strict">Whether the arguments follow the schema exactly.</param>
    public static ChatTool FromFunction(string name, string? description = null, JsonElement? parameters = null, bool? strict = null) =>
        new()
        {
            Type = "function",
            Function = new ChatFunction { Name = name, Description = description, Parameters = parameters, Strict = strict },
        };
}

/// <summary>A function that the model may call.</summary>
public sealed class ChatFunction : OpenAIObject
{
    public required string Name { get; set; }

    public string? Description { get; set; }

    /// <summary>JSON schema.</summary>
    public JsonElement? Parameters { get; set; }

    public bool? Strict { get; set; }
}

/// <summary>A call that the model wants made; in a stream, a piece of one, to be joined by <see cref="Index"/>.</summary>
public sealed class ChatToolCall : OpenAIObject
{
    /// <summary>
    /// Which call a piece belongs to; null outside streams, and where an engine says
    /// none: then a piece with an <see cref="Id"/> begins a call.
    /// </summary>
    public int? Index { get; set; }

    public string? Id { get; set; }

    public string? Type { get; set; }

    public ChatFunctionCall? Function { get; set; }
}

/// <summary>The function and its arguments, as the model wrote them.</summary>
public sealed class ChatFunctionCall : OpenAIObject
{
    public string? Name { get; set; }

    /// <summary>JSON text by intention: a model can write anything. Of an engine that writes an object, its text.</summary>
    public string? Arguments { get; set; }
}

/// <summary>Whether and which tool is called: a word, or an object that names one.</summary>
[JsonConverter(typeof(ChatToolChoiceConverter))]
public sealed class ChatToolChoice
{
    internal ChatToolChoice(JsonElement json) => Json = json;

    /// <summary>The model decides.</summary>
    public static ChatToolChoice Auto { get; } = Word("auto");

    /// <summary>No tool is called.</summary>
    public static ChatToolChoice None { get; } = Word("none");

    /// <summary>Some tool is called.</summary>
    public static ChatToolChoice Required { get; } = Word("required");

    /// <summary>The choice as it stands in the request.</summary>
    public JsonElement Json { get; }

    /// <summary>This function is called.</summary>
    public static ChatToolChoice Function(string name) =>
        new(JsonElement.Parse(new JsonObject { ["type"] = "function", ["function"] = new JsonObject { ["name"] = name } }.ToJsonString()));

    private static ChatToolChoice Word(string word) => new(JsonElement.Parse($"\"{word}\""));
}

internal sealed class ChatToolChoiceConverter : JsonConverter<ChatToolChoice>
{
    public override ChatToolChoice Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        new(JsonElement.ParseValue(ref reader));

    public override void Write(Utf8JsonWriter writer, ChatToolChoice value, JsonSerializerOptions options) => value.Json.WriteTo(writer);
}
