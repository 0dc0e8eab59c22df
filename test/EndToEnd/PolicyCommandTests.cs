using System.Security.Cryptography;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat policy</c>, as transcripts: begun, pinned, and what <c>cchat verify</c> then says.</summary>
public sealed class PolicyCommandTests : IDisposable
{
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("cchat-policy-");

    [Fact]
    public async Task A_policy_is_begun_pinned_and_holds_what_was_pinned()
    {
        var policy = Path.Combine(folder.FullName, "policy.toml");
        (await RunAsync("policy", "init", "--output", policy)).ExitCode.ShouldBe(0);
        (await RunAsync("policy", "init", "--output", policy)).ExitCode.ShouldBe(2, "it is there already");
        (await RunAsync("policy", "init")).Output.ShouldBe(await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken));

        var (exitCode, output, errors) = await RunAsync("policy", "pin", Vectors.Locate($"{VerifyTests.Accepted}/quote.bin"), "--collateral", Vectors.Locate(VerifyTests.Accepted), "--at", VerifyTests.At, "--policy", policy);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain($"mr_td = {VerifyTests.MrTd}\n");
        (await VerifyTests.VerifyAsync(VerifyTests.Accepted, "--policy", policy)).Output.ShouldContain("PASS  tdx.mr_td");

        // Another program on another platform is authentic, and not this one.
        const string other = "tdx/09-v4-dstack-eventlog-90c06f";
        var refused = await RunAsync("verify", "tdx", Vectors.Locate($"{other}/quote.bin"), "--collateral", Vectors.Locate(other), "--at", "2026-02-25T00:45:50Z", "--policy", policy);
        refused.ExitCode.ShouldBe(7);
        refused.Errors.ShouldContain("tdx.mr_td (MISMATCH)");

