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

    /// <summary>Where the framework gives the name, an override or an implementation keeps it.</summary>
    [Fact]
    public void What_every_project_has_is_called_the_same_in_each()
    {
        const string framework = @"\boverride\b|\b(?:Start|Started|Starting|Stop|Stopped|Stopping|WaitForStart|Bind|Unbind|Accept)Async\(";
        var findings =
            from source in Repository.Sources
            where source.IsIn("src")
            from Match match in Regex.Matches(
                source.Code, @"\b(?<type>CancellationToken|TimeProvider|ILogger(?:<\w+>)?|ILoggerFactory)\??\s+(?<name>[a-z]\w*)")
            let name = match.Groups["name"].Value
            let declaration = source.Code[(source.Code.LastIndexOfAny([';', '{', '}'], match.Index) + 1)..match.Index]
            let isWrong = match.Groups["type"].Value switch
            {
                "CancellationToken" => Regex.IsMatch(name, "^(?:cancel|ct|token|cancelToken)$")
                    || (name == "cancellationToken" && !Regex.IsMatch(declaration, framework)),
                "TimeProvider" => name != "time",
                "ILoggerFactory" => name != "logs",
                _ => name != "log",
            }
            where isWrong
            select $"{source.Path}: {match.Groups["type"].Value} {name}";
        findings.ShouldBeNone("CONTRIBUTING.md has the words.");
    }

    [Fact]
    public void No_two_projects_call_two_things_by_one_name()
    {
        // One thing in two places: its two ends on a wire, or what each server has of its own. A Rejection is a request's and an evidence's:
        // Attestation and Protocol know nobody, each other neither.
        string[] same = ["ApiDocs", "ChatMessage", "EmbeddingRequest", "LockAnswer", "LockRequest", "Log", "Model", "ModelList", "Rejection"];
        var findings =
            from source in Repository.Sources
            where source.IsIn("src")
            from Match match in Regex.Matches(
                source.Code, @"^(?:[a-z]+ )*(?:class|struct|record|interface|enum) (?:struct |class )?(?<name>\w+)", RegexOptions.Multiline)
            group source.Path.Split('/')[1] by match.Groups["name"].Value into uses
            where uses.Distinct().Skip(1).Any() && !same.Contains(uses.Key)
            select $"{uses.Key}: {string.Join(", ", uses.Distinct().Order(StringComparer.Ordinal))}";
        findings.ShouldBeNone("One of the two has a better noun.");
    }
}
