// spec/gateway.md section 8 rule 2.
using System.Buffers;

namespace ConfidentialChat.Hosting.Bodies;

/// <summary>A body in memory, in one piece, with the room that it takes of a budget. Disposal gives both back, and may come more than once.</summary>
internal sealed class ReceivedBody : IDisposable, IBufferWriter<byte>
{
    private readonly BodyShare room;
    private readonly PageBlock? pages;
    private byte[] array = [];
    private long taken;
    private bool isSmall;

    // Whole from the beginning: its bytes were taken already.
    private ReceivedBody(BodyShare room, byte[] array)
    {
        this.room = room;
        this.array = array;
        Length = array.Length;
        taken = array.Length;
    }

    private ReceivedBody(BodyShare room, PageBlock pages, bool isSmall)
    {
        this.room = room;
        this.pages = pages;
        this.isSmall = isSmall;
    }

    /// <summary>Also of one that was disposed of.</summary>
    public int Length { get; private set; }

    /// <summary>Whether the memory is gone.</summary>
    public bool IsDisposed { get; private set; }

    /// <summary>Valid until disposal; who has it pinned may go on for as long.</summary>
    public Memory<byte> Memory => pages is null ? array : pages.Memory[..Length];

    public ReadOnlySpan<byte> Span => Memory.Span;

    /// <summary>Copies a small body that is here; null where there is no room for it.</summary>
    public static ReceivedBody? TryCopy(in ReadOnlySequence<byte> bytes, BodyShare room) =>
        room.TryTake(bytes.Length, isSmall: true) ? new ReceivedBody(room, bytes.ToArray()) : null;

    /// <summary>An empty one, which grows without moving. It takes room as it grows.</summary>
    /// <param name="most">Bytes that it may come to.</param>
    /// <param name="room">Pays for it.</param>
    /// <param name="isSmall">Whether it is known to stay small.</param>
    public static ReceivedBody? TryBegin(int most, BodyShare room, bool isSmall) =>
        PageBlock.TryReserve(Math.Max(most, 1)) is { } pages ? new ReceivedBody(room, pages, isSmall) : null;

    /// <summary>Takes in what came; false where there is no room for it.</summary>
    public bool TryAppend(in ReadOnlySequence<byte> bytes)
    {
        if (!TryTakeFor(bytes.Length))
            return false;
        bytes.CopyTo(pages!.GetSpan()[Length..]);
        Length += (int)bytes.Length;
        return true;
    }

    /// <summary>Takes the room for so many further bytes before they are written.</summary>
    public bool TryTakeFor(long bytes)
    {
        var needed = ((Length + bytes + PageBlock.PageSize - 1) / PageBlock.PageSize * PageBlock.PageSize) - taken;
        isSmall &= Length + bytes <= BodyBudget.SmallBytes;
        if (needed <= 0)
            return true;
        if (!room.TryTake(needed, isSmall))
            return false;
        taken += needed;
        return true;
    }

    /// <inheritdoc/>
    public void Advance(int count) => Length += count;

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0) => pages!.Memory[Length..];

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0) => pages!.GetSpan()[Length..];

    public void Dispose()
    {
        IsDisposed = true;
        pages?.Dispose();
        array = [];
        room.Return(Interlocked.Exchange(ref taken, 0));
    }
}
