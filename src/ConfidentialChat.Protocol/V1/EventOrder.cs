// spec/envelope-v1.md section 8, the client's side: a stream is whole and in the order in which it was sealed, or it is refused.
namespace ConfidentialChat.Protocol.V1;

/// <summary>The order of one stream's events. A nonce that repeats is <see cref="AnswerOpener"/>'s to refuse. Not safe for concurrent use.</summary>
public sealed class EventOrder
{
    private long next;

    /// <summary>Whether the last event has been taken. A stream that ends before was cut.</summary>
    public bool IsEnded { get; private set; }

    /// <summary>Takes an event that has been opened, and takes off it what says its place.</summary>
    /// <param name="opened">As it was opened; one byte of it is overwritten.</param>
    /// <param name="start">Where in it the object begins that the node's engine wrote.</param>
    public EventTurn Take(Span<byte> opened, out int start)
    {
        start = 0;
        if (!EventPlace.TryRead(opened, out var place, out var size))
            return EventTurn.Unnumbered;
        if (IsEnded || place.Number != next)
            return EventTurn.OutOfOrder;
        (next, IsEnded) = (next + 1, place.IsLast);
        start = opened[size] == ',' ? size : size - 1; // the comma before its first member, or, where it has none, the byte before its end
        opened[start] = (byte)'{';
        return EventTurn.Next;
    }
}

/// <summary>What an opened event is in its stream.</summary>
public enum EventTurn
{
    /// <summary>The one whose turn it is.</summary>
    Next,

    /// <summary>Another: events were dropped, moved, or put behind the last.</summary>
    OutOfOrder,

    /// <summary>It says no place: the node is older than this rule, or of another make. Nobody between can have taken it off.</summary>
    Unnumbered,
}
