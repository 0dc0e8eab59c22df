using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// One turn of a conversation, of a request or of an answer: an answer's message can be put into the next request as it is.
/// </summary>
public sealed class ChatMessage : OpenAIObject
{
    /// <summary><c>system</c>, <c>developer</c>, <c>user</c>, <c>assistant</c> or <c>tool</c>; <c>assistant</c> for an answer that names none.</summary>
    public required string Role { get; set; }

    /// <summary>Null where the assistant calls tools or refuses.</summary>
    public ChatContent? Content { get; set; }

    /// <summary>Tells participants of one role apart.</summary>
    public string? Name { get; set; }

    public string? Refusal { get; set; }

    /// <summary>What the assistant wants called.</summary>
    public IList<ChatToolCall>? ToolCalls { get; set; }

    /// <summary>Which call this <c>tool</c> message answers.</summary>
    public string? ToolCallId { get; set; }

    public static ChatMessage System(ChatContent content) => new() { Role = "system", Content = content };

    public static ChatMessage Developer(ChatContent content) => new() { Role = "developer", Content = content };

    public static ChatMessage User(ChatContent content) => new() { Role = "user", Content = content };

    public static ChatMessage Assistant(ChatContent content) => new() { Role = "assistant", Content = content };

    /// <summary>The answer of a tool to one call.</summary>
    public static ChatMessage Tool(string toolCallId, ChatContent content) =>
        new() { Role = "tool", ToolCallId = toolCallId, Content = content };

    private protected override bool StandInFor(string name)
    {
        Role = "assistant";
        return true;
    }
}

/// <summary>A message's content: a string, or a list of parts.</summary>
[JsonConverter(typeof(ChatContentConverter))]
public sealed class ChatContent
{
    private readonly string? text;

    public ChatContent(string text) => this.text = text;

    public ChatContent(IReadOnlyList<ChatContentPart> parts) => Parts = parts;

    /// <summary>The string, or the text of all parts that have one, joined.</summary>
    public string Text => text ?? string.Concat(Parts!.Select(part => part.Text));

    /// <summary>Null where the content is a string.</summary>
    public IReadOnlyList<ChatContentPart>? Parts { get; }

    public static implicit operator ChatContent(string text) => new(text);

    public static implicit operator ChatContent(ChatContentPart[] parts) => new(parts);
}

/// <summary>A part of a content: text, an image, or what <see cref="OpenAIObject.Extra"/> says.</summary>
public sealed class ChatContentPart : OpenAIObject
{
    /// <summary><c>text</c>, <c>image_url</c>, or another kind.</summary>
    public required string Type { get; set; }

    public string? Text { get; set; }

    public ChatImageUrl? ImageUrl { get; set; }

    public static ChatContentPart FromText(string text) => new() { Type = "text", Text = text };

    /// <summary>
    /// An image by its address; a <c>data:</c> URL, which keeps it within the sealed request.
    /// Nodes refuse any other: whoever fetched it would show who asks for what.
    /// </summary>
    public static ChatContentPart FromImage(string url, string? detail = null) =>
        new() { Type = "image_url", ImageUrl = new ChatImageUrl { Url = url, Detail = detail } };

    private protected override bool StandInFor(string name)
    {
        Type = "text";
        NoteLoose(name, Type, isRead: false);
        return true;
    }
}

/// <summary>Where an image is.</summary>
public sealed class ChatImageUrl : OpenAIObject
{
    public required string Url { get; set; }

    /// <summary><c>auto</c>, <c>low</c> or <c>high</c>.</summary>
    public string? Detail { get; set; }
}

internal sealed class ChatContentConverter : JsonConverter<ChatContent>
{
    public override ChatContent Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String
            ? new ChatContent(JsonText.Read(in reader))
            : new ChatContent(JsonSerializer.Deserialize(ref reader, Parts(options))!);

    public override void Write(Utf8JsonWriter writer, ChatContent value, JsonSerializerOptions options)
    {
        if (value.Parts is { } parts)
            JsonSerializer.Serialize(writer, parts as List<ChatContentPart> ?? [.. parts], Parts(options));
        else
            JsonText.Write(writer, value.Text);
    }

    private static JsonTypeInfo<List<ChatContentPart>> Parts(JsonSerializerOptions options) =>
        (JsonTypeInfo<List<ChatContentPart>>)options.GetTypeInfo(typeof(List<ChatContentPart>));
}
