using System.Buffers.Binary;
using System.Diagnostics;
using System.Formats.Asn1;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.EndToEnd.Running;

namespace ConfidentialChat.EndToEnd;

/// <summary><c>cchat verify</c> and <c>cchat policy</c>, as transcripts; and without a network.</summary>
public sealed class VerifyTests : IDisposable
{
    private const string Accepted = "tdx/01-v4-uptodate-b0c06f";
    private const string At = "2025-07-04T10:16:31Z";
    private const string MrTd = "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7";

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
        using var chip = new Chip();
        var (bundle, policy) = (await WriteAsync("bundle.json", chip.Bundle()), await WriteAsync("policy.toml", chip.Policy($"measurement = [\"{Chip.Measurement}\"]")));
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
    public async Task A_bundle_of_a_chip_is_refused_until_its_measurement_is_pinned_and_then_accepted()
    {
        using var chip = new Chip();
        var (bundle, policy) = (await WriteAsync("bundle.json", chip.Bundle()), await WriteAsync("policy.toml", chip.Policy("")));
        var (exitCode, _, errors) = await RunAsync("verify", bundle, "--policy", policy);
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain("error: the evidence is refused: snp.measurement (NO_REFERENCE)\n");

        (exitCode, var output, errors) = await RunAsync("policy", "pin", bundle, "--policy", policy);
        exitCode.ShouldBe(0, errors);
        output.ShouldBe($"measurement = {Chip.Measurement}\n");
        errors.ShouldContain("note: this pins what ran there");
        (exitCode, output, errors) = await RunAsync("verify", bundle, "--policy", policy);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain($"PASS  snp.measurement             expected {Chip.Measurement}; found {Chip.Measurement}\n");
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
        using var chip = new Chip();
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
    public async Task A_revocation_list_is_taken_for_a_report_alone()
    {
        using var chip = new Chip();
        var report = await WriteAsync("report.bin", chip.Report(new byte[64], 0x4E));
        var (path, policy) = (await WriteAsync("vcek.pem", chip.Path()), await WriteAsync("policy.toml", chip.Policy("require_crl = true")));
        string[] arguments = [report, "--cert", path, "--policy", policy];
        (await RunAsync(["verify", "snp", .. arguments])).Errors.ShouldContain("snp.crl (MISSING)");
        var list = await WriteAsync("list.der", chip.List());
        var (exitCode, output, errors) = await RunAsync(["verify", "snp", .. arguments, "--crl", list]);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("PASS  snp.crl ");
        (await RunAsync(["policy", "pin", .. arguments, "--crl", list])).ExitCode.ShouldBe(0);
        var revoking = await WriteAsync("revoking.der", chip.List([1, 2, 3]));
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
        var bundle = await WriteAsync("bundle.json", EvidenceBundle.Write(Statement(at).ToBytes(), cpu, []));
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
    public async Task A_policy_is_begun_pinned_and_holds_what_was_pinned()
    {
        var policy = Path.Combine(folder.FullName, "policy.toml");
        (await RunAsync("policy", "init", "--output", policy)).ExitCode.ShouldBe(0);
        (await RunAsync("policy", "init", "--output", policy)).ExitCode.ShouldBe(2, "it is there already");
        (await RunAsync("policy", "init")).Output.ShouldBe(await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken));

        var (exitCode, output, errors) = await RunAsync("policy", "pin", Vectors.Locate($"{Accepted}/quote.bin"), "--collateral", Vectors.Locate(Accepted), "--at", At, "--policy", policy);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain($"mr_td = {MrTd}\n");
        (await VerifyAsync(Accepted, "--policy", policy)).Output.ShouldContain("PASS  tdx.mr_td");

        // Another program on another platform is authentic, and not this one.
        const string other = "tdx/09-v4-dstack-eventlog-90c06f";
        var refused = await RunAsync("verify", "tdx", Vectors.Locate($"{other}/quote.bin"), "--collateral", Vectors.Locate(other), "--at", "2026-02-25T00:45:50Z", "--policy", policy);
        refused.ExitCode.ShouldBe(7);
        refused.Errors.ShouldContain("tdx.mr_td (MISMATCH)");

        // What does not verify is not pinned, and the policy stays as it is.
        var before = await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken);
        (await RunAsync("policy", "pin", Vectors.Locate($"{Accepted}/quote.bin"), "--collateral", Vectors.Locate(Accepted), "--policy", policy)).ExitCode.ShouldBe(7);
        (await File.ReadAllTextAsync(policy, TestContext.Current.CancellationToken)).ShouldBe(before);
    }

    [Fact]
    public async Task A_bundle_of_simulated_evidence_is_refused_unless_the_policy_allows_it_and_then_warned_of()
    {
        using var platform = new SimulatedPlatform();
        var now = DateTimeOffset.FromUnixTimeSeconds(DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        var statement = new BundleStatement
        {
            Node = 3,
            Keys = new NodeKeys { Ohttp = new byte[40], X25519 = new byte[32], Signing = new byte[32] },
            IssuedAt = now,
            NotAfter = now.AddHours(1),
            Nonce = new byte[32],
            Software = new NodeSoftware("node", "1", null),
            Configuration = new NodeConfiguration(null, [], "information", []),
        }.ToBytes();
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

    private static Task<(int ExitCode, string Output, string Errors)> VerifyAsync(string set, params string[] more) =>
        RunAsync(["verify", "tdx", Vectors.Locate($"{set}/quote.bin"), "--collateral", Vectors.Locate(set), "--at", At, .. more]);

    private static Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] arguments) => RunningStack.RunAsync(arguments);

