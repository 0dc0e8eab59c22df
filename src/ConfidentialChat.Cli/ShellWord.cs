namespace ConfidentialChat.Cli;

/// <summary>What is printed to be pasted into a shell.</summary>
internal static class ShellWord
{
    /// <summary>As a shell takes it: what is more than letters, digits and a few signs stands in quotes.</summary>
    public static string Of(string value) =>
        value.Length > 0 && value.All(c => char.IsAsciiLetterOrDigit(c) || "/:._-+@%,".Contains(c, StringComparison.Ordinal))
            ? value
            : $"'{value.Replace("'", @"'\''", StringComparison.Ordinal)}'";
}
