// spec/envelope-v1.md section 2.
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.V1;

/// <summary>What a client asks of a lock.</summary>
/// <param name="Model">1 to 256 UTF-16 units.</param>
/// <param name="Units">From 1.</param>
/// <param name="Lifetime">1 to 60 seconds; null is the gateway's own.</param>
/// <param name="Node">The one node that is wanted; null for any.</param>
internal sealed record LockRequest(string Model, ComputeUnits Units, TimeSpan? Lifetime, NodeId? Node)
{
    private const int MaxDepth = 64;
    private const int MaxLifetimeSeconds = 60;

    /// <summary>Reads arbitrary bytes. Members that are not listed are passed over: real clients send them.</summary>
    public static bool TryParse(
        ReadOnlyMemory<byte> body, [NotNullWhen(true)] out LockRequest? request, [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        rejection = new Rejection(RequestError.InvalidJson);
        if (!Utf8.IsValid(body.Span))
            return false;
        try
        {
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = MaxDepth });
            if (document.RootElement.ValueKind is not JsonValueKind.Object)
                return false;
            var fault = Read(document.RootElement, out request);
            if (fault is not null)
                rejection = new Rejection(RequestError.InvalidField, fault);
            return request is not null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false; // InvalidOperationException: a lone surrogate in a member's name
        }
    }

    // Names the member at fault, or null. A member that stands twice is at fault: two readers could see two values.
    private static string? Read(JsonElement root, out LockRequest? request)
    {
        request = null;
        JsonElement? model = null, units = null, timeout = null, node = null;
        foreach (var member in root.EnumerateObject())
        {
            if (member.NameEquals("model"u8) && !TrySet(ref model, member.Value))
                return "model";
            if (member.NameEquals("max_num_tokens"u8) && !TrySet(ref units, member.Value))
                return "max_num_tokens";
            if (member.NameEquals("timeout"u8) && !TrySet(ref timeout, member.Value))
                return "timeout";
            if (member.NameEquals("node_small_id"u8) && !TrySet(ref node, member.Value))
                return "node_small_id";
        }

        if (Text(model) is not { Length: > 0 and <= ModelNames.MaxLength } name)
            return "model";
        if (!TryInteger(units, out var amount) || amount < 1)
            return "max_num_tokens";
        if (!TryInteger(timeout, out var seconds) || seconds is < 1 or > MaxLifetimeSeconds)
            return "timeout";
        if (!TryInteger(node, out var number) || number < 0)
            return "node_small_id";
        request = new LockRequest(
            name,
            amount is { } given ? new ComputeUnits(given) : ComputeUnits.Default,
            seconds is { } time ? TimeSpan.FromSeconds(time) : null,
            number is { } id ? new NodeId(id) : null);
        return null;
    }

    private static bool TrySet(ref JsonElement? member, JsonElement value)
    {
        var first = member is null;
        member = value;
        return first;
    }

    private static string? Text(JsonElement? value)
    {
        try
        {
            return value is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            return null; // a lone surrogate
        }
    }

    // Absent and null are no number, and no fault.
    private static bool TryInteger(JsonElement? value, out long? number)
    {
        number = null;
        if (value is null or { ValueKind: JsonValueKind.Null })
            return true;
        if (value is not { ValueKind: JsonValueKind.Number } element || !element.TryGetInt64(out var integer))
            return false;
        number = integer;
        return true;
    }
}
