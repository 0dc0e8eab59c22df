// spec/envelope-v2.md section 9.
using System.Buffers.Binary;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Node.Keys;

/// <summary>
/// The sealed requests that were opened under one key, and the node's clock for it. A mark is never taken back. Bounded: where it is full
/// the oldest mark goes, and with it everything whose date a copy of that request could still have.
/// </summary>
internal sealed class SealedReplayMemory(int capacity, TimeProvider time)
{
    /// <summary>How far a client's date may be from the node's clock.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromMinutes(5);

    // Read once: from then on a host that sets the clock brings nothing back.
    private readonly DateTimeOffset clockAt = time.GetUtcNow();
    private readonly long startedAt = time.GetTimestamp();

    private readonly HashSet<UInt128> marks = [];
    private readonly Queue<(UInt128 Mark, TimeSpan At)> order = new();
    private readonly Lock gate = new();
    private DateTimeOffset after = DateTimeOffset.MinValue; // a date has to be later than this

    public DateTimeOffset Now => clockAt + Elapsed;

    private TimeSpan Elapsed => time.GetElapsedTime(startedAt);

    /// <summary>False where this <c>enc</c> was marked before.</summary>
    /// <param name="enc">Of a request that opens.</param>
    /// <param name="markedAt">When, on this memory's clock: its date is judged by that.</param>
    public bool TryMark(ReadOnlySpan<byte> enc, out TimeSpan markedAt)
    {
        Span<byte> digest = stackalloc byte[Sha256.Size];
        Sha256.Hash(enc, digest);
        var mark = BinaryPrimitives.ReadUInt128BigEndian(digest);
        lock (gate)
        {
            markedAt = Elapsed;
            if (!marks.Add(mark))
                return false;
            order.Enqueue((mark, markedAt));
            if (order.Count > capacity)
            {
                var oldest = order.Dequeue();
                marks.Remove(oldest.Mark);
                after = clockAt + oldest.At + Window; // no date of a request that was taken then is later
            }

            return true;
        }
    }

    /// <summary>Whether a request of this date may be served that was marked at this time.</summary>
    public DateFit Judge(DateTimeOffset date, TimeSpan markedAt)
    {
        var now = clockAt + markedAt;
        if (date < now - Window || date > now + Window)
            return DateFit.Outside;
        lock (gate)
            return date > after ? DateFit.Inside : DateFit.Forgotten;
    }
}

internal enum DateFit
{
    Inside,

    /// <summary>The client's clock is wrong, or the request is old.</summary>
    Outside,

    /// <summary>It cannot be told from a copy of one whose mark had to go.</summary>
    Forgotten,
}
