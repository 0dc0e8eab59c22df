using System.Buffers;
using System.Security.Cryptography;
using System.Text.Encodings.Web;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>Writes the objects of one answer as the OpenAI API has them.</summary>
/// <remarks>Members that this engine has no value for are left out, not null; only <c>finish_reason</c> is null until the end, as clients expect.</remarks>
internal sealed class CompletionJson(string model, DateTimeOffset created, bool isChat) : IDisposable
{
    private const string Fingerprint = "llama-" + LlamaNative.SupportedVersion;
    private const int IdLength = 29; // as long as OpenAI's

    // The text goes into JSON and never into a page: what HTML needs escaped may stand.
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly string id = (isChat ? "chatcmpl-" : "cmpl-") + RandomNumberGenerator.GetString(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", IdLength);
    private readonly long created = created.ToUnixTimeSeconds();

    // One buffer for all parts; each part is a copy of its own, which the reader may keep.
    private readonly ArrayBufferWriter<byte> buffer = new(512);
    private Utf8JsonWriter? writer;

    /// <summary>Messages and deltas, or bare text.</summary>
    public bool IsChat => isChat;

    public ReadOnlyMemory<byte> Whole(string content, string finishReason, Usage usage)
    {
        var writer = Begin("chat.completion");
        BeginChoice(writer);
        if (isChat)
        {
            writer.WriteStartObject("message");
            writer.WriteString("role", "assistant");
            writer.WriteString("content", content);
            writer.WriteEndObject();
        }
        else
        {
            WriteText(writer, content);
        }

        EndChoice(writer, finishReason);
        WriteUsage(writer, usage);
        return End(writer);
    }

    public ReadOnlyMemory<byte> RoleChunk()
    {
        var writer = BeginDelta();
        writer.WriteString("role", "assistant");
        writer.WriteString("content", "");
        return EndDelta(writer, finishReason: null);
    }

    public ReadOnlyMemory<byte> TextChunk(string content)
    {
        if (!isChat)
            return TextChoice(content, finishReason: null);
        var writer = BeginDelta();
        writer.WriteString("content", content);
        return EndDelta(writer, finishReason: null);
    }

    public ReadOnlyMemory<byte> FinishChunk(string finishReason) => isChat ? EndDelta(BeginDelta(), finishReason) : TextChoice("", finishReason);

    public ReadOnlyMemory<byte> UsageChunk(Usage usage)
    {
        var writer = Begin("chat.completion.chunk");
        writer.WriteStartArray("choices");
        writer.WriteEndArray();
        WriteUsage(writer, usage);
        return End(writer);
    }

    public void Dispose()
    {
        writer?.Dispose();
        buffer.Clear();
    }

    private Utf8JsonWriter Begin(string kind)
    {
        buffer.ResetWrittenCount();
        var writer = this.writer ??= new Utf8JsonWriter(buffer, Options);
        writer.Reset(buffer);
        writer.WriteStartObject();
        writer.WriteString("id", id);
        writer.WriteString("object", isChat ? kind : "text_completion");
        writer.WriteNumber("created", created);
        writer.WriteString("model", model);
        if (!isChat)
            writer.WriteString("system_fingerprint", Fingerprint); // a published client does not read a completion without it
        return writer;
    }

    private ReadOnlyMemory<byte> End(Utf8JsonWriter writer)
    {
        writer.WriteEndObject();
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private ReadOnlyMemory<byte> TextChoice(string text, string? finishReason)
    {
        var writer = Begin("chat.completion.chunk");
        BeginChoice(writer);
        WriteText(writer, text);
        EndChoice(writer, finishReason);
        return End(writer);
    }

    private static void WriteText(Utf8JsonWriter writer, string text)
    {
        writer.WriteString("text", text);
        writer.WriteNull("logprobs"); // the API requires it
    }

    private Utf8JsonWriter BeginDelta()
    {
        var writer = Begin("chat.completion.chunk");
        BeginChoice(writer);
        writer.WriteStartObject("delta");
        return writer;
    }

    private ReadOnlyMemory<byte> EndDelta(Utf8JsonWriter writer, string? finishReason)
    {
        writer.WriteEndObject();
        EndChoice(writer, finishReason);
        return End(writer);
    }

    private static void BeginChoice(Utf8JsonWriter writer)
    {
        writer.WriteStartArray("choices");
        writer.WriteStartObject();
        writer.WriteNumber("index", 0);
    }

    private static void EndChoice(Utf8JsonWriter writer, string? finishReason)
    {
        writer.WriteString("finish_reason", finishReason);
        writer.WriteEndObject();
        writer.WriteEndArray();
    }

    private static void WriteUsage(Utf8JsonWriter writer, Usage usage)
    {
        writer.WriteStartObject("usage");
        writer.WriteNumber("prompt_tokens", usage.PromptTokens);
        writer.WriteNumber("completion_tokens", usage.CompletionTokens);
        writer.WriteNumber("total_tokens", usage.TotalTokens);
        writer.WriteEndObject();
    }
}
