namespace ConfidentialChat.Tests;

/// <summary>The working tree that the tests were built from, and what every one of them asks of its run.</summary>
internal static class Tree
{
    /// <summary>The folder of the solution.</summary>
    public static string Root { get; } = Find(AppContext.BaseDirectory);

    /// <summary>Whether whole campaigns run (<c>./test.sh --slow</c>), and not a part of them.</summary>
    public static bool Slow { get; } = Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_SLOW") == "1";

    private static string Find(string from) =>
        File.Exists(Path.Combine(from, "ConfidentialChat.slnx")) ? from
        : Find(Path.GetDirectoryName(from) ?? throw new InvalidOperationException("The tests run within the repository."));
}
