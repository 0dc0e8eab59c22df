// spec/envelope-v1.md section 9; spec/envelope-v2.md section 6.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace ConfidentialChat.Protocol.Errors;

/// <summary>Why a request was turned away, in the shape <c>{"error":{"code","message"[,"param"]}}</c>.</summary>
/// <param name="Error">The row of the table.</param>
/// <param name="Field">The name of the member at fault, for <see cref="RequestError.InvalidField"/>; never a value.</param>
public sealed record Rejection(RequestError Error, string? Field = null)
{
    /// <summary>Longest field name that passes from a node to a caller.</summary>
    public const int MaxFieldLength = 64;

    private static readonly SearchValues<char> FieldCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789_.");

    /// <summary>Of <see cref="RequestError.EndpointNotServed"/>: what the engine has in its place. Not read from a peer.</summary>
    public IReadOnlyList<InferenceEndpoint> Served { get; init; } = [];

    /// <summary>Of <see cref="RequestError.BalanceError"/>: how much is missing. Null where the gateway says none.</summary>
    public Shortfall? Shortfall { get; init; }

    public string Message => (Field, Served) switch
    {
        ({ } name, _) => $"{name}: {Error.Row().Message}",
        (_, { Count: > 0 }) => $"{Error.Row().Message} It has {string.Join(", ", Served.Select(endpoint => endpoint.Row().Path))}.",
        _ => Error.Row().Message,
    };

    /// <summary>Whether a name is fit to be shown: lower case letters, digits, underscores and dots.</summary>
    public static bool IsFieldName([NotNullWhen(true)] string? name) =>
        name is { Length: > 0 and <= MaxFieldLength } && !name.AsSpan().ContainsAnyExcept(FieldCharacters);

    /// <summary>The error body, UTF-8 JSON.</summary>
    public byte[] ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteStartObject("error");
        json.WriteString("code", Error.Row().Code);
        json.WriteString("message", Message);
        if (Field is not null)
            json.WriteString("param", Field);
        Shortfall?.Write(json);
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The error as the OpenAI API has it, <c>{"error":{"message","type","param","code"}}</c>: within a sealed answer.</summary>
    /// <param name="type">In the place of the table's.</param>
    public byte[] ToOpenAIJson(string? type = null)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteStartObject("error");
        json.WriteString("message", Message);
        json.WriteString("type", type ?? Error.Row().OpenAIType);
        json.WriteString("param", Field);
        json.WriteString("code", Error.Row().Code);
        Shortfall?.Write(json);
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The error as an endpoint's API has it: within a sealed answer.</summary>
    /// <param name="api">Whose words.</param>
    /// <param name="type">In the place of the table's.</param>
    public byte[] ToJson(InferenceApi api, string? type = null) => api is InferenceApi.Messages ? ToAnthropicJson(type) : ToOpenAIJson(type);

    // The code and the member at fault stand beside what the API has: a client of ours reads them, and others pass them over.
    private byte[] ToAnthropicJson(string? type)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteString("type", "error");
        json.WriteStartObject("error");
        json.WriteString("type", type ?? Error.Row().AnthropicType);
        json.WriteString("message", Message);
        json.WriteString("param", Field);
        json.WriteString("code", Error.Row().Code);
        Shortfall?.Write(json);
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>Reads a peer's error body: only codes of the table and fit field names come through, never the peer's text.</summary>
    public static bool TryParse(ReadOnlyMemory<byte> body, [NotNullWhen(true)] out Rejection? rejection)
    {
        rejection = null;
        try
        {
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 8, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("error"u8, out var error) || error.ValueKind != JsonValueKind.Object
                || !error.TryGetProperty("code"u8, out var code) || code.ValueKind != JsonValueKind.String
                || RequestErrors.FromCode(code.GetString()) is not { } row)
                return false;
            var field = error.TryGetProperty("param"u8, out var param) && param.ValueKind == JsonValueKind.String ? param.GetString() : null;
            rejection = new Rejection(row.Error, IsFieldName(field) ? field : null) { Shortfall = Shortfall.TryRead(error) };
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false;
        }
    }
}
