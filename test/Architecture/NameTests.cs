using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>CONTRIBUTING.md: if the only name that comes to mind is Manager, Helper or Util, the noun is not found yet.</summary>
public sealed class NameTests
{
    [Fact]
    public void No_project_folder_or_namespace_is_a_drawer_for_everything()
    {
        const string drawer = "^(Core|Common|Shared|Infrastructure)$";
        var projects = Repository.Projects.Keys.Where(name => name.Split('.').Any(part => Regex.IsMatch(part, drawer)));
        var folders = Repository.Sources.Where(source => source.Path.Split('/')[..^1].Any(part => Regex.IsMatch(part, drawer))).Select(source => source.Path);
        var namespaces =
            from source in Repository.Sources
            from Match match in Regex.Matches(source.Code, @"^\s*namespace\s+(?<name>[\w.]+)", RegexOptions.Multiline)
            where match.Groups["name"].Value.Split('.').Any(part => Regex.IsMatch(part, drawer))
            select $"{source.Path}: {match.Groups["name"].Value}";
        projects.Concat(folders).Concat(namespaces).ShouldBeNone("A project, folder or namespace is named for one thing.");
    }

    [Fact]
    public void No_type_is_called_manager_helper_or_util()
    {
        var findings =
            from source in Repository.Sources
            from Match match in Regex.Matches(source.Code, @"\b(?:class|struct|record|interface|enum)\s+(\w*(?:Manager|Helpers?|Utils?|Utility|Utilities))\b")
            select $"{source.Path}: {match.Groups[1].Value}";
        findings.ShouldBeNone("The noun is not found yet.");
    }

    [Fact]
    public void A_namespace_is_its_projects_and_its_folders()
    {
        var findings =
            from source in Repository.Sources
            from Match match in Regex.Matches(source.Code, @"^namespace\s+(?<name>[\w.]+)", RegexOptions.Multiline)
            let expected = Repository.NamespaceOf(source.Path)
            where match.Groups["name"].Value != expected
            select $"{source.Path}: {match.Groups["name"].Value}, and not {expected}";
        findings.ShouldBeNone("A file's namespace is the root namespace of its project, then its folder; what several sets of tests share is in ConfidentialChat.Tests.");
    }
}
