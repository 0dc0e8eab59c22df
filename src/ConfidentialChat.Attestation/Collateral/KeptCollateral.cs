// spec/attestation.md section 15.
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Collateral;

/// <summary>
/// Keeps what a source gave, for as long as is said; an answer with something missing is not kept, because it may be there a moment
/// later. Its age limits are its own; the policy's are checked in every verdict. Safe for several threads.
/// </summary>
/// <param name="source">Asked when nothing is kept, or when it is too old.</param>
/// <param name="maxAge">How long an answer is kept.</param>
/// <param name="time">The clock.</param>
public sealed class KeptCollateral(ICollateralSource source, TimeSpan maxAge, TimeProvider time) : ICollateralSource
{
    private const int Capacity = 64; // kinds of platforms, of which a site has a few

    private readonly Lock gate = new();
    private readonly Dictionary<string, (TdxCollateral Collateral, DateTimeOffset Until)> kept = new(StringComparer.Ordinal);

    public TdxCollateral Tdx(string? fmspc)
    {
        var (key, now) = (fmspc ?? "", time.GetUtcNow());
        lock (gate)
        {
            if (kept.TryGetValue(key, out var found) && now < found.Until)
                return found.Collateral;
        }

        var collateral = source.Tdx(fmspc);
        if (!collateral.IsComplete)
            return collateral;
        lock (gate)
        {
            if (kept.Count == Capacity && !kept.ContainsKey(key))
                kept.Clear();
            kept[key] = (collateral, now + maxAge);
        }

        return collateral;
    }
}
