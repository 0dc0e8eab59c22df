using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>The working tree that these tests were built from.</summary>
internal static class Repository
{
    // By the folder of the project.
    private static readonly Dictionary<string, string> RootNamespaces = new[] { "src", "test" }
        .SelectMany(folder => Under(folder, "*.csproj"))
        .ToDictionary(path => Relative(Path.GetDirectoryName(path)!), path => new Project(path).RootNamespace, StringComparer.Ordinal);

    /// <summary>The projects under <c>src/</c>, by name.</summary>
    public static IReadOnlyDictionary<string, Project> Projects { get; } = Directory
        .GetFiles(Path.Combine(Tree.Root, "src"), "*.csproj", SearchOption.AllDirectories)
        .Select(path => new Project(path))
        .ToDictionary(project => project.Name, StringComparer.Ordinal);

    /// <summary>Source files written by hand, under <c>src/</c> and <c>test/</c>.</summary>
    public static IReadOnlyList<SourceFile> Sources { get; } = [.. Under("src", "*.cs").Concat(Under("test", "*.cs")).Select(path => new SourceFile(path))];

    /// <summary>Every source file, with benchmarks and samples.</summary>
    public static IEnumerable<SourceFile> AllSources =>
        [.. Sources, .. Under("bench", "*.cs").Concat(Under("samples", "*.cs")).Select(path => new SourceFile(path))];

    public static IEnumerable<string> MarkdownFiles =>
        Directory.GetFiles(Tree.Root, "*.md").Concat(new[] { "docs", "spec", "src", "test" }.SelectMany(folder => Under(folder, "*.md")));

    /// <summary>The namespace of a source file at this path.</summary>
    public static string NamespaceOf(string path)
    {
        var folder = path[..path.LastIndexOf('/')];
        for (var project = folder; project.Contains('/', StringComparison.Ordinal); project = project[..project.LastIndexOf('/')])
        {
            if (RootNamespaces.TryGetValue(project, out var root))
                return (root + folder[project.Length..]).Replace('/', '.');
        }

        return "ConfidentialChat.Tests";
    }

    public static string Read(string relativePath) => File.ReadAllText(Path.Combine(Tree.Root, relativePath));

    public static string Relative(string path) => Path.GetRelativePath(Tree.Root, path).Replace('\\', '/');

    private static IEnumerable<string> Under(string folder, string pattern) =>
        Directory.GetFiles(Path.Combine(Tree.Root, folder), pattern, SearchOption.AllDirectories)
            .Where(path => !Regex.IsMatch(Relative(path), "(^|/)(bin|obj|artifacts|node_modules)/"));
}

/// <summary>A project file, as it stands.</summary>
internal sealed class Project
{
    public Project(string path)
    {
        Name = Path.GetFileNameWithoutExtension(path);
        var xml = XDocument.Load(path);
        RootNamespace = xml.Descendants("RootNamespace").SingleOrDefault()?.Value ?? Name;
        ProjectReferences =
        [
            .. Includes(xml, "ProjectReference").Select(include => Path.GetFileNameWithoutExtension(include.Replace('\\', '/'))).Order(StringComparer.Ordinal),
        ];
        PackageReferences = [.. Includes(xml, "PackageReference")];
    }

    public string Name { get; }

    public string RootNamespace { get; }

    public IReadOnlyList<string> ProjectReferences { get; }

    public IReadOnlyList<string> PackageReferences { get; }

    private static IEnumerable<string> Includes(XDocument xml, string element) =>
        xml.Descendants(element).Select(item => item.Attribute("Include")!.Value).Order(StringComparer.Ordinal);
}

/// <summary>A source file with its comments, and without them.</summary>
internal sealed class SourceFile
{
    public SourceFile(string path)
    {
        Path = Repository.Relative(path);
        Text = File.ReadAllText(path);
        Code = WithoutComments(Text);
    }

    /// <summary>From the root, with slashes.</summary>
    public string Path { get; }

    public string Text { get; }

    /// <summary>The text with its comments taken out; strings stay.</summary>
    public string Code { get; }

    public bool IsIn(string folder) => Path.StartsWith(folder + "/", StringComparison.Ordinal);

    public override string ToString() => Path;

    // Strings come first in the alternation, so that "//" within one is no comment.
    private static string WithoutComments(string text) => Regex.Replace(
        text,
        """("{3,})[\s\S]*?\1|@"(?:[^"]|"")*"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'|(//[^\n]*|/\*[\s\S]*?\*/)""",
        match => match.Groups[2].Success ? "" : match.Value);
}

internal static class Findings
{
    /// <summary>Fails with one line for each thing found, and the rule that it breaks.</summary>
    public static void ShouldBeNone(this IEnumerable<string> findings, string rule)
    {
        var lines = findings.Distinct().Order(StringComparer.Ordinal).ToArray();
        if (lines.Length > 0)
            Assert.Fail($"{rule}\n{string.Join('\n', lines)}");
    }
}
