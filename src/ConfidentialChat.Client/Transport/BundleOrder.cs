// spec/envelope-v2.md section 2 rule 4.
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport;

/// <summary>
/// When the accepted bundles of one node were issued: nobody is led back to keys that the node has replaced. Bundles of one key set may come in
/// any order. It only ever grows. Immutable.
/// </summary>
/// <param name="KeySet">Of the bundle that was accepted last.</param>
/// <param name="Newest">Of all that were accepted.</param>
/// <param name="Others">Of those with another key set.</param>
internal sealed record BundleOrder(KeySetDigest KeySet, DateTimeOffset Newest, DateTimeOffset Others)
{
    /// <summary>A node that starts anew may have had its clock put right.</summary>
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(60);

    /// <summary>Before this a bundle of the key set is not issued.</summary>
    public static DateTimeOffset Earliest(BundleOrder? order, KeySetDigest keySet) => order is null ? DateTimeOffset.MinValue : order.EarliestOf(keySet);

    /// <summary>With one more that was accepted.</summary>
    public static BundleOrder Add(BundleOrder? order, KeySetDigest keySet, DateTimeOffset issuedAt) => order is null
        ? new BundleOrder(keySet, issuedAt, DateTimeOffset.MinValue)
        : new BundleOrder(keySet, issuedAt > order.Newest ? issuedAt : order.Newest, keySet == order.KeySet ? order.Others : order.Newest);

    private DateTimeOffset EarliestOf(KeySetDigest keySet) =>
        (keySet == KeySet ? Others : Newest) is var other && other - DateTimeOffset.MinValue > Skew ? other - Skew : DateTimeOffset.MinValue;
}
