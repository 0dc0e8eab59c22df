using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>
/// What recordings cannot show: a platform of our own, right but for one thing, and the factors that refuse it. docs/attestation-coverage.md
/// names these cases.
/// </summary>
public sealed class SingleFaultTests
{
    private static readonly byte[] Register = SHA384.HashData("a register"u8);

    private static readonly IReadOnlySet<string> Everything =
        FactorNames.All.Where(name => name.Kind == FactorKind.Policy).Select(name => name.Value).ToHashSet();

    private static readonly ECDsa Stranger = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    private static readonly Dictionary<string, (Action<IntelPlatform> Fault, string Refusals, RejectionCode Code)> Faults = new()
    {
        ["another enclave vendor"] = (platform => platform.QeVendor[0] ^= 1, "tdx.qe_vendor", RejectionCode.Unsupported),
        ["a PCK signed by a stranger"] = (platform => platform.Pck.ForeignSigner = Stranger, "tdx.pck_path", RejectionCode.Untrusted),
        ["an intermediate signed by a stranger"] = (platform => platform.Intermediate.ForeignSigner = Stranger, "tdx.pck_path", RejectionCode.Untrusted),
        ["a path without its intermediate"] = (platform => platform.OmitIntermediate = true, "tdx.pck_path tdx.pck_crl", RejectionCode.Untrusted),
        ["a PCK of another name"] = (platform => platform.Pck.Name = "CN=Intel SGX TCB Signing", "tdx.pck_path", RejectionCode.BadCertificate),
        ["an intermediate of another name"] = (
            platform => platform.Intermediate.Name = "CN=Intel SGX PCK Evil CA", "tdx.pck_path", RejectionCode.BadCertificate),
        ["a PCK that is a CA"] = (platform => platform.Pck.IsAuthority = true, "tdx.pck_path", RejectionCode.BadCertificate),
        ["a PCK that may not sign"] = (
            platform => platform.Pck.Usages = X509KeyUsageFlags.KeyAgreement, "tdx.pck_path tdx.qe_report_signature", RejectionCode.BadCertificate),
        ["an intermediate that may not sign certificates"] = (
            platform => platform.Intermediate.Usages = X509KeyUsageFlags.CrlSign, "tdx.pck_path", RejectionCode.BadCertificate),
        ["an intermediate that is no CA"] = (platform => platform.Intermediate.IsAuthority = false, "tdx.pck_path", RejectionCode.BadCertificate),
        ["a root that allows no CA below its own"] = (platform => platform.Root.PathLength = 0, "tdx.pck_path", RejectionCode.BadCertificate),
        ["a root that may not sign certificates"] = (
            platform => platform.Root.Usages = X509KeyUsageFlags.CrlSign, "tdx.pck_path tdx.tcb_signing_path", RejectionCode.BadCertificate),
        ["an intermediate that may not sign lists"] = (
            platform => platform.Intermediate.Usages = X509KeyUsageFlags.KeyCertSign, "tdx.pck_crl", RejectionCode.BadCertificate),
        ["a root that may not sign lists"] = (platform => platform.Root.Usages = X509KeyUsageFlags.KeyCertSign, "tdx.root_crl", RejectionCode.BadCertificate),
        ["an intermediate of tomorrow"] = (
            platform => platform.Intermediate.NotBefore = IntelPlatform.Now.AddSeconds(1), "tdx.pck_path", RejectionCode.NotYetValid),
        ["a TCB signer that is a CA"] = (platform => platform.Signer.IsAuthority = true, "tdx.tcb_signing_path", RejectionCode.BadCertificate),
        ["a PCK with an unknown critical extension"] =
            (platform => platform.Pck.MoreExtensions.Add(new X509Extension("1.2.3.4", [5, 0], critical: true)), "tdx.pck_path", RejectionCode.BadCertificate),
        ["a PCK that has expired"] = (platform => platform.Pck.NotAfter = IntelPlatform.Now.AddSeconds(-1), "tdx.pck_path", RejectionCode.Expired),
        ["a PCK of tomorrow"] = (platform => platform.Pck.NotBefore = IntelPlatform.Now.AddSeconds(1), "tdx.pck_path", RejectionCode.NotYetValid),
        ["an intermediate that has expired"] = (
            platform => platform.Intermediate.NotAfter = IntelPlatform.Now.AddSeconds(-1), "tdx.pck_path", RejectionCode.Expired),
        ["a root that has expired"] = (
            platform => platform.Root.NotAfter = IntelPlatform.Now.AddSeconds(-1), "tdx.pck_path tdx.tcb_signing_path", RejectionCode.Expired),
        ["a PCK whose extension ends early"] = (
            platform => platform.ChangePckExtension = bytes => bytes[..^1], "tdx.pck_extension", RejectionCode.BadCertificate),
        ["a PCK whose extension is empty"] = (platform => platform.ChangePckExtension = _ => [0x30, 0x00], "tdx.pck_extension", RejectionCode.BadCertificate),
        ["a PCK whose extension is padded"] = (
            platform => platform.ChangePckExtension = bytes => [.. bytes, 0], "tdx.pck_extension", RejectionCode.BadCertificate),
        ["a PCK whose platform type is of another size"] = (
            platform => platform.Fmspc = new byte[5], "tdx.pck_extension", RejectionCode.BadCertificate),
        ["a PCK whose extension has more in a part"] = (
            platform => platform.ChangePckExtension = bytes =>
            {
                // NULL behind the value of the last part, the instance of 32 bytes.
                byte[] longer = [.. bytes, 5, 0];
                longer[^33] += 2;
                BinaryPrimitives.WriteUInt16BigEndian(longer.AsSpan(2), (ushort)(longer.Length - 4));
                return longer;
            },
            "tdx.pck_extension", RejectionCode.BadCertificate),
        ["a revoked PCK"] = (platform => platform.RevokedByIntermediate.AddRange([[1], platform.Pck.SerialNumber]), "tdx.pck_crl", RejectionCode.Revoked),
        ["a revoked intermediate"] = (platform => platform.RevokedByRoot.Add(platform.Intermediate.SerialNumber), "tdx.root_crl", RejectionCode.Revoked),
        ["a revoked TCB signer"] = (platform => platform.RevokedByRoot.Add(platform.Signer.SerialNumber), "tdx.root_crl", RejectionCode.Revoked),
        ["a revoked PCK whose serial number begins with a set bit"] = (
            platform =>
            {
                platform.Pck.SerialNumber = [0xBA, .. new byte[18]];
                platform.RevokedByIntermediate.Add(platform.Pck.SerialNumber);
            },
            "tdx.pck_crl", RejectionCode.Revoked),
        ["a revoked intermediate whose serial number begins with a set bit"] = (
            platform =>
            {
                platform.Intermediate.SerialNumber = [0xBA, 0xD0, 1];
                platform.RevokedByRoot.Add(platform.Intermediate.SerialNumber);
            },
            "tdx.root_crl", RejectionCode.Revoked),
        ["a PCK list by a stranger"] = (platform => platform.ChangePckList = list => list.Key = Stranger, "tdx.pck_crl", RejectionCode.BadSignature),
        ["a PCK list of another issuer"] = (
            platform => platform.ChangePckList = list => list.IssuerName = platform.X509Root().SubjectName.RawData, "tdx.pck_crl", RejectionCode.Mismatch),
        ["a PCK list past its next update"] = (
            platform => platform.ChangePckList = list => list.NextUpdate = IntelPlatform.Now.AddSeconds(-1), "tdx.pck_crl", RejectionCode.Expired),
        ["a PCK list of tomorrow"] = (
            platform => platform.ChangePckList = list => list.ThisUpdate = IntelPlatform.Now.AddSeconds(1), "tdx.pck_crl", RejectionCode.NotYetValid),
        ["a PCK list without a next update"] = (platform => platform.ChangePckList = list => list.NextUpdate = null, "tdx.pck_crl", RejectionCode.Malformed),
        ["a PCK list of version 1"] = (platform => platform.ChangePckList = list => list.Version = 0, "tdx.pck_crl", RejectionCode.Unsupported),
        ["a delta list"] = (platform => platform.ChangePckList = list => list.Extension = ("2.5.29.27", true), "tdx.pck_crl", RejectionCode.Unsupported),
        ["a delta list that calls itself uncritical"] = (
            platform => platform.ChangePckList = list => list.Extension = ("2.5.29.27", false), "tdx.pck_crl", RejectionCode.Unsupported),
        ["a partial list"] = (platform => platform.ChangePckList = list => list.Extension = ("2.5.29.28", true), "tdx.pck_crl", RejectionCode.Unsupported),
        ["an indirect list"] = (
            platform =>
            {
                platform.RevokedByIntermediate.Add([1]);
                platform.ChangePckList = list => list.EntryExtension = ("2.5.29.29", true);
            },
            "tdx.pck_crl", RejectionCode.Unsupported),
        ["a root list by a stranger"] = (platform => platform.ChangeRootList = list => list.Key = Stranger, "tdx.root_crl", RejectionCode.BadSignature),
        ["a root list past its next update"] = (
            platform => platform.ChangeRootList = list => list.NextUpdate = IntelPlatform.Now.AddSeconds(-1), "tdx.root_crl", RejectionCode.Expired),
        ["a PCK list older than the policy allows"] = (
            platform => platform.Policy = platform.Policy with { MaxCrlAge = TimeSpan.FromDays(9) }, "tdx.pck_crl", RejectionCode.Expired),
        ["a root list older than the policy allows"] = (
            platform => platform.Policy = platform.Policy with { MaxRootCrlAge = TimeSpan.FromDays(9) }, "tdx.root_crl", RejectionCode.Expired),
        ["a TCB signer by a stranger"] = (platform => platform.Signer.ForeignSigner = Stranger, "tdx.tcb_signing_path", RejectionCode.Untrusted),
        ["a TCB signer of another name"] = (
            platform => platform.Signer.Name = "CN=Intel SGX PCK Certificate", "tdx.tcb_signing_path", RejectionCode.BadCertificate),
        ["a TCB signer that has expired"] = (
            platform => platform.Signer.NotAfter = IntelPlatform.Now.AddSeconds(-1), "tdx.tcb_signing_path", RejectionCode.Expired),
        ["TCB info of SGX"] = (
            platform => platform.TcbInfo["id"] = "SGX",
            "tdx.tcb_info tdx.tcb_info_date tdx.tcb_info_platform tdx.tdx_module tdx.tcb_supported tdx.tcb_status tdx.advisories tdx.tcb_evaluation",
            RejectionCode.Mismatch),
        ["TCB info of another type"] = (
            platform => platform.TcbInfo["tcbType"] = 1,
            "tdx.tcb_info tdx.tcb_info_date tdx.tcb_info_platform tdx.tdx_module tdx.tcb_supported tdx.tcb_status tdx.advisories tdx.tcb_evaluation", RejectionCode.Unsupported),
        ["TCB info of another version"] = (
            platform => platform.TcbInfo["version"] = 4,
            "tdx.tcb_info tdx.tcb_info_date tdx.tcb_info_platform tdx.tdx_module tdx.tcb_supported tdx.tcb_status tdx.advisories tdx.tcb_evaluation",
            RejectionCode.Mismatch),
        ["a level of fifteen components"] = (
            platform => platform.TcbInfo["tcbLevels"]![1]!["tcb"]!["tdxtcbcomponents"]!.AsArray().RemoveAt(15),
            "tdx.tcb_info tdx.tcb_info_date tdx.tcb_info_platform tdx.tdx_module tdx.tcb_supported tdx.tcb_status tdx.advisories tdx.tcb_evaluation",
            RejectionCode.Malformed),
        ["an enclave identity of SGX"] = (
            platform => platform.QeIdentity["id"] = "QE",
            "tdx.qe_identity tdx.qe_identity_date tdx.qe tdx.tcb_supported tdx.tcb_status tdx.advisories tdx.tcb_evaluation", RejectionCode.Mismatch),
        ["an enclave identity of another version"] = (
            platform => platform.QeIdentity["version"] = 3,
            "tdx.qe_identity tdx.qe_identity_date tdx.qe tdx.tcb_supported tdx.tcb_status tdx.advisories tdx.tcb_evaluation", RejectionCode.Mismatch),
        ["TCB info past its next update"] = (platform => platform.TcbInfo["nextUpdate"] = "2026-06-01T11:59:59Z", "tdx.tcb_info_date", RejectionCode.Expired),
        ["TCB info of tomorrow"] = (platform => platform.TcbInfo["issueDate"] = "2026-06-01T12:00:01Z", "tdx.tcb_info_date", RejectionCode.NotYetValid),
        ["TCB info of another platform"] = (platform => platform.TcbInfo["fmspc"] = "00806F050000", "tdx.tcb_info_platform", RejectionCode.Mismatch),
        ["TCB info of another PCE"] = (platform => platform.TcbInfo["pceId"] = "0001", "tdx.tcb_info_platform", RejectionCode.Mismatch),
        ["QE identity past its next update"] = (
            platform => platform.QeIdentity["nextUpdate"] = "2026-06-01T11:59:59Z", "tdx.qe_identity_date", RejectionCode.Expired),
        ["collateral older than the policy allows"] = (
            platform => platform.Policy = platform.Policy with { MaxTcbInfoAge = TimeSpan.FromDays(12) },
            "tdx.tcb_info_date tdx.qe_identity_date", RejectionCode.Expired),
        ["an enclave of another signer"] = (platform => platform.QeReport[128] ^= 1, "tdx.qe", RejectionCode.Mismatch),
        ["an enclave of another product"] = (platform => platform.QeReport[256] ^= 1, "tdx.qe", RejectionCode.Mismatch),
        ["an enclave that is debugged"] = (platform => platform.QeReport[48] |= 2, "tdx.qe", RejectionCode.Mismatch),
        ["an enclave of another misc select"] = (platform => platform.QeReport[16] ^= 1, "tdx.qe", RejectionCode.Mismatch),
        ["a TDX module of another signer"] = (platform => platform.Body[64] ^= 1, "tdx.tdx_module", RejectionCode.Mismatch),
        ["a TDX module of other attributes"] = (platform => platform.Body[112] ^= 1, "tdx.tdx_module", RejectionCode.Mismatch),
        ["an older TDX module of another signer"] = (
            platform =>
            {
                platform.Body[1] = 0;
                platform.Body[64] ^= 1;
            },
            "tdx.tdx_module", RejectionCode.Mismatch),
        ["a TDX module that nobody knows"] = (platform => platform.Body[1] = 9, "tdx.tdx_module tdx.tcb_supported tdx.tcb_status", RejectionCode.Mismatch),
        ["a platform below every level"] = (platform => platform.PceSvn = 4, "tdx.tcb_supported tdx.tcb_status", RejectionCode.OutOfDate),
        ["a platform below every level where everything is advisory"] = (
            platform =>
            {
                platform.PceSvn = 4;
                platform.Policy = platform.Policy with { Advisory = Everything };
            },
            "tdx.tcb_supported", RejectionCode.OutOfDate),
        ["a revoked platform where everything is advisory"] = (
            platform =>
            {
                platform.TcbInfo["tcbLevels"] = new JsonArray(IntelPlatform.Level(11, 3, "Revoked"));
                platform.Policy = platform.Policy with { Advisory = Everything };
            },
            "tdx.tcb_supported", RejectionCode.Revoked),
        ["a platform at an old level"] = (platform => platform.PceSvn = 10, "tdx.tcb_status", RejectionCode.OutOfDate),
        ["a platform whose microcode is old"] = (platform => platform.Body[2] = 1, "tdx.tcb_supported tdx.tcb_status", RejectionCode.OutOfDate),
        ["a TDX module at an old level"] = (platform => platform.Body[0] = 3, "tdx.tcb_status", RejectionCode.OutOfDate),
        ["a TDX module below every level"] = (platform => platform.Body[0] = 1, "tdx.tcb_supported tdx.tcb_status", RejectionCode.OutOfDate),
        ["an enclave at an old level"] = (platform => platform.QeReport[258] = 3, "tdx.tcb_status", RejectionCode.OutOfDate),
        ["an older TDX module below every level"] = (
            platform =>
            {
                platform.Body[0] = 4;
                platform.Body[1] = 0;
            },
            "tdx.tcb_supported tdx.tcb_status", RejectionCode.OutOfDate),
        ["an advisory that the policy does not accept"] = (
            platform =>
            {
                platform.TcbInfo["tcbLevels"] = new JsonArray(IntelPlatform.Level(11, 3, "SWHardeningNeeded", "INTEL-SA-00615"));
                platform.Policy = platform.Policy with
                {
                    Tdx = platform.Policy.Tdx with { TcbStatuses = [TcbStatus.SWHardeningNeeded], Advisories = ["INTEL-SA-00614"] },
                };
            },
            "tdx.advisories", RejectionCode.OutOfDate),
        ["an evaluation older than the policy wants"] = (
            platform => platform.Policy = platform.Policy with { Tdx = platform.Policy.Tdx with { MinTcbEvaluationDataNumber = 21 } },
            "tdx.tcb_evaluation", RejectionCode.OutOfDate),
        ["a TDX module older than the policy wants"] = (
            platform =>
                platform.Policy =
                    platform.Policy with { Tdx = platform.Policy.Tdx with { MinTeeTcbSvn = Convert.FromHexString("05010300000000000000000000000000") } },
            "tdx.tee_tcb_svn", RejectionCode.OutOfDate),
        ["an extended feature that nobody knows"] = (platform => platform.Body[128 + 7] = 1, "tdx.xfam", RejectionCode.Unsupported),
        ["a TD without x87"] = (Without(0), "tdx.xfam", RejectionCode.Unsupported),
        ["a TD without SSE"] = (Without(1), "tdx.xfam", RejectionCode.Unsupported),
        ["a grace period that is over"] = (
            platform =>
            {
                platform.TcbInfo["tcbLevels"] = new JsonArray(IntelPlatform.Level(11, 3, "OutOfDate"));
                platform.Policy = platform.Policy with { Tdx = platform.Policy.Tdx with { OutOfDateGrace = TimeSpan.FromDays(151) } };
            },
            "tdx.tcb_status", RejectionCode.OutOfDate),
        ["a debug TD"] = (platform => platform.Body[120] |= 1, "tdx.debug", RejectionCode.Forbidden),
        ["a TD that is debugged in a way that nobody knows"] = (platform => platform.Body[120] |= 0x80, "tdx.debug tdx.td_attributes", RejectionCode.Forbidden),
        ["an attribute that nobody knows"] = (platform => platform.Body[121] |= 1, "tdx.td_attributes", RejectionCode.Unsupported),
        ["performance counters"] = (platform => platform.Body[127] |= 0x80, "tdx.perfmon", RejectionCode.Forbidden),
        ["a TD that may migrate"] = (platform => platform.Body[123] |= 0x20, "tdx.migratable", RejectionCode.Forbidden),
        ["a TD bound to a service TD"] = (
            platform =>
            {
                platform.Version = 5;
                platform.Body = [.. platform.Body, .. new byte[64]];
                platform.Body[^1] = 1;
            },
            "tdx.migratable", RejectionCode.Forbidden),
        ["no SEPT_VE_DISABLE where the policy wants it"] = (
            platform =>
            {
                platform.Body.AsSpan(120, 8).Clear();
                platform.Policy = platform.Policy with { Tdx = platform.Policy.Tdx with { RequireSeptVeDisable = true } };
            },
            "tdx.sept_ve_disable", RejectionCode.Forbidden),
        ["another firmware"] = (Expect(tdx => tdx with { MrTd = ReferenceValues.OneOf(Register) }), "tdx.mr_td", RejectionCode.Mismatch),
        ["another hardware"] = (Expect(tdx => tdx with { Rtmr0 = ReferenceValues.OneOf(Register) }), "tdx.rtmr0", RejectionCode.Mismatch),
        ["another kernel"] = (Expect(tdx => tdx with { Rtmr1 = ReferenceValues.OneOf(Register) }), "tdx.rtmr1", RejectionCode.Mismatch),
        ["another command line"] = (Expect(tdx => tdx with { Rtmr2 = ReferenceValues.OneOf(Register) }), "tdx.rtmr2", RejectionCode.Mismatch),
        ["other runtime events"] = (Expect(tdx => tdx with { Rtmr3 = ReferenceValues.OneOf(Register) }), "tdx.rtmr3", RejectionCode.Mismatch),
        ["another configuration"] = (Expect(tdx => tdx with { MrConfigId = ReferenceValues.OneOf(Register) }), "tdx.mr_config_id", RejectionCode.Mismatch),
        ["another owner"] = (Expect(tdx => tdx with { MrOwner = ReferenceValues.OneOf(Register) }), "tdx.mr_owner", RejectionCode.Mismatch),
        ["another owner's configuration"] = (
            Expect(tdx => tdx with { MrOwnerConfig = ReferenceValues.OneOf(Register) }), "tdx.mr_owner_config", RejectionCode.Mismatch),
        ["another TDX module"] = (Expect(tdx => tdx with { MrSeam = ReferenceValues.OneOf(Register) }), "tdx.mr_seam", RejectionCode.Mismatch),
        ["another service TD"] = (
            platform =>
            {
                platform.Version = 5;
                platform.Body = [.. platform.Body, .. new byte[64]];
                platform.Body[^1] = 1;
                platform.Policy = platform.Policy with
                {
                    Tdx = platform.Policy.Tdx with { AllowMigration = true, MrServiceTd = ReferenceValues.OneOf(Register) },
                };
            },
            "tdx.mr_service_td", RejectionCode.Mismatch),
        ["the firmware of one release with the kernel of another"] = (
            platform =>
            {
                var (mrTd, kernel) = (platform.Body.AsSpan(136, 48).ToArray(), platform.Register(1).ToArray());
                platform.Policy = Policy.Default with
                {
                    Tdx = new TdxPolicy { References = [Release("one", mrTd, Register), Release("two", Register, kernel)] },
                };
            },
            "tdx.reference", RejectionCode.Mismatch),
        ["a platform that is not on the list"] = (
            platform => platform.Policy = platform.Policy with { Platforms = ["00"] }, "tdx.platform", RejectionCode.Forbidden),
    };

