// spec/inference.md sections 2, 4 and 6: what a node asks of an engine.
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Bench.WholePath.Servers;

/// <summary>
/// An OpenAI-compatible engine that computes nothing. A request says what it wants: <c>bench_chunks</c> of a stream and
/// <c>bench_pace_ms</c> between two of them, 0 for none.
/// </summary>
internal static class Engine
{
    /// <summary>Its own name of its model.</summary>
    public const string Model = "bench";

    /// <summary>Takes anything, and does nothing with it.</summary>
    public const string Sink = "/sink";

    private const string ChunkHead = """data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":""";

    private static readonly byte[] Models = """{"object":"list","data":[{"id":"bench","object":"model","created":1700000000,"owned_by":"llamacpp"}]}"""u8.ToArray();
    private static readonly byte[] Whole = Encoding.UTF8.GetBytes(
        """{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"""
        + JsonSerializer.Serialize(string.Concat(Enumerable.Repeat("An answer of some length. ", 16)))
        + """},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":100,"total_tokens":600}}""");
    private static readonly byte[] Chunk = Encoding.UTF8.GetBytes(ChunkHead + """{"content":" token"},"finish_reason":null}]}""" + "\n\n");
    private static readonly byte[] Finish = Encoding.UTF8.GetBytes(ChunkHead + """{},"finish_reason":"stop"}]}""" + "\n\n");
    private static readonly byte[] Usage = Encoding.UTF8.GetBytes(
        """data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[],"usage":{"prompt_tokens":500,"completion_tokens":100,"total_tokens":600}}""" + "\n\n");
    private static readonly byte[] Done = "data: [DONE]\n\n"u8.ToArray();

    private static readonly byte[] End = [.. Finish, .. Done];
    private static readonly byte[] EndWithUsage = [.. Finish, .. Usage, .. Done];

    public static async Task AnswerAsync(HttpContext http)
    {
        switch (http.Request.Path.Value)
        {
            case "/v1/chat/completions":
                await ChatAsync(http);
                break;
            case "/v1/confidential/chat/completions":
                await RelayedAsync(http);
                break;
            case "/v1/models":
                await WriteAsync(http, Models);
                break;
            case "/health":
                break;
            case Sink:
                await http.Request.Body.CopyToAsync(Stream.Null, http.RequestAborted);
                break;
            default:
                http.Response.StatusCode = 404;
                break;
        }
    }

    private static async Task ChatAsync(HttpContext http)
    {
        var asked = await ReadAsync(http);
        if (!asked.Stream)
        {
            await WriteAsync(http, Whole);
            return;
        }

        http.Response.ContentType = "text/event-stream";
        for (var i = 0; i < asked.Chunks; i++)
        {
            if (i > 0 && asked.PaceMs > 0)
                await Task.Delay(asked.PaceMs, http.RequestAborted);
            await http.Response.Body.WriteAsync(Chunk, http.RequestAborted);
            await http.Response.Body.FlushAsync(http.RequestAborted); // one by one, as tokens come
        }

        await http.Response.Body.WriteAsync(asked.Usage ? EndWithUsage : End, http.RequestAborted);
    }

    // In the place of a node that opens nothing: the answer says which request the gateway relayed, so that it can be reported.
    private static async Task RelayedAsync(HttpContext http)
    {
        await ReadAsync(http);
        var token = http.Request.Headers[RelayToken.HeaderName].ToString();
        await WriteAsync(http, Base64Url.DecodeFromChars(token.AsSpan(0, token.IndexOf('.', StringComparison.Ordinal))));
    }

    /// <summary>The request id of such an answer.</summary>
    public static Guid ReadRelayed(ReadOnlySpan<byte> answer)
    {
        var reader = new Utf8JsonReader(answer);
        using var token = JsonDocument.ParseValue(ref reader);
        return token.RootElement.GetProperty("request").GetGuid();
    }

    private static async Task WriteAsync(HttpContext http, byte[] json)
    {
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = json.Length;
        await http.Response.Body.WriteAsync(json, http.RequestAborted);
    }

    private static async Task<Asked> ReadAsync(HttpContext http)
    {
        var reader = http.Request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(http.RequestAborted);
            if (read.IsCompleted)
            {
                var asked = Read(read.Buffer);
                reader.AdvanceTo(read.Buffer.End);
                return asked;
            }

            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    private static Asked Read(in System.Buffers.ReadOnlySequence<byte> body)
    {
        var asked = default(Asked);
        var reader = new Utf8JsonReader(body);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("stream"u8) && reader.Read())
                asked.Stream = reader.TokenType == JsonTokenType.True;
            else if (reader.ValueTextEquals("bench_chunks"u8) && reader.Read())
                asked.Chunks = reader.GetInt32();
            else if (reader.ValueTextEquals("bench_pace_ms"u8) && reader.Read())
                asked.PaceMs = reader.GetInt32();
            else if (reader.ValueTextEquals("stream_options"u8) && reader.Read())
                asked.Usage = true; // nobody here sends them for anything else
            reader.Skip();
        }

        return asked;
    }

    private record struct Asked(bool Stream, int Chunks, int PaceMs, bool Usage);
}
