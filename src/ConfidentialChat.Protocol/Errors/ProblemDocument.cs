// spec/envelope-v2.md section 7; RFC 9457.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace ConfidentialChat.Protocol.Errors;

/// <summary>How gateway and node say an error outside of a sealed answer. A peer's own texts are not kept.</summary>
/// <param name="Error">The row of the table.</param>
/// <param name="Forwarded">False where no node has read anything of the request and nothing is held; null where that is not said.</param>
/// <param name="Field">The name of the header or member at fault, for <see cref="RequestError.InvalidField"/>; never a value.</param>
public sealed record ProblemDocument(RequestError Error, bool? Forwarded = null, string? Field = null)
{
    public const string MediaType = "application/problem+json";

    /// <summary>The key, or the key set, is not held: RFC 9458 section 5.3.</summary>
    public const string OhttpKey = "https://iana.org/assignments/http-problem-types#ohttp-key";

    /// <summary>The client's clock is not the node's: RFC 9458 section 6.5.2.</summary>
    public const string Date = "https://iana.org/assignments/http-problem-types#date";

    private const string NoType = "about:blank";

    /// <summary>What kind of problem it is, for whoever knows no codes of ours.</summary>
    public string Type => Error == RequestError.UnknownNodeKey ? OhttpKey : NoType;

    /// <summary>Of <see cref="RequestError.BalanceError"/>: how much is missing. Null where the gateway says none.</summary>
    public Shortfall? Shortfall { get; init; }

    public byte[] ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using var json = new Utf8JsonWriter(buffer);
        var row = Error.Row();
        json.WriteStartObject();
        json.WriteString("type", Type);
        json.WriteString("title", row.Message);
        json.WriteNumber("status", row.Status);
        json.WriteString("code", row.Code);
        if (Field is not null)
            json.WriteString("param", Field);
        Shortfall?.Write(json);
        if (Forwarded is { } forwarded)
            json.WriteBoolean("forwarded", forwarded);
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>Reads a peer's document: a code of the table, or the type of section 7, or nothing.</summary>
    public static bool TryParse(ReadOnlyMemory<byte> body, [NotNullWhen(true)] out ProblemDocument? problem)
    {
        problem = null;
        try
        {
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 8, AllowDuplicateProperties = false });
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                return false;
            var error = Text(root, "type"u8) == OhttpKey ? RequestError.UnknownNodeKey : RequestErrors.FromCode(Text(root, "code"u8))?.Error;
            if (error is null)
                return false;
            var forwarded = root.TryGetProperty("forwarded"u8, out var said) && said.ValueKind is JsonValueKind.True or JsonValueKind.False
                ? said.GetBoolean()
                : (bool?)null;
            var field = Text(root, "param"u8);
            problem = new ProblemDocument(error.Value, forwarded, Rejection.IsFieldName(field) ? field : null) { Shortfall = Shortfall.TryRead(root) };
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    private static string? Text(JsonElement root, ReadOnlySpan<byte> name) =>
        root.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