        // What does not verify is not pinned, and the policy stays as it is.
        var before = await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken);
        (await RunAsync("policy", "pin", Vectors.Locate($"{VerifyTests.Accepted}/quote.bin"), "--collateral", Vectors.Locate(VerifyTests.Accepted), "--policy", policy)).ExitCode.ShouldBe(7);
        (await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken)).ShouldBe(before);
    }

    [Fact]
    public async Task A_bundle_of_a_chip_is_refused_until_its_measurement_is_pinned_and_then_accepted()
    {
        var chip = new NodeOnChip();
        var (bundle, policy) = (await WriteAsync("bundle.json", chip.Bundle()), await WriteAsync("policy.toml", chip.Policy("")));
        var (exitCode, _, errors) = await RunAsync("verify", bundle, "--policy", policy);
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain("error: the evidence is refused: snp.measurement (NO_REFERENCE)\n");

        (exitCode, var output, errors) = await RunAsync("policy", "pin", bundle, "--policy", policy);
        exitCode.ShouldBe(0, errors);
        output.ShouldBe($"measurement = {NodeOnChip.Measurement}\n");
        errors.ShouldContain("note: this pins what ran there");
        (exitCode, output, errors) = await RunAsync("verify", bundle, "--policy", policy);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain($"PASS  snp.measurement             expected {NodeOnChip.Measurement}; found {NodeOnChip.Measurement}\n");
        errors.ShouldContain("warning: policy.test_roots");

        // A second program stands beside the first, or in its place.
        var later = await WriteAsync("later.json", chip.Bundle(measured: 0x5F));
        (await RunAsync("verify", later, "--policy", policy)).Errors.ShouldContain("snp.measurement (MISMATCH)");
        (await RunAsync("policy", "pin", later, "--policy", policy)).ExitCode.ShouldBe(0);
        (await RunAsync("verify", bundle, "--policy", policy)).ExitCode.ShouldBe(0);
        (await RunAsync("verify", later, "--policy", policy)).ExitCode.ShouldBe(0);
        (await RunAsync("policy", "pin", later, "--policy", policy, "--replace")).ExitCode.ShouldBe(0);
        (await RunAsync("verify", bundle, "--policy", policy)).Errors.ShouldContain("snp.measurement (MISMATCH)");
        (await RunAsync("verify", later, "--policy", policy)).ExitCode.ShouldBe(0);
    }

    [Fact]
    public async Task A_bundle_for_a_challenge_is_pinned_with_it_where_the_policy_wants_one()
    {
        var chip = new NodeOnChip();
        var nonce = RandomNumberGenerator.GetBytes(32);
        var bundle = await WriteAsync("bundle.json", chip.Bundle(nonce: nonce));
        var policy = await WriteAsync("policy.toml", chip.Policy("[freshness]\nrequire_nonce = true"));
        (await RunAsync("policy", "pin", bundle, "--policy", policy)).Errors.ShouldContain("bundle.nonce (MISSING)");
        (await RunAsync("policy", "pin", bundle, "--policy", policy, "--nonce", new string('0', 64))).Errors.ShouldContain("bundle.nonce (MISMATCH)");
        (await RunAsync("policy", "pin", bundle, "--policy", policy, "--nonce", "00")).ExitCode.ShouldBe(2);
        var (exitCode, _, errors) = await RunAsync("policy", "pin", bundle, "--policy", policy, "--nonce", Convert.ToHexString(nonce));
        exitCode.ShouldBe(0, errors);
        (await RunAsync("verify", bundle, "--policy", policy, "--nonce", Convert.ToHexString(nonce))).ExitCode.ShouldBe(0);
    }

    [Fact]
    public async Task The_measurement_of_a_report_is_pinned()
    {
        var policy = Path.Combine(folder.FullName, "snp.toml");
        string[] genoa = [Vectors.Locate("snp/04-genoa-v5/report.bin"), "--cert", Vectors.Locate("snp/04-genoa-v5/vcek.der"), "--at", "2026-03-01T00:00:00Z", "--policy", policy];
        (await RunAsync(["policy", "pin", .. genoa])).ExitCode.ShouldBe(0);
        (await RunAsync(["verify", "snp", .. genoa])).Output.ShouldContain("PASS  snp.measurement");
        var other = await RunAsync("verify", "snp", Vectors.Locate("snp/05-milan-v3/report.bin"), "--cert", Vectors.Locate("snp/05-milan-v3/vcek.der"), "--at", "2026-03-01T00:00:00Z", "--policy", policy);
        other.ExitCode.ShouldBe(7);
        other.Errors.ShouldContain("error: the evidence is refused: snp.measurement (MISMATCH)");
        // A list that is none is refused here too, and nothing is pinned.
        var listed = await RunAsync(["policy", "pin", .. genoa, "--crl", Vectors.Locate("snp/04-genoa-v5/vcek.der")]);
        listed.ExitCode.ShouldBe(7);
        listed.Errors.ShouldContain("snp.crl (MALFORMED)");
    }

    [Fact]
    public async Task What_pinning_only_shows_is_printed()
    {
        var policy = Path.Combine(folder.FullName, "advisory.toml");
        await File.WriteAllTextAsync(policy, "version = 1\nadvisory = [\"snp.smt\"]\n[sev_snp]\nallow_smt = false\n", TestContext.Current.CancellationToken);
        var (exitCode, _, errors) = await RunAsync(
            "policy", "pin", Vectors.Locate("snp/04-genoa-v5/report.bin"), "--cert", Vectors.Locate("snp/04-genoa-v5/vcek.der"), "--at", "2026-03-01T00:00:00Z", "--policy", policy);
        exitCode.ShouldBe(0, errors);
        errors.ShouldContain("warning: snp.smt: expected SMT 0; found SMT 1");
    }

    public void Dispose() => folder.Delete(recursive: true);

    private static Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] arguments) => InProcess.RunAsync(arguments);

    private async Task<string> WriteAsync(string name, byte[] content)
    {
        var path = Path.Combine(folder.FullName, name);
        await File.WriteAllBytesAsync(path, content, TestContext.Current.CancellationToken);
        return path;
    }
}
