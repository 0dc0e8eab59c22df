namespace ConfidentialChat.Tests;

/// <summary>
/// What a run should be told of although nothing failed. It stands in the reports of the tests, and in the file that
/// <see cref="Variable"/> names: <c>test.sh</c> prints it at its end, for a runner shows nothing of a test that passed.
/// </summary>
internal static class Warnings
{
    public const string Variable = "CONFIDENTIALCHAT_WARNINGS";

    public static void Add(string warning)
    {
        TestContext.Current.AddWarning(warning);
        Print(warning);
    }

    /// <summary>Where no test runs that it could stand with.</summary>
    public static void Print(string warning)
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } file)
            File.AppendAllText(file, warning + "\n");
    }
}
