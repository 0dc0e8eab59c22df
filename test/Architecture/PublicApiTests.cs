using System.Reflection;
using System.Runtime.CompilerServices;
using ConfidentialChat.Attestation;
using ConfidentialChat.Client;
using ConfidentialChat.Extensions.AI;
using ConfidentialChat.Protocol.V1;
using PublicApiGenerator;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>What users compile against changes knowingly or not at all.</summary>
public sealed class PublicApiTests
{
    private const string Accept = "CONFIDENTIALCHAT_ACCEPT_API";

    [Fact]
    public void The_protocols_public_api_is_the_accepted_one() => ShouldBeAccepted(typeof(SealedRequest).Assembly);

    [Fact]
    public void The_clients_public_api_is_the_accepted_one() => ShouldBeAccepted(typeof(ConfidentialChatClient).Assembly);

    [Fact]
    public void The_public_api_for_Microsoft_Extensions_AI_is_the_accepted_one() => ShouldBeAccepted(typeof(ConfidentialChatClientExtensions).Assembly);

    [Fact]
    public void The_verifiers_public_api_is_the_accepted_one() => ShouldBeAccepted(typeof(Verdict).Assembly);

    private static void ShouldBeAccepted(Assembly assembly)
    {
        var name = assembly.GetName().Name!;
        var actual = assembly.GeneratePublicApi(new ApiGeneratorOptions
        {
            IncludeAssemblyAttributes = false,
            ExcludeAttributes = [typeof(CompilerGeneratedAttribute).FullName!, "System.CodeDom.Compiler.GeneratedCodeAttribute"],
        }).ReplaceLineEndings("\n").TrimEnd() + "\n";
        var path = Path.Combine(Tree.Root, "test", "Architecture", "PublicApi", name + ".txt");
        if (Environment.GetEnvironmentVariable(Accept) == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, actual);
        }

        var accepted = File.Exists(path) ? File.ReadAllText(path).ReplaceLineEndings("\n") : "";
        var (added, gone) = (Except(actual, accepted), Except(accepted, actual));
        if (accepted != actual)
        {
            Assert.Fail(
                $"The public API of {name} is not the accepted one.\n{added}{gone}"
                + $"hint: if this is meant, accept it: {Accept}=1 dotnet run --project test/Architecture --configuration Release");
        }

        string Except(string left, string right) =>
            string.Concat(left.Split('\n').Except(right.Split('\n')).Select(line => $"{(ReferenceEquals(left, actual) ? '+' : '-')} {line.Trim()}\n"));
    }
}
