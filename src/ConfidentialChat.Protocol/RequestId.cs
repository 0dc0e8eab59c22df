using System.Globalization;

namespace ConfidentialChat.Protocol;

/// <summary>One relayed request, named by the gateway: a UUID of version 7 (RFC 9562 section 5.7). Used once, for ever.</summary>
public readonly record struct RequestId(Guid Value)
{
    /// <summary>In the order of time: rows of requests that come together lie together in an index, and are written with few of its pages.</summary>
    public static RequestId New() => new(Guid.CreateVersion7());

    public static bool TryParse(string? text, out RequestId id)
    {
        var parsed = Guid.TryParseExact(text, "D", out var value);
        id = new RequestId(value);
        return parsed;
    }

    public override string ToString() => Value.ToString("D", CultureInfo.InvariantCulture);
}
