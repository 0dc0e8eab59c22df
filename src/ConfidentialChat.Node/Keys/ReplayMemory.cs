// spec/envelope-v1.md section 6.
namespace ConfidentialChat.Node.Keys;

/// <summary>The requests that were accepted under one key. Bounded; a tag is never forgotten while the key lives.</summary>
internal sealed class ReplayMemory(int capacity)
{
    private readonly HashSet<UInt128> tags = [];
    private readonly Lock gate = new();

    public ReplayMark Mark(UInt128 tag)
    {
        lock (gate)
        {
            if (tags.Contains(tag))
                return ReplayMark.Replayed;
            if (tags.Count >= capacity)
                return ReplayMark.Full;
            tags.Add(tag);
            return ReplayMark.Marked;
        }
    }

    /// <summary>Takes a mark back: the request was refused, or the engine failed before the first answer byte.</summary>
    public void Unmark(UInt128 tag)
    {
        lock (gate)
            tags.Remove(tag);
    }
}

internal enum ReplayMark
{
    Marked,
    Replayed,
    Full,
}
