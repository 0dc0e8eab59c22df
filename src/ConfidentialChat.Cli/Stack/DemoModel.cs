using System.Security.Cryptography;

namespace ConfidentialChat.Cli.Stack;

/// <summary>The small model that is served where none is named. tools/demo-model trains it; its file and SHA-256 lie beside the program.</summary>
internal static class DemoModel
{
    private const string FileName = "demo.gguf";

    /// <returns>The path of the file, whose hash was compared.</returns>
    /// <exception cref="CommandException">It is not there, or not what was trained.</exception>
    public static string Locate() => Locate(AppContext.BaseDirectory);

    public static string Locate(string directory)
    {
        var path = Path.Combine(directory, FileName);
        try
        {
            // As sha256sum writes it: 64 digits, blanks, the name.
            var expected = File.ReadAllText(path + ".sha256").Split(' ', 2)[0];
            using var file = File.OpenRead(path);
            if (string.Equals(Convert.ToHexStringLower(SHA256.HashData(file)), expected, StringComparison.Ordinal))
                return path;
            throw new CommandException(
                $"the demonstration model {path} is damaged: it has another SHA-256.", "build again, or serve a model of your own: --model FILE.gguf",
                ExitCode.Usage);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException(
                $"the demonstration model cannot be read: {e.Message}", "build again, or serve a model of your own: --model FILE.gguf", ExitCode.Usage);
        }
    }
}
