using System.Runtime.InteropServices;

namespace ConfidentialChat.Cli;

/// <summary>
/// Whoever reads standard output through a pipe, and may leave: <c>cchat ask … | head</c>. The runtime writes into a pipe without a reader
/// and says nothing, and before the first word nothing is written at all: an answer would be computed to its end, and charged, for nobody.
/// </summary>
internal sealed partial class OutputReader : IDisposable
{
    private const int StandardOutput = 1;
    private const short LeftFlags = 0x08 | 0x10 | 0x20; // POLLERR, POLLHUP, POLLNVAL: told whether asked for or not

    private readonly CancellationTokenSource left;
    private volatile bool isGone;
    private volatile bool isDisposed;

    private OutputReader(CancellationToken cancellation) => left = CancellationTokenSource.CreateLinkedTokenSource(cancellation);

    /// <summary>Cancelled when the reader has left, and with the token that was given.</summary>
    public CancellationToken Left => left.Token;

    /// <summary>Whether the reader has left.</summary>
    public bool IsGone => isGone;

    /// <summary>Watches until disposal. A file and a terminal have no reader that leaves.</summary>
    public static OutputReader Watch(CancellationToken cancellation)
    {
        var reader = new OutputReader(cancellation);
        if (!OperatingSystem.IsWindows() && Console.IsOutputRedirected)
            new Thread(reader.Watch) { IsBackground = true, Name = "reader of standard output" }.Start();
        return reader;
    }

    public void Dispose()
    {
        isDisposed = true;
        lock (left)
            left.Dispose();
    }

    private void Watch()
    {
        while (!isDisposed)
        {
            var output = new Polled { Descriptor = StandardOutput };
            if (Poll(ref output, 1, timeout: 500) < 1 || (output.Returned & LeftFlags) == 0)
                continue;
            isGone = true;
            lock (left)
            {
                if (!isDisposed)
                    left.Cancel();
            }

            return;
        }
    }

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref Polled polled, nuint count, int timeout);

    [StructLayout(LayoutKind.Sequential)]
    private struct Polled
    {
        public int Descriptor;
        public short Asked;
        public short Returned;
    }
}
