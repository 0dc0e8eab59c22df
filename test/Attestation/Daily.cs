namespace ConfidentialChat.Attestation.Tests;

/// <summary>
/// Large families of cases: every one with CONFIDENTIALCHAT_SLOW=1, and in the fast run a part that is another one each day,
/// so that the parts together are the whole. A failure names the case itself.
/// </summary>
internal static class Daily
{
    private static readonly int Day = (int)(DateTime.UtcNow.Date - DateTime.UnixEpoch).TotalDays;

    /// <summary>Today's part of 0 to <paramref name="count"/>.</summary>
    /// <param name="count">How many cases there are.</param>
    /// <param name="parts">How many days the whole takes.</param>
    public static IEnumerable<int> Of(int count, int parts)
    {
        var (first, step) = Tree.Slow ? (0, 1) : (Day % parts, parts);
        for (var i = first; i < count; i += step)
            yield return i;
    }
}
