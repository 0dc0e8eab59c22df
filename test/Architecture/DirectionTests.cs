using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>docs/architecture.md, "Who may know whom", within a project: the compiler would let any folder name any other.</summary>
public sealed class DirectionTests
{
    private const string Verifier = "src/ConfidentialChat.Attestation";
    private const string Gateway = "src/ConfidentialChat.Gateway";
    private const string Engines = "src/ConfidentialChat.Node/Inference";
    private const string Protocol = "src/ConfidentialChat.Protocol";

    /// <summary>Whose evidence is verified; each is a folder and a namespace.</summary>
    private static readonly string[] Vendors = ["Tdx", "SevSnp", "Nvidia"];

    /// <summary>The namespaces of envelopes; each is a folder of that name, in whichever project has a part of it.</summary>
    private static readonly string[] Envelopes = ["V1", "V2", "Oblivious"];

    /// <summary>The gateway's composition, and the one table of its answers' types.</summary>
    private static readonly string[] Composition = [$"{Gateway}/GatewayHost.cs", $"{Gateway}/GatewayJson.cs"];

    [Fact]
    public void Verification_does_not_name_a_bundle() =>
        Names(Below(Verifier).Where(source => !source.IsIn($"{Verifier}/Bundles")), "Bundles")
            .ShouldBeNone("A bundle is one way to carry evidence. Raw evidence is verified without one, so a bundle knows verification, never the other way round.");

    [Fact]
    public void What_bundles_and_vendors_share_names_neither() =>
        Imports(Below(Verifier).Where(source => IsAtRoot(source, Verifier)), [.. Vendors, "Bundles"])
            .ShouldBeNone("The contracts stand between a bundle and who verifies a part of it. One that named an end would close a circle.");

    [Theory]
    [InlineData("Tdx")]
    [InlineData("SevSnp")]
    [InlineData("Nvidia")]
    public void A_vendor_does_not_name_another(string vendor) =>
        Imports(Below(Verifier).Where(source => source.IsIn($"{Verifier}/{vendor}")), [.. Vendors.Where(other => other != vendor)])
            .ShouldBeNone("Each is verified by what its own documents say. What two share goes to the root, or to Certificates/ and Policies/.");

    [Fact]
    public void Routing_does_not_name_an_envelope() =>
        Names(Below(Gateway).Where(source => !IsEnvelope(source) && !Composition.Contains(source.Path)), Envelopes)
            .ShouldBeNone("What authenticates, meters and relays serves every envelope alike. One that it named could not be taken away, nor another added beside it.");

    [Fact]
    public void Engines_do_not_name_an_envelope() =>
        Names(Below(Engines), Envelopes).ShouldBeNone("An engine is asked the same whichever envelope a request came in.");

    [Fact]
    public void What_envelopes_share_does_not_name_one() =>
        Names(Below(Protocol).Where(source => source.IsIn($"{Protocol}/Errors") || source.IsIn($"{Protocol}/Relay") || IsAtRoot(source, Protocol)), Envelopes)
            .ShouldBeNone("Ids, units, errors and relay messages are of no envelope: gateway, node and engines take them without knowing in which one a request came.");

    [Theory]
    [InlineData("Ledger.cs")]
    [InlineData("ILedgerRows.cs")]
    public void The_ledger_names_no_database(string file) =>
        Finds(
            Below(Gateway).Where(source => source.Path == $"{Gateway}/Metering/{file}"),
            @"\w*sqlite\w*|\bEntityFramework\w*|\bSystem\.Data\b|\bDatabase\b|(?-i:\b\w*Db[A-Z]\w*)")
            .ShouldBeNone("The rules of metering hold on every database: how one decides a race is its dialect's matter, under State/.");

    [Fact]
    public void No_import_holds_for_a_whole_project()
    {
        var files = Finds(Repository.Sources.Where(source => source.IsIn("src")), @"\bglobal\s+using\b");
        var projects =
            from path in Directory.GetFiles(Path.Combine(Tree.Root, "src"), "*.csproj", SearchOption.AllDirectories)
                .Append(Path.Combine(Tree.Root, "Directory.Build.props"))
            where Regex.IsMatch(File.ReadAllText(path), @"<Using\b")
            select Repository.Relative(path);
        files.Concat(projects).ShouldBeNone("Such an import would keep the rules above from seeing who names whom.");
    }

    private static IEnumerable<SourceFile> Below(string project) => Repository.Sources.Where(source => source.IsIn(project));

    private static bool IsAtRoot(SourceFile source, string project) =>
        source.IsIn(project) && !source.Path[(project.Length + 1)..].Contains('/', StringComparison.Ordinal);

    private static bool IsEnvelope(SourceFile source) => source.Path.Split('/')[..^1].Any(Envelopes.Contains);

    private static List<string> Names(IEnumerable<SourceFile> sources, params string[] namespaces) =>
        Finds(sources, $@"(?-i:\b(?:{string.Join('|', namespaces)})\b)");

    // A namespace, in a using or before a type: as a name of something else, a member say, the words are free.
    private static List<string> Imports(IEnumerable<SourceFile> sources, params string[] namespaces) =>
        Finds(sources, $@"(?-i:\bConfidentialChat\.Attestation\.(?:{string.Join('|', namespaces)})\b|(?<![.\w])(?:{string.Join('|', namespaces)})\.[A-Z])");

    // A rule that no file falls under any more would hold for ever.
    private static List<string> Finds(IEnumerable<SourceFile> sources, string pattern)
    {
        var files = sources.ToList();
        files.ShouldNotBeEmpty();
        return
        [
            .. from source in files
               from Match match in Regex.Matches(source.Code, pattern, RegexOptions.IgnoreCase)
               select $"{source.Path}: {match.Value}",
        ];
    }
}