    private static BundleStatement Statement(DateTimeOffset at, byte[]? nonce = null) => new()
    {
        Node = 3,
        Keys = new NodeKeys { Ohttp = new byte[40], X25519 = new byte[32], Signing = new byte[32] },
        IssuedAt = DateTimeOffset.FromUnixTimeSeconds(at.ToUnixTimeSeconds()),
        NotAfter = DateTimeOffset.FromUnixTimeSeconds(at.AddHours(1).ToUnixTimeSeconds()),
        Nonce = nonce ?? new byte[32],
        Software = new NodeSoftware("node", "1", null),
        Configuration = new NodeConfiguration(null, [], "information", []),
    };

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

    /// <summary>A Milan of our own: its report, certificates and bundle, for a policy that trusts its root.</summary>
    private sealed class Chip : IDisposable
    {
        public static readonly string Measurement = string.Concat(Enumerable.Repeat("4e", 48));

        private const string Arc = "1.3.6.1.4.1.3704.1.";

        private readonly DateTimeOffset now = DateTimeOffset.UtcNow;
        private readonly byte[] hwid = RandomNumberGenerator.GetBytes(64);
        private readonly RSA rootKey = RSA.Create(4096);
        private readonly RSA issuerKey = RSA.Create(4096);
        private readonly ECDsa vekKey = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        private readonly X509Certificate2 root;
        private readonly X509Certificate2 issuer;
        private readonly X509Certificate2 vek;

        public Chip()
        {
            root = Authority("ARK-Milan", rootKey, [1], X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign);
            issuer = Authority("SEV-Milan", issuerKey, [1, 2, 3], X509KeyUsageFlags.KeyCertSign);
            var request = new CertificateRequest(new X500DistinguishedName("CN=SEV-VCEK"), vekKey, HashAlgorithmName.SHA384);
            foreach (var id in new[] { "1", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8" })
                request.CertificateExtensions.Add(new X509Extension(Arc + id, [2, 1, 0], critical: false));
            request.CertificateExtensions.Add(new X509Extension(Arc + "2", [(byte)UniversalTagNumber.IA5String, 5, .. "Milan"u8], critical: false));
            request.CertificateExtensions.Add(new X509Extension(Arc + "4", hwid, critical: false));
            vek = request.Create(issuer.SubjectName, X509SignatureGenerator.CreateForRSA(issuerKey, RSASignaturePadding.Pss), now.AddDays(-1), now.AddDays(1), [0]);
        }

        public byte[] Policy(string more) => Encoding.UTF8.GetBytes(
            $"version = 1\n[dangerous_test_roots]\namd = '''\n{root.ExportCertificatePem()}'''\n{(more.StartsWith('[') ? "" : "[sev_snp]\n")}{more}\n");

        public byte[] Path() => Encoding.ASCII.GetBytes($"{vek.ExportCertificatePem()}\n{issuer.ExportCertificatePem()}\n");

        public byte[] List(params byte[][] revoked)
        {
            var list = new CertificateRevocationListBuilder();
            foreach (var serialNumber in revoked)
                list.AddEntry(serialNumber, now.AddHours(-1));
            using var signing = root.CopyWithPrivateKey(rootKey);
            return list.Build(signing, 1, now.AddDays(1), HashAlgorithmName.SHA384, RSASignaturePadding.Pss, now.AddHours(-1));
        }

        public byte[] Report(byte[] reportData, byte measured)
        {
            var report = new byte[SevSnpReport.Size];
            (report[0], report[0x034]) = (2, 1);
            BinaryPrimitives.WriteUInt64LittleEndian(report.AsSpan(0x008), 0x30000);
            reportData.CopyTo(report, 0x050);
            report.AsSpan(0x090, 48).Fill(measured);
            report.AsSpan(0x160, 32).Fill(0xFF);
            hwid.CopyTo(report, 0x1A0);
            var signature = vekKey.SignData(report.AsSpan(0, 0x2A0), HashAlgorithmName.SHA384);
            for (var i = 0; i < 2; i++)
            {
                signature.AsSpan(i * 48, 48).Reverse();
                signature.AsSpan(i * 48, 48).CopyTo(report.AsSpan(0x2A0 + (i * 72)));
            }

            return report;
        }

        public byte[] Bundle(byte measured = 0x4E, byte[]? nonce = null)
        {
            var statement = Statement(now, nonce).ToBytes();
            var cpu = new CpuEvidence
            {
                Type = CpuType.SevSnp,
                Evidence = Report(BundleStatement.ReportData(statement), measured),
                Collateral = new Dictionary<string, ReadOnlyMemory<byte>> { ["vek"] = Path() },
            };
            return EvidenceBundle.Write(statement, cpu, []);
        }

        public void Dispose()
        {
            foreach (var owned in (IDisposable[])[root, issuer, vek, rootKey, issuerKey, vekKey])
                owned.Dispose();
        }

        private X509Certificate2 Authority(string name, RSA key, byte[] serialNumber, X509KeyUsageFlags usages)
        {
            var request = new CertificateRequest(new X500DistinguishedName($"CN={name}"), key, HashAlgorithmName.SHA384, RSASignaturePadding.Pss);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
            request.CertificateExtensions.Add(new X509KeyUsageExtension(usages, critical: true));
            return request.Create(new X500DistinguishedName("CN=ARK-Milan"), X509SignatureGenerator.CreateForRSA(rootKey, RSASignaturePadding.Pss), now.AddDays(-1), now.AddDays(1), serialNumber);
        }
    }
}
