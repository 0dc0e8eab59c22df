using System.Runtime.InteropServices;

namespace ConfidentialChat.Cli;

/// <summary>Where Ctrl-C goes: to the program, unless a command has taken it over for something smaller, such as one answer.</summary>
internal static class Interrupt
{
    private static Action? takenOver;

    /// <summary>From now on Ctrl-C calls <paramref name="action"/> and nothing else. Disposal gives it back to whoever had it before.</summary>
    public static IDisposable TakeOver(Action action)
    {
        var taken = new Taken(takenOver);
        takenOver = action;
        return taken;
    }

    /// <summary>Registers what ends the program. Disposal takes it off again.</summary>
    public static IDisposable Handle(Action<PosixSignalContext> end) => PosixSignalRegistration.Create(PosixSignal.SIGINT, context =>
    {
        if (takenOver is not { } action)
        {
            end(context);
            return;
        }

        context.Cancel = true;
        try
        {
            action();
        }
        catch (ObjectDisposedException)
        {
            // It ended by itself in this very moment.
        }
    });

    private sealed class Taken(Action? before) : IDisposable
    {
        public void Dispose() => takenOver = before;
    }
}
