// spec/gateway.md section 8 rule 2.
using System.Buffers;
using System.Runtime.InteropServices;

namespace ConfidentialChat.Hosting.Bodies;

/// <summary>
/// One contiguous piece of memory outside of the collected heap. The system gives its pages when they are first written, so that it grows
/// without a copy and a promise costs addresses alone; and it has them back at once: the collector would keep them for its next rounds.
/// </summary>
/// <remarks>Whoever uses it beside its owner pins it for as long: what is pinned outlives disposal, and what is disposed of cannot be pinned.</remarks>
internal sealed unsafe partial class PageBlock : MemoryManager<byte>
{
    /// <summary>Bytes in which it is counted: a page of the common processors, and a whole part of the larger ones of the others.</summary>
    public const int PageSize = 4096;

    private readonly int size;
    private byte* start;
    private int holders = 1; // its owner, and who has it pinned
    private int isDisposed;

    private PageBlock(byte* start, int size)
    {
        this.start = start;
        this.size = size;
    }

    /// <summary>Null where the system has no addresses left for it, or counts what nobody has written yet.</summary>
    public static PageBlock? TryReserve(int size)
    {
        if (!OperatingSystem.IsLinux())
        {
            try
            {
                return new PageBlock((byte*)NativeMemory.Alloc((nuint)size), size); // large ones come in pages, too
            }
            catch (OutOfMemoryException)
            {
                return null;
            }
        }

        var start = Native.mmap(null, (nuint)size, Native.ReadWrite, Native.PrivateAnonymousNoReserve, -1, 0);
        if (start == Native.Failed)
            return null;
        _ = Native.madvise(start, (nuint)size, Native.NoHugePage); // a first byte would bring 2 MiB
        _ = Native.madvise(start, (nuint)size, Native.DoNotDump); // at a node a body is a prompt in the end
        return new PageBlock((byte*)start, size);
    }

    /// <exception cref="ObjectDisposedException">It is no more.</exception>
    public override Span<byte> GetSpan()
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref holders) == 0, this);
        return new Span<byte>(start, size);
    }

    /// <exception cref="ObjectDisposedException">It is no more.</exception>
    public override MemoryHandle Pin(int elementIndex = 0)
    {
        for (var before = Volatile.Read(ref holders); ;)
        {
            ObjectDisposedException.ThrowIf(before == 0 || Volatile.Read(ref isDisposed) != 0, this);
            var seen = Interlocked.CompareExchange(ref holders, before + 1, before);
            if (seen == before)
                return new MemoryHandle(start + elementIndex, pinnable: this);
            before = seen;
        }
    }

    public override void Unpin() => Leave();

    /// <summary>Gives it back, or leaves that to who has it pinned. Safe more than once.</summary>
    public void Dispose() => Dispose(disposing: true);

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref isDisposed, 1) == 0)
            Leave();
    }

    private void Leave()
    {
        if (Interlocked.Decrement(ref holders) != 0)
            return;
        if (OperatingSystem.IsLinux())
            _ = Native.munmap(start, (nuint)size);
        else
            NativeMemory.Free(start);
        start = null;
    }

    /// <summary>The numbers are those of every processor that .NET runs on under Linux: asm-generic/mman-common.h.</summary>
    private static partial class Native
    {
        public const int ReadWrite = 0x1 | 0x2; // PROT_READ | PROT_WRITE
        public const int PrivateAnonymousNoReserve = 0x02 | 0x20 | 0x4000; // MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        public const int NoHugePage = 15; // MADV_NOHUGEPAGE
        public const int DoNotDump = 16; // MADV_DONTDUMP

        public static void* Failed => (void*)-1;

        [LibraryImport("libc")]
        public static partial void* mmap(void* start, nuint size, int protection, int flags, int file, nint offset);

        [LibraryImport("libc")]
        public static partial int madvise(void* start, nuint size, int advice);

        [LibraryImport("libc")]
        public static partial int munmap(void* start, nuint size);
    }
}
