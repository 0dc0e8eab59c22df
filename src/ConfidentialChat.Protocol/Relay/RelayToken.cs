// spec/gateway.md section 4.
using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;

namespace ConfidentialChat.Protocol.Relay;

/// <summary>The gateway's word to one node about one request: what it is for, how much it may use, and until when it holds.</summary>
public sealed record RelayToken
{
    /// <summary>The header that carries it from gateway to node.</summary>
    public const string HeaderName = "Confidential-Relay-Token";

    /// <summary>A token lives this long at the most; spec/gateway.md section 4.</summary>
    public static readonly TimeSpan MaxLifetime = TimeSpan.FromSeconds(60);

    private const int MaxTextLength = 4096;

    private static readonly int CodeLength = Base64Url.GetEncodedLength(RelayKey.CodeSize);

    private static ReadOnlySpan<byte> Domain => "ConfidentialChat relay token v2\0"u8;

    public required RequestId Request { get; init; }

    public required NodeId Node { get; init; }

    /// <summary>The keys that the request was sealed to.</summary>
    public required KeySetDigest KeySet { get; init; }

    /// <summary>The path at the node.</summary>
    public required string Endpoint { get; init; }

    public required string Model { get; init; }

    /// <summary>The reservation: prompt and completion together.</summary>
    public required ComputeUnits Units { get; init; }

    /// <summary>Whole seconds; the node refuses the token from then on.</summary>
    public required DateTimeOffset Expires { get; init; }

    /// <summary>Writes <c>base64url(payload) "." base64url(HMAC-SHA256(relay key, domain ‖ payload))</c>.</summary>
    public string Write(RelayKey key)
    {
        ArgumentNullException.ThrowIfNull(key);
        var message = new ArrayBufferWriter<byte>(512);
        message.Write(Domain);
        using (var json = new Utf8JsonWriter(message))
        {
            json.WriteStartObject();
            json.WriteString("request"u8, Request.Value);
            json.WriteNumber("node"u8, Node.Value);
            json.WriteString("key_set"u8, KeySet.ToString());
            json.WriteString("endpoint"u8, Endpoint);
            json.WriteString("model"u8, Model);
            json.WriteNumber("units"u8, Units.Value);
            json.WriteNumber("expires"u8, Expires.ToUnixTimeSeconds());
            json.WriteEndObject();
        }

        Span<byte> code = stackalloc byte[RelayKey.CodeSize];
        key.Authenticate(message.WrittenSpan, code);
        return Base64Url.EncodeToString(message.WrittenSpan[Domain.Length..]) + "." + Base64Url.EncodeToString(code);
    }

    /// <summary>Reads a token that was written under <paramref name="key"/>. Node, path, expiry and single use are the caller's to check.</summary>
    public static bool TryRead(string? text, RelayKey key, [NotNullWhen(true)] out RelayToken? token)
    {
        ArgumentNullException.ThrowIfNull(key);
        token = null;
        if (text is not { Length: <= MaxTextLength } || text.IndexOf('.') is var dot && (dot < 0 || text.Length - dot - 1 != CodeLength))
            return false;
        var message = new byte[Domain.Length + Base64Url.GetMaxDecodedLength(dot)];
        Domain.CopyTo(message);
        Span<byte> code = stackalloc byte[RelayKey.CodeSize], given = stackalloc byte[RelayKey.CodeSize];
        if (Base64Url.DecodeFromChars(text.AsSpan(0, dot), message.AsSpan(Domain.Length), out _, out var length) != OperationStatus.Done
            || Base64Url.DecodeFromChars(text.AsSpan(dot + 1), given, out _, out var size) != OperationStatus.Done || size != given.Length)
            return false;
        key.Authenticate(message.AsSpan(0, Domain.Length + length), code);
        return CryptographicOperations.FixedTimeEquals(code, given)
            && IsSpelledAlike(text.AsSpan(0, dot), message.AsSpan(Domain.Length, length)) && IsSpelledAlike(text.AsSpan(dot + 1), given)
            && TryParse(message.AsMemory(Domain.Length, length), out token);
    }

    // The decoder also takes padding, blanks and stray bits: one token would have many spellings.
    private static bool IsSpelledAlike(ReadOnlySpan<char> text, ReadOnlySpan<byte> bytes)
    {
        Span<char> spelled = stackalloc char[Base64Url.GetEncodedLength(bytes.Length)];
        return Base64Url.TryEncodeToChars(bytes, spelled, out var length) && text.SequenceEqual(spelled[..length]);
    }

    private static bool TryParse(ReadOnlyMemory<byte> payload, [NotNullWhen(true)] out RelayToken? token)
    {
        token = null;
        try
        {
            using var document = JsonDocument.Parse(payload, new JsonDocumentOptions { AllowDuplicateProperties = false });
            var root = document.RootElement;
            if (!RequestId.TryParse(root.GetProperty("request"u8).GetString(), out var request)
                || !KeySetDigest.TryParse(root.GetProperty("key_set"u8).GetString(), out var keySet)
                || root.GetProperty("endpoint"u8).GetString() is not { } endpoint
                || root.GetProperty("model"u8).GetString() is not { } model)
                return false;
            token = new RelayToken
            {
                Request = request,
                Node = new NodeId(root.GetProperty("node"u8).GetInt64()),
                KeySet = keySet,
                Endpoint = endpoint,
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
