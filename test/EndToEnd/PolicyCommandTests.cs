using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat policy</c> beyond its transcripts.</summary>
public sealed class PolicyCommandTests
{
    [Fact]
    public async Task What_is_begun_in_a_file_is_what_is_printed()
    {
        var folder = Directory.CreateTempSubdirectory("cchat-policy-");
        try
        {
            var policy = Path.Combine(folder.FullName, "policy.toml");
            (await InProcess.RunAsync("policy", "init", "--output", policy)).ExitCode.ShouldBe(0);
            (await InProcess.RunAsync("policy", "init")).Output.ShouldBe(await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
