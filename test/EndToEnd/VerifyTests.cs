using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat verify</c>, as transcripts; and without a network.</summary>
public sealed class VerifyTests : IDisposable
{
    internal const string Accepted = "tdx/01-v4-uptodate-b0c06f";
    internal const string At = "2025-07-04T10:16:31Z";
    internal const string MrTd = "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7";

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("cchat-verify-");

    [Fact]
    public async Task A_quote_that_verifies_is_authentic_and_what_was_not_checked_is_named()
    {
        var (exitCode, output, errors) = await VerifyAsync(Accepted);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("PASS  tdx.quote_signature");
        output.ShouldEndWith("authentic; not checked: tdx.sept_ve_disable, tdx.mr_td, tdx.rtmr0, tdx.rtmr1, tdx.rtmr2, tdx.rtmr3, "
            + "tdx.mr_config_id, tdx.mr_owner, tdx.mr_owner_config, tdx.mr_seam, tdx.platform, tdx.report_data, tdx.event_log\n");
        errors.ShouldBeEmpty();
    }

    [Fact]
    public async Task Expected_values_are_checked_and_the_JSON_says_so()
    {
        var (exitCode, output, _) = await VerifyAsync(Accepted, "--mrtd", MrTd, "--json");
        exitCode.ShouldBe(0);
        using var json = JsonDocument.Parse(output);
        json.RootElement.GetProperty("accepted").GetBoolean().ShouldBeTrue();
        json.RootElement.GetProperty("quote").GetProperty("mr_td").GetString().ShouldBe(MrTd);
        json.RootElement.GetProperty("factors").EnumerateArray().Single(factor => factor.GetProperty("factor").GetString() == "tdx.mr_td").GetProperty("outcome").GetString().ShouldBe("PASS");

        (exitCode, output, var errors) = await VerifyAsync(Accepted, "--mrtd", new string('0', 96), "--report-data", new string('0', 128));
        exitCode.ShouldBe(7);
        output.ShouldContain($"FAIL  tdx.mr_td                   MISMATCH: expected {new string('0', 96)}; found {MrTd}");
        errors.ShouldContain("error: the evidence is refused: tdx.mr_td (MISMATCH), tdx.report_data (MISMATCH)");
        errors.ShouldContain("hint: ");
    }

    [Fact]
    public async Task An_event_log_is_replayed()
    {
        const string set = "tdx/05-v4-gcp-ccel-00806f";
        var (exitCode, output, errors) = await RunAsync("verify", "tdx", Vectors.Locate($"{set}/quote.bin"), "--collateral", Vectors.Locate(set), "--at", "2025-10-31T14:17:11Z", "--event-log", Vectors.Locate($"{set}/ccel_data.bin"));
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("PASS  tdx.event_log");
    }

