using System.Globalization;

namespace ConfidentialChat.Hosting.Connections;

/// <summary>How many files, and connections among them, the system lets this process have open. Where there are none left, the runtime ends it.</summary>
internal static class OpenFiles
{
    /// <summary>What a server has beside its connections: some 210, most of them its own code; the rest is for what it reads and writes now and then.</summary>
    private const int Own = 400;

    /// <summary>Null where the system does not say.</summary>
    public static int? Limit { get; } = Read();

    /// <summary>Connections that fit: each may need another, to a node or an engine.</summary>
    public static int Connections(int limit) => Math.Max(0, (limit - Own - ConnectionLimits.Coming) / 2);

    /// <summary>The limit that so many connections need.</summary>
    public static int For(int connections) => (2 * connections) + Own + ConnectionLimits.Coming;

    // The runtime has raised the limit as far as it may, so the first of the two numbers is what holds.
    private static int? Read()
    {
        const string name = "Max open files";
        if (!OperatingSystem.IsLinux())
            return null;
        try
        {
            var line = File.ReadLines("/proc/self/limits").FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal));
            var soft = line?[name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
            return int.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
