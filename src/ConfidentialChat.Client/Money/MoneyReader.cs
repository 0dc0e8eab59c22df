// spec/gateway.md section 11.
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Money;

/// <summary>Reads the gateway's JSON. Members that are not known are passed over; what is not as it has to be is malformed, and never thrown.</summary>
internal static class MoneyReader
{
    /// <summary>The gateway lists no more at once.</summary>
    public const int MaxLines = 10_000;

    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 8, AllowDuplicateProperties = false };

    /// <summary>What <paramref name="read"/> makes of an object; null where it is none, or that throws what a reader of JSON throws.</summary>
    public static T? Read<T>(ReadOnlyMemory<byte> json, Func<JsonElement, T?> read)
        where T : class
    {
        try
        {
            using var document = JsonDocument.Parse(json, Options);
            return document.RootElement.ValueKind is JsonValueKind.Object ? read(document.RootElement) : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException or OverflowException)
        {
            return null; // InvalidOperationException: a member of another kind, or text that is no UTF-8
        }
    }

    public static bool TryAmount(JsonElement parent, string name, out MicroDollars amount)
    {
        amount = default;
        return parent.GetProperty(name).TryGetInt64(out var number) && MicroDollars.TryCreate(number, out amount);
    }

    public static bool TryCost(JsonElement parent, out Cost cost)
    {
        cost = default;
        if (!TryAmount(parent, "charge", out var whole) || !parent.GetProperty("millionths").TryGetInt32(out var part) || part is < 0 or > 999_999)
            return false;
        cost = new Cost(whole, part);
        return true;
    }

    public static bool TryUsage(JsonElement value, out Usage usage)
    {
        var (prompt, completion) = (value.GetProperty("prompt").GetInt64(), value.GetProperty("completion").GetInt64());
        var pixels = value.GetProperty("pixels").GetInt64();
        usage = new Usage(prompt, completion) { Pixels = pixels };
        return prompt >= 0 && completion >= 0 && pixels >= 0 && completion <= long.MaxValue - prompt && pixels <= long.MaxValue - prompt - completion;
    }

    public static DateOnly Day(JsonElement value) => DateOnly.ParseExact(value.GetString()!, "yyyy-MM-dd", CultureInfo.InvariantCulture);

    public static bool TryText(JsonElement parent, string name, [NotNullWhen(true)] out string? text)
    {
        text = parent.GetProperty(name).GetString();
        return text is not null;
    }

    /// <summary>Null for null; false where it is something else than what <paramref name="read"/> takes.</summary>
    public static bool TryOptional<T>(JsonElement parent, string name, Func<JsonElement, T?> read, out T? value)
        where T : struct
    {
        value = null;
        if (parent.GetProperty(name) is not { ValueKind: not JsonValueKind.Null } member)
            return true;
        value = read(member);
        return value is not null;
    }
}
