using System.Reflection;
using System.Text.RegularExpressions;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Tests.Attestation.SevSnp;

/// <summary>docs/attestation-coverage.md, "AMD SEV-SNP".</summary>
public sealed class CoverageTests
{
    [Fact]
    public void The_coverage_page_has_a_row_for_each_factor_and_its_tests_are_there()
    {
        var page = File.ReadAllText(Path.Combine(Tree.Root, "docs", "attestation-coverage.md"));
        var rows = Regex.Matches(page, @"^\| `(?<factor>snp\.\w+)` \|[^|]+\| (?<tests>[^|]+) \|$", RegexOptions.Multiline);
        rows.Select(row => row.Groups["factor"].Value).ShouldBe(SevSnpFactors.All.Select(name => name.Value));
        foreach (var row in rows.AsEnumerable())
        {
            var named = Regex.Matches(row.Groups["tests"].Value, @"`(?<type>\w+)\.(?<method>\w+)`");
            named.Count.ShouldBePositive(row.Value);
            foreach (var test in named.AsEnumerable())
            {
                var type = typeof(CoverageTests).Assembly.GetType($"{typeof(CoverageTests).Namespace}.{test.Groups["type"].Value}");
                var method = type?.GetMethod(test.Groups["method"].Value);
                method.ShouldNotBeNull(test.Value);
                method.GetCustomAttributes().ShouldContain(attribute => attribute is FactAttribute, test.Value);
            }
        }
    }
}
