using System.Reflection;
using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>docs/architecture.md, "Who may know whom".</summary>
public sealed class ReferenceTests
{
    /// <summary>The packages that each project names; whoever adds one writes it down here and in docs/decisions.</summary>
    private static readonly Dictionary<string, string[]> Packages = new(StringComparer.Ordinal)
    {
        ["ConfidentialChat.Protocol"] = ["NSec.Cryptography", "System.Formats.Cbor"],
        ["ConfidentialChat.Attestation"] = ["Tomlyn"],
        ["ConfidentialChat.Attestation.Simulated"] = [],
        ["ConfidentialChat.Client"] = [],
        ["ConfidentialChat.Extensions.AI"] =
            ["Microsoft.Extensions.AI", "Microsoft.Extensions.Diagnostics.HealthChecks", "Microsoft.Extensions.Options.ConfigurationExtensions"],
        ["ConfidentialChat.Hosting"] = [],
        ["ConfidentialChat.Gateway"] =
            [
                "Microsoft.EntityFrameworkCore.Design", "Microsoft.EntityFrameworkCore.Sqlite", "Npgsql.EntityFrameworkCore.PostgreSQL", "Scalar.AspNetCore",
                "Yarp.ReverseProxy",
            ],
        ["ConfidentialChat.Node"] = ["Scalar.AspNetCore"],
        ["ConfidentialChat.Sidecar"] = ["ZstdSharp.Port"],
        ["ConfidentialChat.FixtureModel"] = [],
        ["ConfidentialChat.Cli"] = ["System.CommandLine", "Tomlyn", "YamlDotNet"],
    };

    [Fact]
    public void Projects_name_each_other_exactly_as_the_architecture_says()
    {
        var drawn = Drawn();
        foreach (var project in Repository.Projects.Values)
            project.ProjectReferences.ShouldBe(drawn[project.Name], project.Name);
    }

    [Fact]
    public void Built_assemblies_know_no_more_of_each_other_than_the_architecture_says()
    {
        var drawn = Drawn();
        foreach (var (project, allowed) in drawn)
        {
            var file = project == "ConfidentialChat.Cli" ? "cchat" : project;
            var assembly = Assembly.LoadFrom(Path.Combine(AppContext.BaseDirectory, file + ".dll"));
            assembly.GetReferencedAssemblies().Select(name => name.Name!)
                .Where(name => name.StartsWith("ConfidentialChat", StringComparison.Ordinal) || name == "cchat")
                .Except(allowed.Length > 0 ? [.. allowed, "ConfidentialChat.Protocol"] : allowed) // through one of them
                .ShouldBeNone($"{project} is to know {string.Join(", ", allowed)} and nobody else (docs/architecture.md).");
        }
    }

    [Theory]
    [InlineData("ConfidentialChat.Node")]
    [InlineData("ConfidentialChat.Gateway")]
    public void What_is_deployed_reaches_neither_the_fixture_model_nor_simulated_evidence_nor_the_command_line(string project)
    {
        var reached = new HashSet<string>(StringComparer.Ordinal);
        Reach(project);
        reached.ShouldNotContain("ConfidentialChat.FixtureModel");
        reached.ShouldNotContain("ConfidentialChat.Cli");
        reached.ShouldNotContain("ConfidentialChat.Attestation.Simulated");

        void Reach(string name)
        {
            if (reached.Add(name))
                Repository.Projects[name].ProjectReferences.ToList().ForEach(Reach);
        }
    }

    [Fact]
    public void Each_project_names_the_packages_that_were_decided_on()
    {
        foreach (var project in Repository.Projects.Values)
            project.PackageReferences.ShouldBe(Packages[project.Name], project.Name);
    }

    [Fact]
    public void Only_the_protocol_sees_a_crypto_library()
    {
        foreach (var (project, _) in Packages.Where(entry => entry.Key != "ConfidentialChat.Protocol"))
        {
            var file = project == "ConfidentialChat.Cli" ? "cchat" : project;
            Assembly.LoadFrom(Path.Combine(AppContext.BaseDirectory, file + ".dll")).GetReferencedAssemblies().Select(name => name.Name!)
                .Where(name => Regex.IsMatch(name, "NSec|libsodium|BouncyCastle", RegexOptions.IgnoreCase))
                .ShouldBeNone($"{project} is to leave cryptography to ConfidentialChat.Protocol.");
        }
    }

    // The arrows of the fenced block under "Who may know whom".
    private static Dictionary<string, string[]> Drawn()
    {
        var block = Regex.Match(Repository.Read("docs/architecture.md"), """## Who may know whom\s+```\n([\s\S]*?)```""").Groups[1].Value;
        var arrows = block.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split('→', StringSplitOptions.TrimEntries)).ToList();
        string[] libraries = [.. arrows.Select(arrow => arrow[0]).Where(name => name is not ("Cli" or "Extensions.AI"))];
        var drawn = arrows.ToDictionary(
            arrow => "ConfidentialChat." + arrow[0],
            arrow => arrow[1] switch
            {
                "nobody" => [],
                "all of them but Extensions.AI, and FixtureModel" => (string[])[.. libraries, "FixtureModel"],
                var names => names.Split(',', StringSplitOptions.TrimEntries),
            },
            StringComparer.Ordinal);
        drawn.Count.ShouldBe(10);
        drawn["ConfidentialChat.FixtureModel"] = []; // it stands beside the drawing and knows nobody
        return drawn.ToDictionary(
            entry => entry.Key,
            entry =>
                entry.Value.Select(name => "ConfidentialChat." + name).Where(name => !IsImplied(name, entry.Value)).Order(StringComparer.Ordinal).ToArray(),
            StringComparer.Ordinal);
    }

    // Whoever names another too that knows the protocol gets it through them and need not name it. Attestation knows nobody.
    private static bool IsImplied(string name, string[] all) =>
        name == "ConfidentialChat.Protocol" && all.Any(other => other is not ("Protocol" or "Attestation" or "Attestation.Simulated"));
}
