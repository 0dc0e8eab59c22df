using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using ConfidentialChat.Client.Chat;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;
using SealedMessage = ConfidentialChat.Client.Chat.ChatMessage;

namespace ConfidentialChat.Extensions.AI;

/// <summary>One message of Microsoft.Extensions.AI as the messages of the API that say the same: each result of a tool is one of its own.</summary>
internal static partial class ChatTurn
{
    // Every blank and every escape would be paid for.
    private static readonly JsonSerializerOptions Compact =
        new(AIJsonUtilities.DefaultOptions) { WriteIndented = false, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <exception cref="NotSupportedException">It has content that no node takes.</exception>
    public static void Add(ChatMessage message, List<SealedMessage> messages)
    {
        var parts = new List<ChatContentPart>();
        var calls = new List<ChatToolCall>();
        var reasoning = "";
        foreach (var content in message.Contents)
        {
            switch (content)
            {
                case FunctionResultContent result:
                    messages.Add(SealedMessage.Tool(result.CallId, TextOf(result)));
                    break;
                case FunctionCallContent call:
                    calls.Add(new ChatToolCall
                    {
                        Id = call.CallId,
                        Type = "function",
                        Function = new ChatFunctionCall { Name = call.Name, Arguments = Written(call.Arguments ?? new Dictionary<string, object?>()) },
                    });
                    break;
                case TextReasoningContent thought:
                    reasoning += thought.Text;
                    break;
                case UsageContent or ErrorContent:
                    break; // of an answer, and nothing that a model reads
                default:
                    parts.Add(PartOf(content));
                    break;
            }
        }

        if (parts.Count == 0 && calls.Count == 0)
            return; // results alone, or what an answer said of itself
        var turn = new SealedMessage
        {
            Role = message.Role.Value,
            Content = parts switch
            {
                [] => null,
                [{ Type: "text", Text: { } text }] => new ChatContent(text),
                _ => new ChatContent(parts),
            },
            ToolCalls = calls.Count > 0 ? calls : null,
            Name = message.AuthorName is { } name && SimpleName().IsMatch(name) ? name : null,
        };

        // Between a call and its result a model goes on thinking where it was; templates drop what it thought before other answers.
        if (reasoning.Length > 0 && calls.Count > 0)
            turn.Extra = new Dictionary<string, JsonElement>(StringComparer.Ordinal) { ["reasoning_content"] = Text(reasoning) };
        messages.Add(turn);
    }

    private static ChatContentPart PartOf(AIContent content) => content switch
    {
        TextContent text => ChatContentPart.FromText(text.Text),
        DataContent data when data.HasTopLevelMediaType("image") => ChatContentPart.FromImage(data.Uri),
        DataContent data when data.HasTopLevelMediaType("audio") => Part("input_audio", new JsonObject
        {
            ["data"] = data.Base64Data.ToString(),
            ["format"] = data.MediaType is "audio/mpeg" or "audio/mp3" ? "mp3" : "wav",
        }),
        DataContent data => Part("file", new JsonObject { ["filename"] = data.Name ?? "file", ["file_data"] = data.Uri }),
        UriContent => throw new NotSupportedException(
            $"A node fetches nothing from an address: whoever has it would see who asks for what. Send the bytes as {nameof(DataContent)}."),
        _ => throw new NotSupportedException($"{content.GetType().Name} cannot be sealed to a node."),
    };

    private static ChatContentPart Part(string type, JsonObject value) => new()
    {
        Type = type,
        Extra = new Dictionary<string, JsonElement>(StringComparer.Ordinal) { [type] = JsonElement.Parse(value.ToJsonString()) },
    };

    private static string TextOf(FunctionResultContent result) => result.Result switch
    {
        null => result.Exception is null ? "" : "The function failed.",
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString()!,
        TextContent text => text.Text,
        IEnumerable<AIContent> contents => string.Concat(contents.OfType<TextContent>().Select(text => text.Text)),
        var value => Written(value),
    };

    // What the caller's own types are written as is said by whoever made the function: its results are JSON elements as a rule.
    private static string Written(object value) =>
        JsonSerializer.Serialize(value, Compact.GetTypeInfo(value is IDictionary<string, object?> ? typeof(IDictionary<string, object?>) : typeof(object)));

    private static JsonElement Text(string text) => JsonElement.Parse(JsonValue.Create(text).ToJsonString());

    // Names of agents can be anything; engines refuse what the API would.
    [GeneratedRegex("^[a-zA-Z0-9_-]{1,64}$", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex SimpleName();
}
