// spec/gateway.md section 4.
using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Relay;

/// <summary>The gateway's word to one node about one request: whom it is for, how much it may use, and until when it holds.</summary>
public sealed record RelayToken
{
    /// <summary>The header that carries it from gateway to node.</summary>
    public const string HeaderName = "Confidential-Relay-Token";

    /// <summary>A token lives this long at the most; spec/gateway.md section 4.</summary>
    public static readonly TimeSpan MaxLifetime = TimeSpan.FromSeconds(60);

    private const int MaxTextLength = 4096;

    private static ReadOnlySpan<byte> Domain => "ConfidentialChat relay token v1\0"u8;

    public required RequestId Request { get; init; }

    public required NodeId Node { get; init; }

    public required StackId Stack { get; init; }

    public required string Model { get; init; }

    /// <summary>The reservation: prompt and completion together.</summary>
    public required ComputeUnits Units { get; init; }

    /// <summary>Whole seconds; the node refuses the token from then on.</summary>
    public required DateTimeOffset Expires { get; init; }

    /// <summary>Signs: <c>base64url(payload) "." base64url(Ed25519(domain ‖ payload))</c>.</summary>
    public string Sign(Ed25519PrivateKey gatewayKey)
    {
        var payload = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(payload))
        {
            json.WriteStartObject();
            json.WriteString("request"u8, Request.ToString());
            json.WriteNumber("node"u8, Node.Value);
            json.WriteNumber("stack"u8, Stack.Value);
            json.WriteString("model"u8, Model);
            json.WriteNumber("units"u8, Units.Value);
            json.WriteNumber("expires"u8, Expires.ToUnixTimeSeconds());
            json.WriteEndObject();
        }

        var signature = gatewayKey.Sign([.. Domain, .. payload.WrittenSpan]);
        return Spell(payload.WrittenSpan, signature);
    }

    /// <summary>Reads a token that <paramref name="gatewayKey"/> signed. Node, expiry and single use are the caller's to check.</summary>
    public static bool TryVerify(string? text, Ed25519PublicKey gatewayKey, [NotNullWhen(true)] out RelayToken? token)
    {
        token = null;
        if (text is not { Length: <= MaxTextLength } || text.IndexOf('.') is var dot && dot < 0)
            return false;
        try
        {
            var payload = Base64Url.DecodeFromChars(text.AsSpan(0, dot));
            var signature = Base64Url.DecodeFromChars(text.AsSpan(dot + 1));
            return text == Spell(payload, signature) // the decoder also takes padding, blanks and stray bits
                && gatewayKey.Verify([.. Domain, .. payload], signature)
                && TryRead(payload, out token);
        }
        catch (FormatException)
        {
            return false;
        }
    }

    private static string Spell(ReadOnlySpan<byte> payload, ReadOnlySpan<byte> signature) =>
        Base64Url.EncodeToString(payload) + "." + Base64Url.EncodeToString(signature);

    private static bool TryRead(byte[] payload, [NotNullWhen(true)] out RelayToken? token)
    {
        token = null;
        try
        {
            using var document = JsonDocument.Parse(payload, new JsonDocumentOptions { AllowDuplicateProperties = false });
            var root = document.RootElement;
            if (!RequestId.TryParse(root.GetProperty("request"u8).GetString(), out var request)
                || root.GetProperty("model"u8).GetString() is not { } model)
                return false;
            token = new RelayToken
            {
                Request = request,
                Node = new NodeId(root.GetProperty("node"u8).GetInt64()),
                Stack = new StackId(root.GetProperty("stack"u8).GetInt64()),
                Model = model,
                Units = new ComputeUnits(root.GetProperty("units"u8).GetInt64()),
                Expires = DateTimeOffset.FromUnixTimeSeconds(root.GetProperty("expires"u8).GetInt64()),
            };
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException or ArgumentOutOfRangeException)
        {
            return false;
        }
    }
}
