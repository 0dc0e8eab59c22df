namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>On which database a test runs: by the name of its class, or all of them by a variable (<c>./test.sh --slow</c> runs the project so too).</summary>
internal static class StateEngine
{
    private const string Suffix = "OnPostgres";

    private static readonly bool IsForAll = Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_TEST_STATE") == "postgres";

    public static bool IsPostgres => IsForAll || TestContext.Current.TestClass?.TestClassName.EndsWith(Suffix, StringComparison.Ordinal) == true;

    /// <summary>For what is of SQLite's files.</summary>
    public static void OnlySqlite() => Assert.SkipWhen(IsPostgres, "it is about the file of SQLite");
}
