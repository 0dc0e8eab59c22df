using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat policy</c> beyond its transcripts.</summary>
public sealed class PolicyCommandTests
{
    [Fact]
    public async Task Zeros_into_which_nothing_was_measured_are_not_pinned_unless_asked_for()
    {
        var folder = Directory.CreateTempSubdirectory("cchat-policy-");
        try
        {
            var chip = new NodeOnChip();
            var (report, path, policy) = (In("report.bin"), In("vcek.pem"), In("policy.toml"));
            await File.WriteAllBytesAsync(report, chip.Report(new byte[64], measured: 0), TestContext.Current.CancellationToken);
            await File.WriteAllBytesAsync(path, chip.Path(), TestContext.Current.CancellationToken);
            await File.WriteAllBytesAsync(policy, chip.Policy(""), TestContext.Current.CancellationToken);
            var before = await File.ReadAllBytesAsync(policy, TestContext.Current.CancellationToken);

            var refused = await InProcess.RunAsync("policy", "pin", report, "--cert", path, "--policy", policy);
            refused.ExitCode.ShouldBe(7);
            refused.Output.ShouldBeEmpty();
            refused.Errors.ShouldContain("error: nothing is pinned: measurement are zeros: nothing was measured into them, and every program has them.");
            refused.Errors.ShouldContain("--allow-zeros");
            (await File.ReadAllBytesAsync(policy, TestContext.Current.CancellationToken)).ShouldBe(before);

            var allowed = await InProcess.RunAsync("policy", "pin", report, "--cert", path, "--policy", policy, "--allow-zeros");
            allowed.ExitCode.ShouldBe(0, allowed.Errors);
            allowed.Output.ShouldContain($"measurement = {new string('0', 96)}");
            allowed.Errors.ShouldContain("note: zeros, into which nothing was measured: measurement");
            (await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken)).ShouldContain(new string('0', 96));
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        string In(string name) => Path.Combine(folder.FullName, name);
    }

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