    [Theory]
    [InlineData("tdx/04-v4-debug-td-50806f", "collateral-2023-06", "2023-06-28T08:03:58Z", "tdx.debug (FORBIDDEN)")]
    [InlineData("tdx/07-v3-sgx-not-tdx-00a067", ".", "2025-07-04T10:28:44Z", "tdx.quote (UNSUPPORTED)")]
    [InlineData("tdx/01-v4-uptodate-b0c06f", ".", "2026-11-22T00:00:00Z", "tdx.tcb_info_date (EXPIRED)")]
    [InlineData("tdx/01-v4-uptodate-b0c06f", "../../roots", "2025-07-04T10:16:31Z", "tdx.tcb_info (MISSING)")]
    public async Task What_is_refused_is_named_and_has_an_exit_code_of_its_own(string set, string collateral, string at, string refusal)
    {
        var (exitCode, _, errors) = await RunAsync("verify", "tdx", Vectors.Locate($"{set}/quote.bin"), "--collateral", Path.Combine(Vectors.Locate(set), collateral), "--at", at);
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain(refusal);
    }

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
        var (bundle, policy) = (await WriteAsync("bundle.json", chip.Bundle()), await WriteAsync("policy.toml", chip.Policy($"measurement = [\"{NodeOnChip.Measurement}\"]")));
        foreach (var arguments in new string[][]
        {
            ["verify", "tdx", Vectors.Locate($"{Accepted}/quote.bin"), "--collateral", Vectors.Locate(Accepted), "--at", At],
            ["verify", "snp", Vectors.Locate("snp/04-genoa-v5/report.bin"), "--cert", Vectors.Locate("snp/04-genoa-v5/vcek.der"), "--at", "2026-03-01T00:00:00Z"],
            ["verify", bundle, "--policy", policy],
        })
            (await StartAsync("unshare", [unshare, Path.Combine(AppContext.BaseDirectory, "cchat"), .. arguments])).ShouldBe(0, string.Join(' ', arguments));
    }

    [Theory]
    [InlineData("--mrtd", "tdx.mr_td")]
    [InlineData("--rtmr0", "tdx.rtmr0")]
    [InlineData("--rtmr1", "tdx.rtmr1")]
    [InlineData("--rtmr2", "tdx.rtmr2")]
    [InlineData("--rtmr3", "tdx.rtmr3")]
    [InlineData("--mrconfigid", "tdx.mr_config_id")]
    [InlineData("--mrowner", "tdx.mr_owner")]
    [InlineData("--mrownerconfig", "tdx.mr_owner_config")]
    [InlineData("--mrseam", "tdx.mr_seam")]
    public async Task What_is_expected_of_a_quote_is_demanded_even_where_the_policy_only_shows_it(string option, string factor)
    {
        var policy = await WriteAsync("advisory.toml", Encoding.UTF8.GetBytes($"version = 1\nadvisory = [\"{factor}\"]\n"));
        var (exitCode, _, errors) = await VerifyAsync(Accepted, "--policy", policy, option, new string('7', 96));
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain($"error: the evidence is refused: {factor} (MISMATCH)\n");
    }

    [Theory]
    [InlineData("--measurement", "snp.measurement", 48)]
    [InlineData("--host-data", "snp.host_data", 32)]
    [InlineData("--id-key-digest", "snp.id_key_digest", 48)]
    [InlineData("--author-key-digest", "snp.author_key_digest", 48)]
    public async Task What_is_expected_of_a_report_is_demanded_even_where_the_policy_only_shows_it(string option, string factor, int size)
    {
        var policy = await WriteAsync("advisory.toml", Encoding.UTF8.GetBytes($"version = 1\nadvisory = [\"{factor}\"]\n"));
        var (exitCode, _, errors) = await RunAsync(
            "verify", "snp", Vectors.Locate("snp/04-genoa-v5/report.bin"), "--cert", Vectors.Locate("snp/04-genoa-v5/vcek.der"), "--at", "2026-03-01T00:00:00Z",
            "--policy", policy, option, new string('7', size * 2));
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain($"error: the evidence is refused: {factor} (MISMATCH)\n");
    }

    [Fact]
    public async Task A_revocation_list_is_taken_for_a_report_alone()
    {
        var chip = new NodeOnChip();
        var report = await WriteAsync("report.bin", chip.Report(new byte[64]));
        var (path, policy) = (await WriteAsync("vcek.pem", chip.Path()), await WriteAsync("policy.toml", chip.Policy("require_crl = true")));
        string[] arguments = [report, "--cert", path, "--policy", policy];
        (await RunAsync(["verify", "snp", .. arguments])).Errors.ShouldContain("snp.crl (MISSING)");
        var list = await WriteAsync("list.der", chip.List());
        var (exitCode, output, errors) = await RunAsync(["verify", "snp", .. arguments, "--crl", list]);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("PASS  snp.crl ");
        (await RunAsync(["policy", "pin", .. arguments, "--crl", list])).ExitCode.ShouldBe(0);
        var revoking = await WriteAsync("revoking.der", chip.List(NodeOnChip.IssuerSerialNumber));
        (await RunAsync(["verify", "snp", .. arguments, "--crl", revoking])).Errors.ShouldContain("error: the evidence is refused: snp.crl (REVOKED)\n");
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
    public async Task A_log_in_JSON_is_replayed()
    {
        const string set = "tdx/09-v4-dstack-eventlog-90c06f";
        string[] quote = ["verify", "tdx", Vectors.Locate($"{set}/quote.bin"), "--collateral", Vectors.Locate(set), "--at", "2026-02-25T00:45:50Z", "--event-log"];
        var (exitCode, output, errors) = await RunAsync([.. quote, Vectors.Locate($"{set}/event_log.json")]);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("PASS  tdx.event_log");
        (await RunAsync([.. quote, Vectors.Locate("tdx/08-v4-outofdate-nearai-gateway-b0c06f/event_log.json")])).Errors.ShouldContain("tdx.event_log (MISMATCH)");
    }

    [Fact]
    public async Task The_other_names_of_collateral_are_read()
    {
        const string sample = "tdx/12-v4-wrong-root-intel-sample";
        var (exitCode, _, errors) = await RunAsync("verify", "tdx", Vectors.Locate($"{sample}/quote.dat"), "--collateral", Vectors.Locate(sample), "--at", "2024-01-01T00:00:00Z");
        exitCode.ShouldBe(7);
        errors.ShouldContain("tdx.pck_path (UNTRUSTED)");
        errors.ShouldNotContain("MISSING");

        const string set = "tdx/01-v4-uptodate-b0c06f";
        foreach (var file in new[] { "qe_identity.json", "tcb_signing_chain.pem", "pck_crl.der", "root_ca_crl.der" })
            File.Copy(Vectors.Locate($"{set}/{file}"), Path.Combine(folder.FullName, file));
        File.Copy(Vectors.Locate($"{set}/tcb_info.json"), Path.Combine(folder.FullName, "tcb_info_b0c06f000000.json"));
        (exitCode, _, errors) = await RunAsync("verify", "tdx", Vectors.Locate($"{set}/quote.bin"), "--collateral", folder.FullName, "--at", At);
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
        var (exitCode, errors) = await StartForErrorsAsync("setpriv", ["--reuid", "12345", "--clear-groups", "env", "-u", "HOME", "-u", "XDG_DATA_HOME", program, .. arguments.Split(' ')]);
        exitCode.ShouldBe(arguments == "policy init" ? 0 : 7, errors);
        errors.ShouldNotContain("Unhandled");
        errors.ShouldNotContain("   at ");
    }

    [Theory]
    [InlineData("verify")]
    [InlineData("verify /does/not/exist.json")]
    [InlineData("verify tdx /does/not/exist.bin --collateral /")]
    [InlineData("verify tdx /dev/null --collateral /does/not/exist")]
    [InlineData("verify tdx /dev/null")]
    [InlineData("verify tdx /dev/null --collateral / --at yesterday")]
    [InlineData("verify tdx /dev/null --collateral / --at 01/02/2026")]
    [InlineData("verify tdx /dev/null --collateral / --at 2026-02-30")]
    [InlineData("policy pin /dev/null --collateral /does/not/exist --policy /proc/policy.toml")]
    [InlineData("verify tdx /dev/null --collateral / --mrtd 00")]
    [InlineData("verify tdx /dev/null --collateral / --policy /does/not/exist.toml")]
    [InlineData("policy pin /dev/null --policy /proc/policy.toml")]
    [InlineData("policy init --output /proc/policy.toml")]
    public async Task A_mistake_is_no_refusal(string arguments)
    {
        var (exitCode, _, errors) = await RunAsync(arguments.Split(' '));
        exitCode.ShouldBe(2, errors);
        errors.ShouldContain("error: ");
        errors.ShouldContain("hint: ");
        errors.ShouldNotContain("   at ConfidentialChat");
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
        await File.WriteAllBytesAsync(bundle, EvidenceBundle.Write(statement, platform.Sign(BundleStatement.ReportData(statement)), []), TestContext.Current.CancellationToken);
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

    [Theory]
    [InlineData("snp/05-milan-v3", "vcek.der", "2026-03-01T00:00:00Z", 0, "authentic; not checked: snp.crl, snp.measurement, ")]
    [InlineData("snp/04-genoa-v5", "vcek.der", "2026-03-01T00:00:00Z", 0, "PASS  snp.report_signature")]
    [InlineData("snp/03-milan-v3-vlek-aws", "vlek.der", "2025-06-01T00:00:00Z", 0, "SKIP  snp.chip_id                 a VLEK names no chip")]
    [InlineData("snp/03-milan-v3-vlek-aws", "vlek.der", "2026-11-22T00:00:00Z", 7, "snp.vek_path (EXPIRED)")]
    [InlineData("snp/01-milan-v2-debug", "vcek.der", "2026-03-01T00:00:00Z", 7, "snp.debug (FORBIDDEN)")]
    [InlineData("snp/05-milan-v3", "expected.json", "2026-03-01T00:00:00Z", 7, "snp.vek_path (MALFORMED)")]
    public async Task A_report_of_SEV_SNP_is_verified_with_its_certificate(string set, string certificate, string at, int expected, string says)
    {
        var (exitCode, output, errors) = await RunAsync("verify", "snp", Vectors.Locate($"{set}/report.bin"), "--cert", Vectors.Locate($"{set}/{certificate}"), "--at", at);
        exitCode.ShouldBe(expected, errors);
        (output + errors).ShouldContain(says);
    }

    [Fact]
    public async Task Expected_values_of_a_report_are_checked_and_the_JSON_says_so()
    {
        string[] report = ["verify", "snp", Vectors.Locate("snp/04-genoa-v5/report.bin"), "--cert", Vectors.Locate("snp/04-genoa-v5/vcek.der"), "--at", "2026-03-01T00:00:00Z"];
        const string measurement = "c57729018b0a6fb90dc17bb138b0aa35e4401004283ff4a2c24d3739ff3750f52384370e77b7032862a08c440a9bc4dc";
        var (exitCode, output, _) = await RunAsync([.. report, "--measurement", measurement, "--host-data", new string('0', 64), "--json"]);
        exitCode.ShouldBe(0);
        using var json = JsonDocument.Parse(output);
        json.RootElement.GetProperty("report").GetProperty("measurement").GetString().ShouldBe(measurement);
        json.RootElement.GetProperty("not_checked").EnumerateArray().Select(name => name.GetString()).ShouldNotContain("snp.measurement");

        (exitCode, _, var errors) = await RunAsync([.. report, "--measurement", new string('0', 96), "--id-key-digest", new string('1', 96), "--report-data", new string('0', 128)]);
        exitCode.ShouldBe(7);
        errors.ShouldContain("error: the evidence is refused: snp.measurement (MISMATCH), snp.id_key_digest (MISMATCH), snp.report_data (MISMATCH)");
        (await RunAsync([.. report, "--measurement", "00"])).ExitCode.ShouldBe(2);
        (await RunAsync([.. report, "--crl", "/does/not/exist"])).ExitCode.ShouldBe(2);
    }

    public void Dispose() => folder.Delete(recursive: true);

    internal static Task<(int ExitCode, string Output, string Errors)> VerifyAsync(string set, params string[] more) =>
        RunAsync(["verify", "tdx", Vectors.Locate($"{set}/quote.bin"), "--collateral", Vectors.Locate(set), "--at", At, .. more]);

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
