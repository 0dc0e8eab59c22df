using System.CommandLine;
using System.CommandLine.Help;

namespace ConfidentialChat.Cli;

/// <summary>
/// How wide help is: as the terminal, within what the library can wrap to. It wraps
/// to a handful of columns without end, and to one it fails.
/// </summary>
internal static class HelpWidth
{
    private const int Least = 40;
    private const int Standard = 80;

    public static void Bound(RootCommand root)
    {
        foreach (var help in root.Options.OfType<HelpOption>().Select(option => option.Action).OfType<HelpAction>())
            help.MaxWidth = Console.IsOutputRedirected ? int.MaxValue : Of(Console.WindowWidth);
    }

    // A terminal that does not know its width says 0.
    private static int Of(int columns) => columns == 0 ? Standard : Math.Max(Least, columns);
}
