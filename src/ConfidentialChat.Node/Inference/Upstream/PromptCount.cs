// spec/inference.md sections 5 and 8.
using System.Text;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>Counts a prompt with the engine's own tokenizer, where it has one.</summary>
internal sealed class PromptCount(HttpMessageInvoker http)
{
    private const int AnswerMax = 64 * 1024 * 1024;

    /// <summary>Bytes of the request that the count does not cover: everything but the values that are sent to the tokenizer.</summary>
    public static long Rest(UpstreamRequest request) => request.PromptBound - Counted(request.Endpoint).Sum(name => request.Find(name)?.Length ?? 0);

    /// <summary>The prompt's tokens; null where the engine does not tell.</summary>
    /// <exception cref="NotReachedException">No connection came about.</exception>
    public async Task<long?> AskAsync(UpstreamServer server, UpstreamState state, string engineModel, UpstreamRequest request, CancellationToken cancellation)
    {
        try
        {
            return (state.Kind, request.Endpoint) switch
            {
                (_, InferenceEndpoint.Messages) => state.Endpoints?.Contains(InferenceEndpoint.CountTokens) == true
                    ? await CountMessagesAsync(server, engineModel, request, cancellation)
                    : null,
                (EngineKind.Vllm, InferenceEndpoint.ChatCompletions) => await CountAsync(
                    server,
                    Object(
                        ("model", Quote(engineModel)), ("messages", request.Find("messages")), ("tools", request.Find("tools")),
                        ("chat_template_kwargs", request.Find("chat_template_kwargs"))),
                    "count", cancellation),
                (EngineKind.Vllm, InferenceEndpoint.Completions or InferenceEndpoint.Embeddings) when Text(request) is { } text =>
                    await CountAsync(server, Object(("model", Quote(engineModel)), ("prompt", text)), "count", cancellation),
                (EngineKind.LlamaServer, InferenceEndpoint.ChatCompletions) => await CountChatAsync(server, request, cancellation),
                (EngineKind.LlamaServer, InferenceEndpoint.Completions or InferenceEndpoint.Embeddings) when Text(request) is { } text =>
                    await CountAsync(
                        server, Object(("content", text), ("add_special", "true"u8.ToArray()), ("parse_special", "true"u8.ToArray())), "tokens", cancellation),
                _ => null,
            };
        }
        catch (Exception e) when (e is HttpRequestException or IOException or AnswerTooLargeException)
        {
            return null;
        }
    }

    private async Task<long?> CountChatAsync(UpstreamServer server, UpstreamRequest request, CancellationToken cancellation)
    {
        var chat = Object(
            ("messages", request.Find("messages")), ("tools", request.Find("tools")), ("chat_template_kwargs", request.Find("chat_template_kwargs")));
        return JsonMembers.Read(await PostAsync(server, "apply-template", chat, cancellation))?.Find("prompt") is { } prompt
            ? await CountAsync(
                server, Object(("content", prompt), ("add_special", "true"u8.ToArray()), ("parse_special", "true"u8.ToArray())), "tokens", cancellation)
            : null;
    }

    private async Task<long?> CountMessagesAsync(UpstreamServer server, string engineModel, UpstreamRequest request, CancellationToken cancellation)
    {
        var body = Object(
            ("model", Quote(engineModel)), ("messages", request.Find("messages")), ("system", request.Find("system")), ("tools", request.Find("tools")));
        return JsonMembers.Read(await PostAsync(server, InferenceEndpoint.CountTokens.Row().Path.TrimStart('/'), body, cancellation))
            ?.Find("input_tokens") is { } value && JsonMembers.Integer(value) is >= 0 and var count ? count : null;
    }

    private async Task<long?> CountAsync(UpstreamServer server, byte[] body, string member, CancellationToken cancellation)
    {
        if (JsonMembers.Read(await PostAsync(server, "tokenize", body, cancellation))?.Find(member) is not { } value)
            return null;
        return value.Span[0] == '[' ? Length(value) : JsonMembers.Integer(value) is >= 0 and var count ? count : null;
    }

    private async Task<byte[]> PostAsync(UpstreamServer server, string path, byte[] body, CancellationToken cancellation)
    {
        using var response = await server.SendAsync(http, path, new ByteArrayContent(body), streams: false, cancellation);
        return response.IsSuccessStatusCode ? await UpstreamExchange.ReadAsync(response, AnswerMax, cancellation) : [];
    }

    private static string[] Counted(InferenceEndpoint endpoint) => endpoint switch
    {
        InferenceEndpoint.ChatCompletions => ["messages", "tools", "chat_template_kwargs"],
        InferenceEndpoint.Messages => ["messages", "system", "tools"],
        InferenceEndpoint.Embeddings or InferenceEndpoint.Responses => ["input"],
        _ => ["prompt"],
    };

    private static ReadOnlyMemory<byte>? Text(UpstreamRequest request) =>
        request.Find(Counted(request.Endpoint)[0]) is { } value && value.Span[0] == '"' ? value : JsonMembers.Gone;

    private static byte[] Quote(string text) => JsonSerializer.SerializeToUtf8Bytes(text, UpstreamJson.Default.String);

    private static byte[] Object(params ReadOnlySpan<(string Name, ReadOnlyMemory<byte>? Value)> members)
    {
        var text = new MemoryStream();
        foreach (var (name, value) in members)
        {
            if (value is not { } json)
                continue;
            text.Write(text.Length == 0 ? "{"u8 : ","u8);
            text.Write(Encoding.UTF8.GetBytes($"\"{name}\":"));
            text.Write(json.Span);
        }

        text.WriteByte((byte)'}');
        return text.ToArray();
    }

    private static long Length(ReadOnlyMemory<byte> array)
    {
        var reader = new Utf8JsonReader(array.Span, new JsonReaderOptions { MaxDepth = JsonMembers.DepthMax });
        reader.Read();
        var count = 0L;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            reader.Skip();
            count++;
        }

        return count;
    }
}
