namespace ConfidentialChat.Tests.Attestation;

/// <summary>The working tree, and what every test here asks of it.</summary>
internal static class Tree
{
    public static string Root { get; } = Find(AppContext.BaseDirectory);

    public static bool Slow => Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_SLOW") == "1";

    private static string Find(string from) =>
        File.Exists(Path.Combine(from, "ConfidentialChat.slnx")) ? from
        : Find(Path.GetDirectoryName(from) ?? throw new InvalidOperationException("The tests run within the repository."));
}
