using System.Globalization;

namespace ConfidentialChat.Protocol;

/// <summary>One relayed request, named by the gateway: a UUID. Used once, for ever.</summary>
public readonly record struct RequestId(Guid Value)
{
    public static RequestId New() => new(Guid.NewGuid());

    public static bool TryParse(string? text, out RequestId id)
    {
        var parsed = Guid.TryParseExact(text, "D", out var value);
        id = new RequestId(value);
        return parsed;
    }

    public override string ToString() => Value.ToString("D", CultureInfo.InvariantCulture);
}
