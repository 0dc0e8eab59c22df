using Xunit.v3;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>
/// On which database a test runs: by the name of its class, or all of them by a variable (<c>./test.sh --slow</c> runs the project so too); but what is
/// of SQLite's file on that.
/// </summary>
internal static class StateEngine
{
    private const string Suffix = "OnPostgres";

    private static readonly bool IsForAll = Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_TEST_STATE") == "postgres";

    public static bool IsPostgres => (IsForAll || TestContext.Current.TestClass?.TestClassName.EndsWith(Suffix, StringComparison.Ordinal) == true)
        && TestContext.Current.TestMethod?.Traits.ContainsKey(OfSqliteFileAttribute.Trait) != true;
}

/// <summary>What the file of SQLite does, and no server: a run on PostgreSQL leaves it out (<c>--filter-not-trait Database=file</c>).</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class OfSqliteFileAttribute : Attribute, ITraitAttribute
{
    public const string Trait = "Database";

    public IReadOnlyCollection<KeyValuePair<string, string>> GetTraits() => [new(Trait, "file")];
}
