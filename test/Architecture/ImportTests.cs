using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>The one rule of the format that neither the build nor <c>dotnet format whitespace</c> holds.</summary>
public sealed class ImportTests
{
    [Fact]
    public void Imports_stand_in_order_System_first_and_static_ones_and_aliases_last()
    {
        var findings =
            from source in Repository.Sources
            let imports = Regex.Matches(source.Code, @"^using (?<kind>static |\w+ = )?(?<name>[\w.]+);", RegexOptions.Multiline).ToList()
            where !imports.Select(Place).SequenceEqual(imports.Select(Place).Order(StringComparer.OrdinalIgnoreCase), StringComparer.Ordinal)
            select source.Path;
        findings.ShouldBeNone("just format puts imports in order.");
    }

    // A part of a name comes before whatever is longer: no letter is below a blank.
    private static string Place(Match import)
    {
        var (kind, name) = (import.Groups["kind"].Value, import.Groups["name"].Value);
        var group = kind == "" ? 0 : kind == "static " ? 1 : 2;
        return $"{group} {(name == "System" || name.StartsWith("System.", StringComparison.Ordinal) ? 0 : 1)} {(group == 2 ? kind : name).Replace('.', ' ')}";
    }
}
