// spec/gateway.md section 8 rule 2.
namespace ConfidentialChat.Hosting.Bodies;

/// <summary>The memory that bodies may take, all together: counted by buffers that exist, never by what a header promises.</summary>
/// <param name="total">Bytes.</param>
internal sealed class BodyBudget(long total)
{
    /// <summary>A body up to this many bytes is small: most requests are.</summary>
    public const int SmallBytes = 64 * 1024;

    /// <summary>The part of the budget that large bodies leave alone, so that a small one finds room however many large ones there are.</summary>
    private const int SmallPart = 16;

    private readonly long largest = OfLarge(total);
    private long taken;

    /// <summary>What large bodies may take of a budget, in bytes: one that is larger never finds room.</summary>
    public static long OfLarge(long total) => total - (total / SmallPart);

    /// <summary>Bytes that are taken now.</summary>
    public long Taken => Volatile.Read(ref taken);

    /// <summary>Whether so much is free. It may be taken by another the moment after.</summary>
    public bool HasRoom(long bytes, bool isSmall) => Taken + bytes <= (isSmall ? total : largest);

    public bool TryTake(long bytes, bool isSmall)
    {
        for (var before = Taken; before + bytes <= (isSmall ? total : largest);)
        {
            var seen = Interlocked.CompareExchange(ref taken, before + bytes, before);
            if (seen == before)
                return true;
            before = seen;
        }

        return false;
    }

    public void Return(long bytes) => Interlocked.Add(ref taken, -bytes);
}

/// <summary>What one payer may take of a budget: others find some left.</summary>
/// <param name="budget">Of all.</param>
/// <param name="most">Bytes.</param>
internal sealed class BodyShare(BodyBudget budget, long most)
{
    private long taken;

    public bool HasRoom(long bytes, bool isSmall) => Volatile.Read(ref taken) + bytes <= most && budget.HasRoom(bytes, isSmall);

    public bool TryTake(long bytes, bool isSmall)
    {
        if (Interlocked.Add(ref taken, bytes) <= most && budget.TryTake(bytes, isSmall))
            return true;
        Interlocked.Add(ref taken, -bytes);
        return false;
    }

    public void Return(long bytes)
    {
        Interlocked.Add(ref taken, -bytes);
        budget.Return(bytes);
    }
}
