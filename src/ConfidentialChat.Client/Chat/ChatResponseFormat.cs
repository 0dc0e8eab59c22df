using System.Text.Json;

namespace ConfidentialChat.Client.Chat;

/// <summary>The form that the answer's text must have.</summary>
public sealed class ChatResponseFormat : OpenAIObject
{
    /// <summary><c>text</c>, <c>json_object</c> or <c>json_schema</c>.</summary>
    public required string Type { get; set; }

    public ChatJsonSchema? JsonSchema { get; set; }

    /// <summary>A JSON object of any shape.</summary>
    public static ChatResponseFormat AnyJsonObject() => new() { Type = "json_object" };

    /// <summary>JSON that follows a schema.</summary>
    public static ChatResponseFormat FromSchema(string name, JsonElement schema, bool? strict = null) =>
        new() { Type = "json_schema", JsonSchema = new ChatJsonSchema { Name = name, Schema = schema, Strict = strict } };
}

/// <summary>A named JSON schema.</summary>
public sealed class ChatJsonSchema : OpenAIObject
{
    public required string Name { get; set; }

    public string? Description { get; set; }

    public JsonElement? Schema { get; set; }

    public bool? Strict { get; set; }
}
