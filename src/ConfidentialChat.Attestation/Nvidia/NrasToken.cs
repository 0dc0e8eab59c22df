// spec/attestation.md section 22 check 1. RFC 7515 section 3.1, RFC 7519.
using System.Buffers.Text;
using System.Text;
using System.Text.Json;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>A compact JWS with claims. Parsed, not verified.</summary>
internal sealed class NrasToken
{
    private NrasToken(string text, string keyId, JsonElement claims, byte[] signature)
    {
        Text = text;
        KeyId = keyId;
        Claims = claims;
        Signature = signature;
    }

    public string Text { get; }

    public string KeyId { get; }

    public JsonElement Claims { get; }

    public byte[] Signature { get; }

    /// <summary>What the signature is over.</summary>
    public byte[] Signed => Encoding.ASCII.GetBytes(Text[..Text.LastIndexOf('.')]);

    public static Rejection? TryParse(string text, out NrasToken? token)
    {
        token = null;
        if (text.Length > Bounds.NrasTokens)
            return Rejection.TooLarge(Bounds.NrasTokens, text.Length);
        if (text.Split('.') is not [var head, var body, var end] || Decode(head) is not { } header || Decode(body) is not { } payload)
            return Rejection.Malformed("a compact JWS of an object", "something else");
        if (String(header, "alg") is not "ES384" and var algorithm)
            return new Rejection(RejectionCode.Unsupported, "ES384", Shown.Text(algorithm));
        if (header.TryGetProperty("crit", out _) || String(header, "kid") is not { Length: > 0 and <= 256 } keyId)
            return Rejection.Malformed("a kid, and no crit", "something else");
        if (Bytes(end) is not { Length: MeasurementReport.SignatureSize } signature)
            return Rejection.Malformed("a signature of 96 bytes", "another");
        token = new NrasToken(text, keyId, payload, signature);
        return null;
    }

    /// <summary>Null where it is absent or of another kind.</summary>
    public static string? String(JsonElement element, string name) =>
        element.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.String ? member.GetString() : null;

    /// <summary>Base64url in its one spelling.</summary>
    public static byte[]? Bytes(string text)
    {
        if (text.Contains('=', StringComparison.Ordinal) || !Base64Url.IsValid(text))
            return null;
        var bytes = Base64Url.DecodeFromChars(text);
        return Base64Url.EncodeToString(bytes) == text ? bytes : null;
    }

    private static JsonElement? Decode(string part) => Bytes(part) is { } json && Parse(json) is { ValueKind: JsonValueKind.Object } element ? element : null;

    /// <summary>JSON in which nothing stands twice, or null.</summary>
    internal static JsonElement? Parse(ReadOnlyMemory<byte> json)
    {
        try
        {
            var reader = new Utf8JsonReader(json.Span, new JsonReaderOptions { MaxDepth = Bounds.JsonDepth });
            for (var count = 0; reader.Read(); count++)
            {
                if (count == Bounds.BundleTokens)
                    return null;
                // Text that is no Unicode would be found only where somebody reads it.
                if (reader.TokenType is JsonTokenType.PropertyName or JsonTokenType.String)
                    reader.GetString();
            }

            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = Bounds.JsonDepth, AllowDuplicateProperties = false });
            return document.RootElement.Clone();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            return null;
        }
    }
}
