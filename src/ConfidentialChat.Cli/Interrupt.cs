using System.Runtime.InteropServices;

namespace ConfidentialChat.Cli;

/// <summary>
/// Where Ctrl-C and SIGHUP go: to the program, unless a command has taken them over
/// for something smaller, such as one answer or a certificate.
/// </summary>
internal static class Interrupt
{
    private static readonly Taker Interrupts = new();
    private static readonly Taker Hangups = new();

    /// <summary>Ends the program's processes where it ends at once itself. Of the program that runs now.</summary>
    public static CancellationToken EndingAtOnce { get; set; }

    /// <summary>From now on Ctrl-C calls <paramref name="action"/> and nothing else. Disposal gives it back to whoever had it before.</summary>
    public static IDisposable TakeOver(Action action) => Interrupts.TakeOver(action);

    /// <summary>The same of SIGHUP: a server goes on when its terminal closes, and reads again what it can.</summary>
    public static IDisposable TakeOverHangup(Action action) => Hangups.TakeOver(action);

    /// <summary>Whether a signal was for something smaller than the program.</summary>
    public static bool IsTaken(PosixSignal signal) => signal switch
    {
        PosixSignal.SIGINT => Interrupts.TryGive(),
        PosixSignal.SIGHUP => Hangups.TryGive(),
        _ => false,
    };

    private sealed class Taker
    {
        private Action? taken;

        public IDisposable TakeOver(Action action)
        {
            var back = new Back(this, taken);
            taken = action;
            return back;
        }

        public bool TryGive()
        {
            if (taken is not { } action)
                return false;
            try
            {
                action();
            }
            catch (ObjectDisposedException)
            {
                // It ended by itself in this very moment.
            }

            return true;
        }

        private sealed class Back(Taker taker, Action? before) : IDisposable
        {
            public void Dispose() => taker.taken = before;
        }
    }
}
