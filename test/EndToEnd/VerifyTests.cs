using System.Diagnostics;
using System.Net.Sockets;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat verify</c> where it takes more than a transcript shows: no network, no home, evidence of the day.</summary>
public sealed class VerifyTests : IDisposable
{
    private const string Accepted = "tdx/01-v4-uptodate-b0c06f";
    private const string At = "2025-07-04T10:16:31Z";

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("cchat-verify-");

    [Fact]
    public async Task Without_a_network_the_verdict_is_the_same()
    {
        // Root needs no user namespace of its own.
        var unshare = Environment.IsPrivilegedProcess ? "-n" : "-rn";
        var available = await StartAsync("unshare", unshare, "true") == 0;
        if (!Environment.IsPrivilegedProcess)
            Assert.SkipUnless(available, "unshare is not allowed to this user");
        available.ShouldBeTrue("root may cut the network");
        var chip = new NodeOnChip();
        var (bundle, policy) =
            (await WriteAsync("bundle.json", chip.Bundle()), await WriteAsync("policy.toml", chip.Policy($"measurement = [\"{NodeOnChip.Measurement}\"]")));
        foreach (var arguments in new string[][]
        {
            ["verify", "tdx", Vectors.Locate($"{Accepted}/quote.bin"), "--collateral", Vectors.Locate(Accepted), "--at", At],
            [
                "verify", "snp", Vectors.Locate("snp/04-genoa-v5/report.bin"), "--cert", Vectors.Locate("snp/04-genoa-v5/vcek.der"),
                "--at", "2026-03-01T00:00:00Z",
            ],
            ["verify", "gpu", Vectors.Locate("gpu/09-atoma-8xhopper-570.124.06/evidence.json")],
            ["verify", bundle, "--policy", policy],
        })
            (await StartAsync("unshare", [unshare, Path.Combine(AppContext.BaseDirectory, "cchat"), .. arguments])).ShouldBe(0, string.Join(' ', arguments));
    }

    [Fact]
    public async Task A_bundle_of_recorded_TDX_evidence_is_refused_for_its_binding_alone_and_not_pinned()
    {
        var at = DateTimeOffset.Parse(At, System.Globalization.CultureInfo.InvariantCulture);
        var cpu = new CpuEvidence
        {
            Type = CpuType.Tdx,
            Evidence = await File.ReadAllBytesAsync(Vectors.Locate($"{Accepted}/quote.bin"), TestContext.Current.CancellationToken),
            Collateral = new CollateralFolder(Vectors.Locate(Accepted)).Tdx(null).ToNamed(),
        };
        var bundle = await WriteAsync("bundle.json", EvidenceBundle.Write(NodeOnChip.Statement(at).ToBytes(), cpu, []));
        var policy = await WriteAsync("any.toml", "version = 1\nmeasurements = \"any\"\n"u8.ToArray());
        var (exitCode, output, errors) = await RunAsync("verify", bundle, "--policy", policy, "--at", At);
        exitCode.ShouldBe(7, errors);
        output.ShouldContain("PASS  tdx.quote_signature");
        errors.ShouldContain("error: the evidence is refused: bundle.report_data (MISMATCH)\n");
        var before = await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken);
        (await RunAsync("policy", "pin", bundle, "--policy", policy, "--at", At)).ExitCode.ShouldBe(7);
        (await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken)).ShouldBe(before);
    }

    [Fact]
    public async Task Collateral_that_is_named_for_its_platform_is_read()
    {
        foreach (var file in new[] { "qe_identity.json", "tcb_signing_chain.pem", "pck_crl.der", "root_ca_crl.der" })
            File.Copy(Vectors.Locate($"{Accepted}/{file}"), Path.Combine(folder.FullName, file));
        File.Copy(Vectors.Locate($"{Accepted}/tcb_info.json"), Path.Combine(folder.FullName, "tcb_info_b0c06f000000.json"));
        var (exitCode, _, errors) = await RunAsync("verify", "tdx", Vectors.Locate($"{Accepted}/quote.bin"), "--collateral", folder.FullName, "--at", At);
        exitCode.ShouldBe(0, errors);
    }

    [Theory]
    [InlineData("verify /dev/null")]
    [InlineData("policy init")]
    public async Task Without_a_home_and_a_name_there_is_no_crash(string arguments)
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root may become a user without a name");
        var program = Path.Combine(AppContext.BaseDirectory, "cchat");
        if (await StartAsync("setpriv", "--reuid", "12345", "--clear-groups", "test", "-x", program) != 0)
            Assert.Skip("the tests stand where other users may not read");
        var (exitCode, errors) = await StartForErrorsAsync(
            "setpriv", ["--reuid", "12345", "--clear-groups", "env", "-u", "HOME", "-u", "XDG_DATA_HOME", program, .. arguments.Split(' ')]);
        exitCode.ShouldBe(arguments == "policy init" ? 0 : 7, errors);
        errors.ShouldNotContain("Unhandled");
        errors.ShouldNotContain("   at ");
    }

    [Fact]
    public async Task Collateral_that_cannot_be_read_is_a_mistake_and_no_crash()
    {
        // A socket is there, and nobody can open it: not even root.
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(Path.Combine(folder.FullName, "qe_identity.json")));
        var (exitCode, _, errors) = await RunAsync("verify", "tdx", Vectors.Locate($"{Accepted}/quote.bin"), "--collateral", folder.FullName, "--at", At);
        exitCode.ShouldBe(2, errors);
        errors.ShouldContain("hint: ");
        errors.ShouldNotContain("   at ConfidentialChat");
    }

    [Fact]
    public async Task A_bundle_of_simulated_evidence_is_refused_unless_the_policy_allows_it_and_then_warned_of()
    {
        using var platform = new SimulatedPlatform();
        var statement = NodeOnChip.Statement(DateTimeOffset.UtcNow).ToBytes();
        var bundle = Path.Combine(folder.FullName, "bundle.json");
        await File.WriteAllBytesAsync(
            bundle, EvidenceBundle.Write(statement, platform.Sign(BundleStatement.ReportData(statement)), []), TestContext.Current.CancellationToken);
        var (exitCode, _, errors) = await RunAsync("verify", bundle);
        exitCode.ShouldBe(7);
        errors.ShouldContain("bundle.tee (FORBIDDEN)");

        var policy = Path.Combine(folder.FullName, "simulated.toml");
        await File.WriteAllTextAsync(policy, "version = 1\nallow_simulated = true\n", TestContext.Current.CancellationToken);
        (exitCode, var output, errors) = await RunAsync("verify", bundle, "--policy", policy);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("accepted; not checked: bundle.nonce\n");
        errors.ShouldContain("NOTHING IS PROTECTED");

        (exitCode, _, errors) = await RunAsync("policy", "pin", bundle, "--policy", policy);
        exitCode.ShouldBe(2, errors);
        errors.ShouldContain("simulated evidence has no measurements to pin");
    }

    public void Dispose() => folder.Delete(recursive: true);

    private static Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] arguments) => InProcess.RunAsync(arguments);

    private async Task<string> WriteAsync(string name, byte[] content)
    {
        var path = Path.Combine(folder.FullName, name);
        await File.WriteAllBytesAsync(path, content, TestContext.Current.CancellationToken);
        return path;
    }

    private static async Task<int> StartAsync(string program, params string[] arguments) => (await StartForErrorsAsync(program, arguments)).ExitCode;

    private static async Task<(int ExitCode, string Errors)> StartForErrorsAsync(string program, string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var read = await Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            await process.WaitForExitAsync();
            return (process.ExitCode, read[1]);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return (-1, "");
        }
    }
}
