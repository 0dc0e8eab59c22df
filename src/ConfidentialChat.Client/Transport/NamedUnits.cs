// spec/envelope-v1.md sections 2, 3 and 13.
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport;

/// <summary>The compute units that a call names, in lock and envelope alike; null where the default of every lock is enough.</summary>
internal static class NamedUnits
{
    /// <summary>Units of one picture at the least, as the origin has it: those of 1024 × 1024 pixels.</summary>
    public const long Picture = 1024 * 1024;

    /// <summary>
    /// The gateway adds the prompt, by the ciphertext's size, to what the request names. So the bound of the completion is all that
    /// needs naming, and only above the default that every lock has: below, it would tell the gateway more and win nothing.
    /// </summary>
    public static ComputeUnits? OfCompletion(long? maxTokens, int choices)
    {
        var bound = (Int128)(maxTokens ?? 0) * Math.Max(1, choices);
        return bound <= ComputeUnits.Default.Value ? null : Bounded(bound);
    }

    /// <summary>A unit for each pixel. Named always: a lock has a completion's default, which no picture fits.</summary>
    public static ComputeUnits OfImages(string? size, int pictures) =>
        Bounded((Int128)Math.Max(Picture, Pixels(size)) * Math.Max(1, pictures));

    private static long Pixels(string? size) =>
        size?.Split('x') is [var width, var height] && int.TryParse(width, out var columns) && int.TryParse(height, out var rows)
            ? (long)columns * rows
            : 0; // "auto", or an engine's own word

    private static ComputeUnits Bounded(Int128 units) => new((long)Int128.Min(units, ComputeUnits.MaxValue));
}
