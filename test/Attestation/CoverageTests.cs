using System.Reflection;
using System.Text.RegularExpressions;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests;

/// <summary>docs/attestation-coverage.md: each table has a row for each factor, and the tests that a row names are there.</summary>
public sealed class CoverageTests
{
    private static readonly string Page = File.ReadAllText(Path.Combine(Tree.Root, "docs", "attestation-coverage.md"));

    private static readonly Dictionary<string, IEnumerable<string>> Factors = new()
    {
        ["Intel TDX"] = TdxFactors.All.Select(name => name.Value),
        ["AMD SEV-SNP"] = SevSnpFactors.All.Select(name => name.Value),
        ["NVIDIA devices"] = NvidiaFactors.All.Select(name => name.Value),
        ["NRAS tokens"] = NrasFactors.All.Select(name => name.Value),
        ["Bundles"] =
        [
            .. BundleFactors.All.Select(name => name.Value), .. PolicyFactors.All.Select(name => name.Value),
            SimulatedCpuVerifier.Evidence.Value, SimulatedCpuVerifier.Protection.Value,
        ],
    };

    public static TheoryData<string> Tables => [.. Factors.Keys];

    public static TheoryData<string> All => [.. Factors.Keys, "Bounds and hostility"];

    [Theory]
    [MemberData(nameof(Tables))]
    public void A_table_has_a_row_for_each_factor(string section)
    {
        var named = Rows(section).SelectMany(row => Regex.Matches(row[0], @"`(\w+\.\w+)`").Select(name => name.Groups[1].Value)).ToList();
        named.ShouldBeUnique();
        named.ShouldBe(Factors[section], ignoreOrder: true);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void The_tests_that_a_row_names_are_there(string section)
    {
        var rows = Rows(section);
        rows.Count.ShouldBeGreaterThan(8);
        foreach (var row in rows)
        {
            var tests = Regex.Matches(row[^1], @"`(?<type>\w+)\.(?<method>\w+)`");
            tests.Count.ShouldBePositive(row[0]);
            foreach (var test in tests.AsEnumerable())
                IsTest(test.Groups["type"].Value, test.Groups["method"].Value).ShouldBeTrue($"{row[0]}: {test.Value}");
            foreach (Match session in Regex.Matches(row[^1], @"`(?<file>[\w-]+\.txt)`, ""(?<heading>[^""]+)"""))
                IsInTranscript(session.Groups["file"].Value, session.Groups["heading"].Value).ShouldBeTrue($"{row[0]}: {session.Value}");
        }
    }

    // The cells of each row of the section's table, without its head.
    private static List<string[]> Rows(string section)
    {
        var text = Page.Split($"## {section}\n")[1].Split("\n## ")[0];
        return [.. text.Split('\n').Where(line => line.StartsWith("| ", StringComparison.Ordinal)).Skip(1).Select(line => line.Trim('|', ' ').Split(" | "))];
    }

    // The command line's sessions are in a project that this one does not know.
    private static bool IsInTranscript(string file, string heading) =>
        Path.Combine(Tree.Root, "test", "EndToEnd", "Transcripts", file) is var path && File.Exists(path)
        && File.ReadAllLines(path).Contains($"# {heading}");

    private static bool IsTest(string type, string method)
    {
        if (typeof(CoverageTests).Assembly.GetTypes().Where(candidate => candidate.Name == type)
            .Any(candidate => candidate.GetMethod(method)?.GetCustomAttributes().Any(attribute => attribute is FactAttribute) == true))
            return true;
        // Tests of the command line are in a project that this one does not know.
        var file = Path.Combine(Tree.Root, "test", "EndToEnd", $"{type}.cs");
        return File.Exists(file) && Regex.IsMatch(File.ReadAllText(file), $@"\[(?:Fact|Theory)\]\s(?:\s*\[InlineData.*\]\s)*\s*public (?:async )?\w+(?:<\w+>)? {method}\(");
    }
}
