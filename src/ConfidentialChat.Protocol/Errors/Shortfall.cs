// spec/gateway.md section 10; spec/envelope-v1.md section 9; spec/envelope-v2.md section 7.
using System.Text.Json;

namespace ConfidentialChat.Protocol.Errors;

/// <summary>What a balance lacks for a request: the members <c>needed</c> and <c>available</c> of an error, in micro-dollars.</summary>
/// <param name="Needed">What the request, or the units that its stack lacks, may cost.</param>
/// <param name="Available">What of the balance is not held.</param>
public sealed record Shortfall(MicroDollars Needed, MicroDollars Available)
{
    internal void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("needed"u8, Needed.Value);
        json.WriteNumber("available"u8, Available.Value);
    }

    /// <summary>Reads the two members of a peer's error, an object; null where they are none.</summary>
    public static Shortfall? TryRead(JsonElement error) =>
        TryRead(error, "needed"u8, out var needed) && TryRead(error, "available"u8, out var available) ? new Shortfall(needed, available) : null;

    private static bool TryRead(JsonElement error, ReadOnlySpan<byte> name, out MicroDollars amount)
    {
        amount = default;
        return error.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.Number && member.TryGetInt64(out var number)
            && MicroDollars.TryCreate(number, out amount);
    }
}
