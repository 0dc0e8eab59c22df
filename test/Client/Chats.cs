using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Client.Tests;

/// <summary>Requests and answers that many tests use.</summary>
internal static class Chats
{
    public const string Prompt = "the-prompt-that-nobody-may-see";

    public const string Secret = "the-answer-that-nobody-may-see";

    public const string Answer =
        $$$"""{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"{{{Secret}}}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}""";

    public const string UsageChunk =
        """{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}""";

    public static ChatCompletionRequest Request => new() { Model = "tiny", Messages = [ChatMessage.User(Prompt)] };

    public static string Chunk(string content, string? finish = null, int index = 0) =>
        $$$"""{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[{"index":{{{index}}},"delta":{"content":"{{{content}}}"},"finish_reason":{{{(finish is null ? "null" : $"\"{finish}\"")}}}}]}""";

    /// <summary>Reads a stream to its end, or to what it throws.</summary>
    public static async Task<string> ReadAsync(this ConfidentialChatClient client, List<string>? seen = null, CancellationToken cancellation = default)
    {
        seen ??= [];
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Request, cancellation))
            seen.AddRange(chunk.Choices.Select(choice => choice.Delta?.Content ?? ""));
        return string.Concat(seen);
    }
}
