using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat verify --node</c> against gateways that are not honest. What an honest one's node shows is a transcript.</summary>
public sealed class VerifyNodeTests : IDisposable
{
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("cchat-verify-node-");
    private readonly NodeOnChip chip = new();
    private readonly string policy;

    public VerifyNodeTests()
    {
        policy = Path.Combine(folder.FullName, "policy-of-chip.toml");
        File.WriteAllBytes(policy, chip.Policy($"measurement = [\"{NodeOnChip.Measurement}\"]"));
        File.WriteAllText(Path.Combine(folder.FullName, "api-key"), "cc_abcdefgh_of-a-test\n");
    }

    public void Dispose() => folder.Delete(recursive: true);

    [Fact]
    public async Task A_bundle_is_fetched_verified_and_kept_for_whoever_wants_to_pin_it()
    {
        await using var gateway = await LyingGateway.StartAsync(_ => (200, chip.Bundle()));
        var kept = Path.Combine(folder.FullName, "bundle.json");
        var (exitCode, output, errors) = await VerifyAsync(gateway, 3, "--output", kept);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("PASS  snp.measurement ");
        output.ShouldContain("accepted; not checked: ");
        gateway.Paths.ShouldBe(["/v2/nodes/3/evidence"]);
        (await InProcess.RunAsync("verify", kept, "--policy", policy)).Output.ShouldBe(output);

        (exitCode, _, errors) = await VerifyAsync(gateway, 3, "--output", kept);
        exitCode.ShouldBe(2, errors);
        errors.ShouldContain("hint: name a file that is not there yet");
    }

    [Fact]
    public async Task One_that_is_refused_is_kept_too_and_its_factors_are_those_of_a_file()
    {
        await using var gateway = await LyingGateway.StartAsync(_ => (200, chip.Bundle(measured: 0x5F)));
        var kept = Path.Combine(folder.FullName, "bundle.json");
        var (exitCode, output, errors) = await VerifyAsync(gateway, 3, "--output", kept, "--json");
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain("error: the evidence is refused: snp.measurement (MISMATCH)\n");
        JsonElement.Parse(output).GetProperty("accepted").GetBoolean().ShouldBeFalse();
        File.Exists(kept).ShouldBeTrue();
    }

    [Fact]
    public async Task The_bundle_of_another_node_is_refused_however_genuine()
    {
        await using var gateway = await LyingGateway.StartAsync(_ => (200, chip.Bundle()));
        foreach (var arguments in (string[][])[[], ["--json"]])
        {
            var (exitCode, output, errors) = await VerifyAsync(gateway, 4, arguments);
            (exitCode, output).ShouldBe((7, ""), errors); // nothing that a program could take for acceptance
            errors.ShouldContain("that of node 3, and node 4 was asked for");
        }
    }

    [Fact]
    public async Task Evidence_for_a_challenge_is_accepted_when_it_was_made_for_this_one()
    {
        await using var gateway = await LyingGateway.StartAsync(request => (200, Live(SHA256.HashData([0, .. ChallengeIn(request)]))));
        var (exitCode, output, errors) = await VerifyAsync(gateway, 3, "--challenge");
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("PASS  bundle.nonce ");
        (await VerifyAsync(gateway, 3, "--challenge")).Output.ShouldNotBe(output); // each has another challenge
    }

    [Fact]
    public async Task Evidence_that_was_made_for_an_earlier_challenge_is_refused()
    {
        byte[]? first = null;
        await using var gateway = await LyingGateway.StartAsync(request => (200, first ??= Live(SHA256.HashData([0, .. ChallengeIn(request)]))));
        (await VerifyAsync(gateway, 3, "--challenge")).ExitCode.ShouldBe(0);
        var (exitCode, _, errors) = await VerifyAsync(gateway, 3, "--challenge");
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain("bundle.nonce (MISMATCH)");
    }

    [Theory]
    [InlineData("{}", "MALFORMED")]
    [InlineData("PATH", "its path fits no tree")]
    [InlineData("BUNDLE", "MALFORMED")]
    public async Task What_answers_no_challenge_is_refused_and_kept_nowhere(string answer, string said)
    {
        await using var gateway = await LyingGateway.StartAsync(request => (200, answer switch
        {
            "PATH" => Live(SHA256.HashData([0, .. ChallengeIn(request)]), size: 2),
            "BUNDLE" => chip.Bundle(),
            _ => Encoding.UTF8.GetBytes(answer),
        }));
        var kept = Path.Combine(folder.FullName, "bundle.json");
        var (exitCode, output, errors) = await VerifyAsync(gateway, 3, "--challenge", "--output", kept);
        (exitCode, output).ShouldBe((7, ""), errors);
        errors.ShouldContain(said);
        File.Exists(kept).ShouldBeFalse();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_without_an_end_is_read_to_its_bound_and_refused(bool challenge)
    {
        await using var gateway = await LyingGateway.StartAsync(_ => (200, new byte[32 << 20]));
        var (exitCode, _, errors) = await VerifyAsync(gateway, 3, challenge ? ["--challenge"] : []);
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain("TOO_LARGE");
    }

    [Theory]
    [InlineData(401, "", 4, "does not know this API key")]
    [InlineData(404, "{\"code\":\"NOT_FOUND\"}", 4, "no evidence of a node 3 (NOT_FOUND)")]
    [InlineData(404, "", 4, "no evidence of a node 3.")]
    [InlineData(503, "{\"code\":\"SERVICE_UNAVAILABLE\"}", 4, "hint: try again")]
    [InlineData(302, "", 4, "answered 302")]
    [InlineData(500, "{\"code\":\"\u001b[2J\",\"title\":\"obey me\"}", 4, "answered 500 (InternalServerError)")]
    [InlineData(200, "\u001b[2J", 7, "bundle.format (MALFORMED)")]
    public async Task What_a_gateway_answers_is_said_in_our_words(int status, string body, int expected, string said)
    {
        await using var gateway = await LyingGateway.StartAsync(_ => (status, Encoding.UTF8.GetBytes(body)));
        var (exitCode, _, errors) = await VerifyAsync(gateway, 3);
        exitCode.ShouldBe(expected, errors);
        errors.ShouldContain(said);
        errors.ShouldNotContain("obey me");
        errors.ShouldNotContain("\u001b");
    }

    [Fact]
    public async Task A_gateway_that_is_not_there_is_exit_code_5()
    {
        var closed = await LyingGateway.StartAsync("");
        var url = closed.Url;
        await closed.DisposeAsync();
        var (exitCode, _, errors) = await InProcess.RunAsync(
            "verify", "--node", "3", "--gateway", url.ToString(), "--data", folder.FullName, "--policy", policy);
        exitCode.ShouldBe(5, errors);
        errors.ShouldContain($"The gateway at {url.GetLeftPart(UriPartial.Authority)} could not be reached");
    }

    private Task<(int ExitCode, string Output, string Errors)> VerifyAsync(LyingGateway gateway, long node, params string[] more) =>
        InProcess.RunAsync(["verify", "--node", $"{node}", "--gateway", gateway.Url.ToString(), "--data", folder.FullName, "--policy", policy, .. more]);

    private byte[] Live(byte[] nonce, int size = 1) => Encoding.UTF8.GetBytes(
        $$"""{"bundle":"{{Convert.ToBase64String(chip.Bundle(nonce: nonce))}}","index":0,"size":{{size}},"path":[]}""");

    private static byte[] ChallengeIn(byte[] request) => JsonElement.Parse(request).GetProperty("challenge").GetBytesFromBase64();
}