    public static TheoryData<string> Names => [.. Faults.Keys];

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    public void A_platform_without_a_fault_is_accepted(int version)
    {
        var verification = new IntelPlatform { Version = version }.Verify();
        verification.Verdict.Refusals().ShouldBeEmpty(verification.Verdict.ToText());
        verification.Verdict.IsAccepted.ShouldBeTrue();
        verification.Verdict.Warnings.Select(factor => factor.Name.Value).ShouldBe(["policy.test_roots"]);
    }

    [Theory]
    [InlineData(27)] // LASS
    [InlineData(30)] // PKS
    [InlineData(31)] // key locker
    public void An_attribute_that_protects_is_accepted(int bit)
    {
        var platform = new IntelPlatform();
        platform.Body[120 + (bit / 8)] |= (byte)(1 << (bit % 8));
        platform.Verify().Verdict.Refusals().ShouldBeEmpty();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_TD_that_no_module_makes_is_warned_of(int bit)
    {
        var platform = new IntelPlatform();
        platform.Body[128] ^= (byte)(1 << bit);
        var verdict = platform.Verify().Verdict;
        verdict.Refusals().ShouldBeEmpty();
        verdict.Warnings.Select(factor => factor.Name.Value).ShouldBe(["tdx.xfam_fixed", "policy.test_roots"]);
    }

    [Fact]
    public void After_a_check_that_ends_the_verification_none_is_made()
    {
        var platform = new IntelPlatform { ChangePckExtension = _ => [0x30, 0x00] };
        var verification = platform.Verify(reportData: new byte[64], eventLog: "[]"u8.ToArray());
        verification.Verdict.Factors.Select(factor => factor.Name.Value)
            .ShouldBe(["tdx.quote", "tdx.qe_vendor", "tdx.pck_path", "tdx.pck_extension", "policy.test_roots"]);
        verification.EventLog.ShouldBeNull();
    }

    [Fact]
    public void A_TD_of_version_1_5_is_accepted()
    {
        var platform = new IntelPlatform { Version = 5 };
        platform.Body = [.. platform.Body, .. new byte[64]];
        platform.Verify().Verdict.IsAccepted.ShouldBeTrue();
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void One_fault_is_refused_by_its_factor(string name)
    {
        var (fault, refusals, code) = Faults[name];
        var platform = new IntelPlatform();
        fault(platform);
        var verdict = platform.Verify().Verdict;
        verdict.Refusals().ShouldBe(refusals.Split(' ', StringSplitOptions.RemoveEmptyEntries), verdict.ToText());
        verdict.Failures.First().Code.ShouldBe(code, verdict.ToText());
    }

    [Fact]
    public void Every_factor_has_a_case_in_which_it_alone_refuses()
    {
        // The others are shown by recordings, by mutations and by the tests of event logs and bundles.
        string[] elsewhere =
        [
            "tdx.quote", "tdx.qe_report_signature", "tdx.attestation_key", "tdx.quote_signature", "tdx.tcb_info", "tdx.qe_identity", "tdx.report_data",
            "tdx.event_log", "tdx.tcb_evaluation_numbers", "tdx.tcb_evaluation_table", "tdx.xfam_fixed",
        ];
        var alone = Faults.Values.Select(fault => fault.Refusals).Where(refusals => refusals.Length > 0 && !refusals.Contains(' ')).Distinct();
        TdxFactors.All.Select(name => name.Value).Except(alone).ShouldBe(elsewhere, ignoreOrder: true);
    }

    [Fact]
    public void Without_the_root_in_its_path_a_quote_still_stands_on_the_pinned_one() =>
        new IntelPlatform { OmitRoot = true }.Verify().Verdict.IsAccepted.ShouldBeTrue();

    [Fact]
    public void A_policy_that_names_all_of_it_accepts_and_skips_nothing_but_the_log()
    {
        var platform = new IntelPlatform();
        ReferenceValues One(int offset) => ReferenceValues.OneOf(Register, platform.Body.AsSpan(offset, 48).ToArray());
        platform.Policy = Policy.Default with
        {
            Platforms = ["07828474603e7019dc930775ffe8cdd2"],
            Tdx = new TdxPolicy
            {
                RequireSeptVeDisable = true,
                MinTcbEvaluationDataNumber = 17,
                MinTeeTcbSvn = new byte[16],
                MrTd = One(136),
                Rtmr0 = One(328),
                Rtmr1 = One(376),
                Rtmr2 = One(424),
                Rtmr3 = One(472),
                MrConfigId = One(184),
                MrOwner = One(232),
                MrOwnerConfig = One(280),
                MrSeam = One(16),
            },
        };
        var verdict = platform.Verify(reportData: platform.Body.AsMemory(520, 64)).Verdict;
        verdict.IsAccepted.ShouldBeTrue(verdict.ToText());
        verdict.NotChecked.Select(factor => factor.Name.Value).ShouldBe(["tdx.tcb_evaluation_numbers", "tdx.mr_service_td", "tdx.reference", "tdx.event_log"]);
        foreach (var at in new[] { 0, 31, 32, 63 })
        {
            var other = platform.Body.AsSpan(520, 64).ToArray();
            other[at] ^= 1;
            platform.Verify(reportData: other).Verdict.Refusals().ShouldBe(["tdx.report_data"], $"byte {at}");
        }

        foreach (var size in new[] { 0, 32, 63 })
            platform.Verify(reportData: platform.Body.AsMemory(520, size)).Verdict.Refusals().ShouldBe(["tdx.report_data"], $"{size} bytes");
    }

    [Fact]
    public void What_a_policy_makes_advisory_is_shown_and_does_not_refuse()
    {
        var platform = new IntelPlatform { Policy = Policy.Parse("version = 1\nadvisory = [\"tdx.perfmon\"]") };
        platform.Body[127] |= 0x80;
        var verdict = platform.Verify().Verdict;
        verdict.IsAccepted.ShouldBeTrue();
        verdict.Warnings.Select(factor => factor.Name.Value).ShouldBe(["tdx.perfmon", "policy.test_roots"]);
    }

    [Fact]
    public void A_platform_that_is_out_of_date_is_accepted_for_its_grace_period_to_the_second()
    {
        var platform = new IntelPlatform
        {
            Policy = Policy.Default with { Tdx = new TdxPolicy { OutOfDateGrace = TimeSpan.FromDays(152), MinTcbEvaluationDataNumber = 20 } },
        };
        platform.TcbInfo["tcbLevels"] = new JsonArray(IntelPlatform.Level(11, 3, "OutOfDate", "INTEL-SA-00100"));
        var end = new DateTimeOffset(2026, 6, 2, 0, 0, 0, TimeSpan.Zero); // 2026-01-01 and 152 days
        var verdict = platform.Verify().Verdict;
        verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        verdict.ValidBefore.ShouldBe(end);
        platform.Verify(end.AddTicks(-1)).Verdict.Refusals().ShouldBeEmpty();
        platform.Verify(end).Verdict.Refusals().ShouldBe(["tdx.tcb_status", "tdx.advisories"]);
        // The QE's old level of 2024 counts as well; a revoked one is never within a grace period.
        platform.QeReport[258] = 3;
        platform.Verify().Verdict.Refusals().ShouldBe(["tdx.tcb_status", "tdx.advisories"]);
        platform.QeReport[258] = 4;
        platform.TcbInfo["tcbLevels"] = new JsonArray(IntelPlatform.Level(11, 3, "Revoked"));
        platform.Verify().Verdict.Refusals().ShouldBe(["tdx.tcb_supported", "tdx.tcb_status"]);
    }

    [Fact]
    public void A_debug_TD_needs_the_word_dangerous()
    {
        var platform = new IntelPlatform { Policy = Policy.Parse("version = 1\ndangerous_allow_debug = true") };
        platform.Body[120] |= 1;
        platform.Verify().Verdict.IsAccepted.ShouldBeTrue();
    }

    [Theory]
    [InlineData("UpToDate", true)]
    [InlineData("SWHardeningNeeded", true)]
    [InlineData("ConfigurationNeeded", true)]
    [InlineData("ConfigurationAndSWHardeningNeeded", true)]
    [InlineData("OutOfDate", true)]
    [InlineData("OutOfDateConfigurationNeeded", true)]
    [InlineData("Revoked", false)]
    public void Each_status_is_accepted_by_the_policy_that_names_it_and_by_no_other(string status, bool acceptable)
    {
        var platform = new IntelPlatform();
        platform.TcbInfo["tcbLevels"] = new JsonArray(IntelPlatform.Level(11, 3, status));
        var (quote, collateral) = (platform.Quote(), platform.Collateral());
        foreach (var accepted in TcbStatusNames.Acceptable)
        {
            platform.Policy = Policy.Parse($"version = 1\n[tdx]\ntcb_statuses = [\"{accepted}\"]");
            var verdict = TdxVerifier.Verify(quote, collateral, platform.TrustingPolicy(), IntelPlatform.Now).Verdict;
            verdict.IsAccepted.ShouldBe(acceptable && accepted == status, verdict.ToText());
            if (!verdict.IsAccepted)
                verdict.Refusals().ShouldBe(acceptable ? ["tdx.tcb_status"] : ["tdx.tcb_supported", "tdx.tcb_status"]);
        }
    }

    [Theory]
    [InlineData("UpToDate", "OutOfDate", "UpToDate", TcbStatus.OutOfDate)]
    [InlineData("UpToDate", "UpToDate", "OutOfDate", TcbStatus.OutOfDate)]
    [InlineData("SWHardeningNeeded", "OutOfDate", "UpToDate", TcbStatus.OutOfDate)]
    [InlineData("ConfigurationNeeded", "OutOfDate", "UpToDate", TcbStatus.OutOfDateConfigurationNeeded)]
    [InlineData("ConfigurationAndSWHardeningNeeded", "UpToDate", "OutOfDate", TcbStatus.OutOfDateConfigurationNeeded)]
    [InlineData("OutOfDateConfigurationNeeded", "OutOfDate", "OutOfDate", TcbStatus.OutOfDateConfigurationNeeded)]
    [InlineData("OutOfDate", "UpToDate", "UpToDate", TcbStatus.OutOfDate)]
    [InlineData("UpToDate", "Revoked", "OutOfDate", TcbStatus.Revoked)]
    [InlineData("OutOfDate", "UpToDate", "Revoked", TcbStatus.Revoked)]
    public void Statuses_combine_to_the_worst(string platformStatus, string moduleStatus, string qeStatus, TcbStatus combined)
    {
        var platform = new IntelPlatform();
        platform.TcbInfo["tcbLevels"] = new JsonArray(IntelPlatform.Level(11, 3, platformStatus));
        platform.TcbInfo["tdxModuleIdentities"]![0]!["tcbLevels"]![0]!["tcbStatus"] = moduleStatus;
        platform.QeIdentity["tcbLevels"]![0]!["tcbStatus"] = qeStatus;
        platform.Verify().Verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbStatus).Found.Split(' ')[0].ShouldBe(combined.ToString());
    }

    [Theory]
    [InlineData("Fine")]
    [InlineData("uptodate")]
    [InlineData("0")]
    [InlineData("99")]
    [InlineData("NoMatchingTcbLevel")]
    public void A_status_that_nobody_knows_is_refused(string status)
    {
        var platform = new IntelPlatform();
        platform.TcbInfo["tcbLevels"]![1]!["tcbStatus"] = status; // not even the level that matches
        var verdict = platform.Verify().Verdict;
        verdict.IsAccepted.ShouldBeFalse();
        verdict.CodeOf(TdxFactors.TcbInfo).ShouldBe(RejectionCode.Unsupported);
    }

    [Fact]
    public void The_edges_of_every_date_are_to_the_second_and_the_verdict_names_them()
    {
        // The lines of the dated table are edges as well: EvaluationTests.
        var platform = new IntelPlatform { Policy = Policy.Default with { Tdx = new TdxPolicy { MinTcbEvaluationDataNumber = 20 } } };
        var last = new DateTimeOffset(2026, 6, 20, 0, 0, 0, TimeSpan.Zero);
        var verdict = platform.Verify().Verdict;
        verdict.ValidFrom.ShouldBe(IntelPlatform.Now.AddDays(-10)); // the lists' this update
        verdict.ValidBefore.ShouldBe(last.AddTicks(1));
        platform.Verify(last).Verdict.IsAccepted.ShouldBeTrue();
        platform.Verify(last.AddTicks(1)).Verdict.Refusals().ShouldBe(["tdx.tcb_info_date", "tdx.qe_identity_date"]);
        platform.Verify(verdict.ValidFrom).Verdict.IsAccepted.ShouldBeTrue();
        platform.Verify(verdict.ValidFrom.AddTicks(-1)).Verdict.Refusals().ShouldBe(["tdx.root_crl", "tdx.pck_crl"]);
    }

    [Fact]
    public void Missing_collateral_is_refused_and_never_taken_for_empty()
    {
        var platform = new IntelPlatform();
        var (quote, whole, policy) = (platform.Quote(), platform.Collateral(), platform.TrustingPolicy());
        foreach (var (collateral, refusal) in new (TdxCollateral, FactorName)[]
        {
            (whole with { TcbInfo = null }, TdxFactors.TcbInfo), (whole with { QeIdentity = null }, TdxFactors.QeIdentity),
            (whole with { TcbSigningChain = null }, TdxFactors.TcbSigningPath), (whole with { PckCrl = null }, TdxFactors.PckCrl),
            (whole with { RootCaCrl = null }, TdxFactors.RootCrl), (new TdxCollateral(), TdxFactors.TcbInfo),
        })
        {
            var verdict = TdxVerifier.Verify(quote, collateral, policy, IntelPlatform.Now).Verdict;
            verdict.IsAccepted.ShouldBeFalse();
            verdict.CodeOf(refusal).ShouldBe(RejectionCode.Missing);
        }
    }

    [Fact]
    public void Only_the_policy_of_the_test_trusts_this_root()
    {
        var platform = new IntelPlatform();
        TdxVerifier.Verify(platform.Quote(), platform.Collateral(), Policy.Default, IntelPlatform.Now).Verdict.Refusals()
            .ShouldBe(["tdx.pck_path", "tdx.root_crl", "tdx.tcb_signing_path"]);
    }

    private static ReferenceSet Release(string name, byte[] mrTd, byte[] kernel) => new(
        name,
        new Dictionary<string, ReferenceValues>
        {
            ["mr_td"] = ReferenceValues.OneOf(mrTd),
            ["rtmr0"] = ReferenceValues.OneOf(new byte[48]),
            ["rtmr1"] = ReferenceValues.OneOf(kernel),
            ["rtmr2"] = ReferenceValues.Any,
            ["rtmr3"] = ReferenceValues.OneOf(new byte[48]),
        });

    // Of xfam, under a policy that demands what every TD has.
    private static Action<IntelPlatform> Without(int bit) => platform =>
    {
        platform.Body[128] ^= (byte)(1 << bit);
        platform.Policy = Policy.Parse("version = 1\n[tdx]\nxfam = [0, 1]");
    };

    private static Action<IntelPlatform> Expect(Func<TdxPolicy, TdxPolicy> change) =>
        platform => platform.Policy = platform.Policy with { Tdx = change(platform.Policy.Tdx) };
}
