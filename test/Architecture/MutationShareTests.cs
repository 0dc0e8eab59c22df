using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>docs/mutation.md: what verifies evidence is mutated, all of it, a share each day.</summary>
public sealed class MutationShareTests
{
    private const string Verifier = "src/ConfidentialChat.Attestation/";

    private static readonly List<string> Globs =
    [
        .. from Match row in Regex.Matches(
               Repository.Read("test/Mutation/mutate.sh"), """^  "[\w-]+ (?<project>\w+) \w+ (?<globs>[^"]+)"$""", RegexOptions.Multiline)
           from glob in row.Groups["globs"].Value.Split(' ')
           select $"src/ConfidentialChat.{row.Groups["project"].Value}/{glob}",
    ];

    private static readonly List<string> Paths = [.. Repository.Sources.Where(source => source.IsIn("src")).Select(source => source.Path)];

    [Fact]
    public void Each_share_names_files_that_are_there() =>
        Globs.Where(glob => !Paths.Exists(path => Matches(glob, path))).ShouldBeNone("A share without its file would pass for ever.");

    [Fact]
    public void Every_file_of_the_verifier_is_in_a_share_or_is_said_not_to_be()
    {
        var left = Regex.Match(Repository.Read("docs/mutation.md"), @"## Not mutated\n([\s\S]*?)(\n## |$)").Groups[1].Value;
        Paths.Where(path => path.StartsWith(Verifier, StringComparison.Ordinal))
            .Where(path => !Globs.Exists(glob => Matches(glob, path)) && !left.Contains($"`{path[Verifier.Length..]}`", StringComparison.Ordinal))
            .ShouldBeNone("A file that no share names is never mutated: name it in test/Mutation/mutate.sh, or in docs/mutation.md with why not.");
    }

    private static bool Matches(string glob, string path) => Regex.IsMatch(path, $"^{Regex.Escape(glob).Replace("\\*", "[^/]*", StringComparison.Ordinal)}$");
}
