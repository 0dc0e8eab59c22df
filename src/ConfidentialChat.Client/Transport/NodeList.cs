// spec/envelope-v2.md section 2.
using System.Security.Cryptography;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport;

/// <summary>The nodes of one model as they were last looked at. Immutable: another look makes another list.</summary>
internal sealed class NodeList
{
    // Who is there changes sooner than keys do.
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(1);

    private readonly VerifiedNode[] cheapest;
    private readonly IReadOnlyList<(VerifiedNode Node, UnitPrices Price)> accepted;
    private readonly long looked;

    /// <param name="tag">The list's entity tag; null where it had none.</param>
    /// <param name="listed">What the gateway said.</param>
    /// <param name="accepted">Those that the policy accepts, with their prices.</param>
    /// <param name="refused">The others.</param>
    /// <param name="time">The clock.</param>
    public NodeList(
        string? tag,
        IReadOnlyList<OfferedNode> listed,
        IReadOnlyList<(VerifiedNode Node, UnitPrices Price)> accepted,
        IReadOnlyList<UnverifiedNode> refused,
        TimeProvider time)
    {
        (Tag, Listed, Refused) = (tag, listed, refused);
        this.accepted = accepted;
        Accepted = [.. accepted.Select(node => node.Node)];
        var lowest = accepted.Count == 0 ? default : accepted.Min(node => node.Price.Sum);
        cheapest = [.. accepted.Where(node => node.Price.Sum == lowest).Select(node => node.Node)];
        looked = time.GetTimestamp();
    }

    public string? Tag { get; }

    public IReadOnlyList<OfferedNode> Listed { get; }

    public IReadOnlyList<VerifiedNode> Accepted { get; }

    public IReadOnlyList<UnverifiedNode> Refused { get; }

    /// <summary>One of the lowest price, at random: the order of a list steers nobody. Null where none may be sealed to any more.</summary>
    public VerifiedNode? Draw(TimeProvider time)
    {
        if (cheapest.Length == 0)
            return null;
        var first = cheapest.Length == 1 ? 0 : RandomNumberGenerator.GetInt32(cheapest.Length);
        for (var i = 0; i < cheapest.Length; i++)
        {
            if (cheapest[(first + i) % cheapest.Length] is var node && node.MayBeSealedTo(time))
                return node;
        }

        return null;
    }

    /// <summary>What a node costs by this list; null where it is none of it.</summary>
    public UnitPrices? PriceOf(VerifiedNode node)
    {
        foreach (var (known, price) in accepted)
        {
            if (ReferenceEquals(known, node))
                return price;
        }

        return null;
    }

    /// <summary>Whether it is time for another look.</summary>
    public bool IsDue(TimeProvider time)
    {
        if (time.GetElapsedTime(looked) >= LookAgain)
            return true;
        foreach (var node in cheapest)
        {
            if (node.IsDue(time))
                return true;
        }

        return false;
    }
}
