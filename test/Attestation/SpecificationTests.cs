using System.Text.RegularExpressions;
using ConfidentialChat.Attestation.Bundles;

namespace ConfidentialChat.Attestation.Tests;

/// <summary>spec/attestation.md and the code name the same things.</summary>
public sealed class SpecificationTests
{
    private static readonly string Text = File.ReadAllText(Path.Combine(Tree.Root, "spec", "attestation.md"));

    [Fact]
    public void Specification_and_code_have_the_same_factors()
    {
        // The checks are list items: a number, then the names in back quotes before the dash.
        var specified = Regex.Matches(Text, @"^\d+\. (?<names>(?:`\w+\.\w+`(?:, )?)+)", RegexOptions.Multiline)
            .SelectMany(item => Regex.Matches(item.Groups["names"].Value, @"`(\w+\.\w+)`").Select(name => name.Groups[1].Value)).ToList();
        specified.ShouldBeUnique();
        specified.Where(name => !name.StartsWith("simulated.", StringComparison.Ordinal))
            .ShouldBe(FactorNames.All.Select(name => name.Value), ignoreOrder: true);
    }

    [Fact]
    public void Specification_and_code_have_the_same_rejection_codes()
    {
        var specified = Regex.Matches(Text, @"^\| (?<code>[A-Z_]+) \|", RegexOptions.Multiline).Select(row => row.Groups["code"].Value);
        Enum.GetValues<RejectionCode>().Select(code => code.Spell()).ShouldBe(specified, ignoreOrder: true);
    }

    [Fact]
    public void Factors_have_one_name_each() => FactorNames.All.Select(name => name.Value).ShouldBeUnique();
}
