using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests;

/// <summary>spec/attestation.md section 2: what a factor expected and found is what is demanded and what is there, whichever way it went.</summary>
public sealed class FoundTests
{
    // Name: expected | found; long values by their beginnings.
    private const string OfATd = """
        tdx.quote: a TDX quote | version 4, 584 bytes of body
        tdx.qe_vendor: 939a… | 939a…
        tdx.pck_path: a path to the Intel SGX Root CA | Intel SGX PCK Certificate by Intel SGX PCK Platform CA
        tdx.pck_extension: Intel's extension | fmspc b0c06f000000
        tdx.qe_report_signature: signed by the PCK | signed by the PCK
        tdx.attestation_key: the attestation key's digest in the QE report | its digest
        tdx.quote_signature: signed by the attestation key | signed by the attestation key
        tdx.root_crl: the root's list, without these | neither intermediate nor TCB signer revoked
        tdx.pck_crl: the issuer's list, without the PCK | PCK not revoked
        tdx.tcb_signing_path: a path to the Intel SGX Root CA | Intel SGX TCB Signing
        tdx.tcb_info: TCB info signed by Intel | TCB info of 2026-05-20T00:00:00Z
        tdx.tcb_info_date: in date | until 2026-06-20T00:00:00Z
        tdx.tcb_info_platform: fmspc b0c06f000000, pceid 0000 | fmspc b0c06f000000, pceid 0000
        tdx.qe_identity: QE identity signed by Intel | QE identity of 2026-05-20T00:00:00Z
        tdx.qe_identity_date: in date | until 2026-06-20T00:00:00Z
        tdx.qe: Intel's quoting enclave | isvsvn 4
        tdx.tcb_evaluation_numbers:  | no list given
        tdx.tdx_module: the identity of the TDX module | TDX module TDX_01
        tdx.tcb_supported: neither Revoked nor NoMatchingTcbLevel | UpToDate (platform UpToDate, module UpToDate, QE UpToDate)
        tdx.tcb_status: UpToDate | UpToDate (platform UpToDate, module UpToDate, QE UpToDate)
        tdx.tee_tcb_svn:  | 0501… (not demanded)
        tdx.advisories: none open | none
        tdx.tcb_evaluation: tcbEvaluationDataNumber at least 18 | 20
        tdx.debug: no bit of 0 to 7 | no bit
        tdx.td_attributes: only bits 0, 27, 28, 29, 30, 31, 63 | bit 28
        tdx.xfam: only bits 0, 1, 2, 5, 6, 7, 8, 9, 11, 12, 14, 15, 17, 18 | bits 0, 1
        tdx.perfmon: PERFMON 0 | PERFMON 0
        tdx.migratable: MIGRATABLE 0, no service TD but a known one | MIGRATABLE 0, no service TD
        tdx.sept_ve_disable:  | SEPT_VE_DISABLE 1 (not demanded)
        tdx.mr_td:  | 4d4d… (nothing expected)
        tdx.rtmr0:  | 0000… (nothing expected)
        tdx.rtmr1:  | 0000… (nothing expected)
        tdx.rtmr2:  | 0000… (nothing expected)
        tdx.rtmr3:  | 0000… (nothing expected)
        tdx.mr_config_id:  | 0000… (nothing expected)
        tdx.mr_owner:  | 0000… (nothing expected)
        tdx.mr_owner_config:  | 0000… (nothing expected)
        tdx.mr_seam:  | 0000… (nothing expected)
        tdx.mr_service_td:  | 0000… (nothing expected)
        tdx.reference:  | no set of reference values
        tdx.platform:  | 0782… (any is accepted)
        tdx.report_data:  | dada… (nothing expected)
        tdx.event_log:  | no log given
        policy.test_roots: the vendors' roots | roots of a test
        """;

    private const string OfAChip = """
        snp.report: a SEV-SNP report | version 3
        snp.vek_path: a path to the pinned ARK-Milan | SEV-VCEK by SEV-Milan by ARK-Milan
        snp.vek_extensions: AMD's extensions | Milan; bootloader 4, tee 0, snp 24, microcode 219
        snp.signing_key: a VCEK's signature | a VCEK's signature
        snp.report_signature: signed by the VEK | signed by the SEV-VCEK
        snp.tcb: 04000000000018db of the certificate | 04000000000018db
        snp.product: Milan | Milan; family 19, model 01, stepping 1
        snp.chip_id: 0102… | 0102…
        snp.crl:  | no list given
        snp.debug: DEBUG 0 | DEBUG 0
        snp.guest_policy: bit 17 and no bit above 25 | 0x30000
        snp.abi: firmware of ABI 0.0 at least, by the guest's policy | 0.0
        snp.migration: MIGRATE_MA 0, no migration agent | MIGRATE_MA 0, no migration agent
        snp.smt:  | SMT 1 (not demanded)
        snp.cxl: CXL_ALLOW 0 | CXL_ALLOW 0
        snp.single_socket:  | SINGLE_SOCKET 0 (not demanded)
        snp.products:  | milan (not demanded)
        snp.vlek:  | a VCEK (not demanded)
        snp.csp_id:  | a VCEK, of no provider (not demanded)
        snp.vmpl:  | 0 (not demanded)
        snp.platform_info:  | no bit: none (not demanded)
        snp.tcb_order: committed and reported at most current | current 04000000000018db 000000, committed 04000000000018db 000000, reported 04000000000018db
        snp.provisional_firmware:  | current 04000000000018db 000000, committed 04000000000018db 000000 (not demanded)
        snp.mitigations:  | no bit at launch, no bit now (not demanded)
        snp.tcb_floor:  | reported_tcb: bootloader 4, tee 0, snp 24, microcode 219 (not demanded)
        snp.measurement:  | 4e4e… (nothing expected)
        snp.host_data:  | 0000… (nothing expected)
        snp.id_key_digest:  | 0000… (nothing expected)
        snp.author_key_digest:  | 0000… (nothing expected)
        snp.reference:  | no set of reference values
        snp.platform:  | 0102… (any is accepted)
        snp.report_data:  | dada… (nothing expected)
        policy.test_roots: the vendors' roots | roots of a test
        """;

    [Fact]
    public void A_verdict_that_accepts_shows_what_is_there()
    {
        string.Join('\n', Platform().Verify().Verdict.Said()).ShouldBe(OfATd);
        string.Join('\n', new EmulatedChip().Verify().Said()).ShouldBe(OfAChip);
    }

    [Fact]
    public void A_TD_whose_path_ends_early_and_whose_module_is_old_is_shown_as_that()
    {
        var platform = Platform();
        (platform.OmitIntermediate, platform.OmitRoot, platform.Body[1]) = (true, true, 0);
        Differs(platform.Verify(reportData: new byte[64]).Verdict, OfATd, """
            tdx.pck_path: 2 certificates below the root | 1 certificates
            tdx.pck_crl: the PCK's issuer | nothing
            tdx.tdx_module: the identity of the TDX module | TDX module of version 0
            tdx.tee_tcb_svn:  | 0500… (not demanded)
            tdx.report_data: 0000… | dada…
            """);
    }

    [Fact]
    public void A_TD_whose_documents_are_others_is_shown_beside_what_they_are()
    {
        var platform = Platform();
        platform.QeIdentity["version"] = 3;
        platform.Version = 5;
        platform.Body = [.. platform.Body, .. new byte[64]];
        platform.Body[^1] = 1;
        Differs(platform.Verify().Verdict, OfATd, """
            tdx.quote: a TDX quote | version 5, 648 bytes of body
            tdx.qe_identity: QE identity of TD_QE, version 2 | of TD_QE, version 3
            tdx.qe_identity_date: QE identity | none that can be read
            tdx.qe: QE identity | none that can be read
            tdx.tcb_supported: QE identity | none that can be read
            tdx.tcb_status: QE identity | none that can be read
            tdx.advisories: QE identity | none that can be read
            tdx.tcb_evaluation: QE identity | none that can be read
            tdx.migratable: MIGRATABLE 0, no service TD but a known one | MIGRATABLE 0, service TD 0000…
            """);
        // No check is left out.
        platform.Verify().Verdict.Factors.Select(factor => factor.Name.Value).ShouldBe(OfATd.Split('\n').Select(line => line.Split(':')[0]));
        platform.TcbInfo["version"] = 2;
        Differs(platform.Verify().Verdict, OfATd, """
            tdx.quote: a TDX quote | version 5, 648 bytes of body
            tdx.tcb_info: TCB info of TDX, version 3 | of TDX, version 2
            tdx.tcb_info_date: TCB info | none that can be read
            tdx.tcb_info_platform: TCB info | none that can be read
            tdx.qe_identity: QE identity of TD_QE, version 2 | of TD_QE, version 3
            tdx.qe_identity_date: QE identity | none that can be read
            tdx.qe: QE identity | none that can be read
            tdx.tdx_module: TCB info | none that can be read
            tdx.tcb_supported: TCB info | none that can be read
            tdx.tcb_status: TCB info | none that can be read
            tdx.advisories: TCB info | none that can be read
            tdx.tcb_evaluation: TCB info | none that can be read
            tdx.migratable: MIGRATABLE 0, no service TD but a known one | MIGRATABLE 0, service TD 0000…
            """);
    }

    [Fact]
    public void What_was_not_given_is_shown_as_nothing()
    {
        var platform = Platform();
        var (quote, collateral, policy) = (platform.Quote(), platform.Collateral(), platform.TrustingPolicy());
        Differs(
            TdxVerifier.Verify(quote, collateral with { TcbSigningChain = null, RootCaCrl = null, PckCrl = null }, policy, IntelPlatform.Now).Verdict, OfATd,
            """
                tdx.root_crl: the root's revocation list | nothing
                tdx.pck_crl: the revocation list of the PCK's issuer | nothing
                tdx.tcb_signing_path: the TCB signing chain | nothing
                tdx.tcb_info: the TCB signing certificate's key | nothing
                tdx.qe_identity: the TCB signing certificate's key | nothing
                """);
        Differs(TdxVerifier.Verify(quote, collateral, policy with { Tees = [CpuType.SevSnp] }, IntelPlatform.Now).Verdict, OfATd, "bundle.tee: sev-snp | tdx");
        var none = TdxVerifier.Verify([1], collateral, policy, IntelPlatform.Now);
        Differs(none.Verdict, OfATd, "tdx.quote: a quote's header | a size that does not fit");
        none.Measurements.ShouldBeEmpty();
        var nothing = SevSnpVerifier.Verify([1], new SevSnpCollateral(), policy, IntelPlatform.Now);
        Differs(nothing.Verdict, OfAChip, "snp.report: 1184 bytes | 1");
        nothing.Measurements.ShouldBeEmpty();
        TdxVerifier.Verify(quote, collateral, policy, IntelPlatform.Now).Measurements.Keys.ShouldBe(["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3"]);
        TdxVerifier.ReadFmspc(quote).ShouldBe("b0c06f000000");
        TdxVerifier.ReadFmspc(quote.AsSpan(0, 700)).ShouldBeNull();
        platform.ChangePckExtension = _ => [0x30, 0];
        TdxVerifier.ReadFmspc(platform.Quote()).ShouldBeNull();
    }

    [Fact]
    public void Collateral_is_complete_with_the_five_that_are_demanded_and_keeps_its_names()
    {
        var whole = Platform().Collateral();
        whole.IsComplete.ShouldBeTrue();
        foreach (var less in new[]
        {
            whole with { TcbInfo = null }, whole with { QeIdentity = null }, whole with { TcbSigningChain = null }, whole with { PckCrl = null },
            whole with { RootCaCrl = null },
        })
        {
            less.IsComplete.ShouldBeFalse();
            less.ToNamed().Count.ShouldBe(4);
            TdxCollateral.From(less.ToNamed()).ShouldBe(less);
        }

        TdxCollateral.From(whole.ToNamed()).ShouldBe(whole);
        var chip = new EmulatedChip();
        SevSnpCollateral.From(chip.Collateral.ToNamed()).Vek!.Value.ToArray().ShouldBe(chip.Collateral.Vek!.Value.ToArray());
        SevSnpCollateral.From(new SevSnpCollateral { Crl = new byte[] { 1 } }.ToNamed()).ShouldSatisfyAllConditions(
            read => read.Vek.ShouldBeNull(), read => read.Crl!.Value.ToArray().ShouldBe([1]));
    }

    [Fact]
    public void Evidence_that_cannot_be_read_claims_nothing()
    {
        var policy = Policy.Default;
        new TdxCpuVerifier().Verify(Given(CpuType.Tdx), policy, policy.Begin(IntelPlatform.Now)).ShouldBeNull();
        new SevSnpCpuVerifier().Verify(Given(CpuType.SevSnp), policy, policy.Begin(IntelPlatform.Now)).ShouldBeNull();

        static CpuEvidence Given(string type) =>
            new() { Type = type, Evidence = new byte[] { 1 }, Collateral = new Dictionary<string, ReadOnlyMemory<byte>>() };
    }

    [Fact]
    public void A_null_is_the_callers_mistake()
    {
        var (policy, findings) = (Policy.Default, Policy.Default.Begin(IntelPlatform.Now));
        var evidence = new CpuEvidence { Type = CpuType.Tdx, Evidence = new byte[] { 1 }, Collateral = new Dictionary<string, ReadOnlyMemory<byte>>() };
        foreach (var call in new Action[]
        {
            () => TdxVerifier.Verify([], null!, policy, IntelPlatform.Now), () => TdxVerifier.Verify([], new TdxCollateral(), null!, IntelPlatform.Now),
            () => TdxCollateral.From(null!), () => new TdxCpuVerifier().Verify(null!, policy, findings),
            () => new TdxCpuVerifier().Verify(evidence, null!, findings), () => new TdxCpuVerifier().Verify(evidence, policy, null!),
            () => SevSnpVerifier.Verify([], null!, policy, IntelPlatform.Now),
            () => SevSnpVerifier.Verify([], new SevSnpCollateral(), null!, IntelPlatform.Now), () => SevSnpCollateral.From(null!),
            () => new SevSnpCpuVerifier().Verify(null!, policy, findings), () => new SevSnpCpuVerifier().Verify(evidence, null!, findings),
            () => new SevSnpCpuVerifier().Verify(evidence, policy, null!), () => PckExtension.TryRead(null!, out _),
            () => SevSnpProduct.Milan.Includes(null!), () => default(TcbVersion).Of(TcbComponent.Snp, null!),
        })
            Should.Throw<ArgumentNullException>(call);
    }

    [Fact]
    public void A_chip_whose_provider_signs_is_shown_as_that() => Differs((new EmulatedChip { Kind = VekKind.Vlek, Version = 2 }).Verify(), OfAChip, """
        snp.report: a SEV-SNP report | version 2
        snp.vek_path: a path to the pinned ARK-Milan | SEV-VLEK by SEV-VLEK-Milan by ARK-Milan
        snp.signing_key: a VLEK's signature | a VLEK's signature
        snp.report_signature: signed by the VEK | signed by the SEV-VLEK
        snp.product: Milan | Milan
        snp.chip_id:  | masked by the host, and a VLEK names no chip
        snp.vlek:  | a VLEK of CN=cloud.example (not demanded)
        snp.csp_id:  | CN=cloud.example (not demanded)
        snp.platform:  | masked (any is accepted)
        """);

    [Fact]
    public void A_chip_that_hides_itself_is_shown_beside_what_is_demanded()
    {
        var chip = new EmulatedChip
        {
            Content = report =>
            {
                report.AsSpan(0x1A0, 64).Clear();
                report[0x048] = 0b1_1110; // SIGNING_KEY 7, masked
                report[0x160] = 0;
                report[0x00A] |= 0x3D;
                report[0x040] = 0x25;
            },
        };
        Differs(chip.Verify(), OfAChip, """
            snp.signing_key: a VCEK's signature | a masked key
            snp.chip_id: 0102… | masked by the host; the VCEK names 0102…
            snp.debug: DEBUG 0 | DEBUG 1
            snp.guest_policy: bit 17 and no bit above 25 | 0x3f0000
            snp.migration: MIGRATE_MA 0, no migration agent | MIGRATE_MA 1, a migration agent
            snp.cxl: CXL_ALLOW 0 | CXL_ALLOW 1
            snp.single_socket:  | SINGLE_SOCKET 1 (not demanded)
            snp.platform_info:  | bits 0, 2, 5: smt, ecc, alias_check_complete (not demanded)
            """);
        Differs(
            chip.VerifyUnder(policy => policy with
            {
                AllowMaskedChipId = true,
                AllowVlek = false,
                AllowCxl = true,
                AllowMigration = true,
                AllowSmt = false,
                RequireSingleSocket = true,
                RequireCrl = true,
                MaxVmpl = 1,
                PlatformInfo = ["ecc"],
                PlatformInfoForbidden = ["tsme"],
                Products = ["genoa"],
                CspIds = ["CN=x"],
                Mitigations = [0],
                AllowProvisionalFirmware = false,
                MilanFloor = new TcbFloor { Snp = 24 },
            }),
            OfAChip,
            """
                snp.signing_key: a VCEK's signature | a masked key
                snp.chip_id:  | masked by the host; the VCEK names 0102… (not demanded)
                snp.crl: the revocation list of ARK-Milan | nothing
                snp.debug: DEBUG 0 | DEBUG 1
                snp.guest_policy: bit 17 and no bit above 25 | 0x3f0000
                snp.migration:  | MIGRATE_MA 1, a migration agent (not demanded)
                snp.smt: SMT 0 | SMT 1
                snp.cxl:  | CXL_ALLOW 1 (not demanded)
                snp.single_socket: SINGLE_SOCKET 1 | SINGLE_SOCKET 1
                snp.products: genoa | milan
                snp.vlek: a VCEK | a VCEK
                snp.vmpl: at most 1 | 0
                snp.platform_info: ecc; not tsme | bits 0, 2, 5: smt, ecc, alias_check_complete
                snp.provisional_firmware: firmware that is committed | current 04000000000018db 000000, committed 04000000000018db 000000
                snp.mitigations: bits 0 | no bit at launch, no bit now
                snp.tcb_floor: at least bootloader 0, tee 0, snp 24, microcode 0 | reported_tcb: bootloader 4, tee 0, snp 24, microcode 219
                """);
    }

    private static IntelPlatform Platform()
    {
        var platform = new IntelPlatform();
        platform.Body.AsSpan(136, 48).Fill(0x4D);
        platform.Body.AsSpan(520, 64).Fill(0xDA);
        return platform;
    }

    // What a verdict says that the other does not.
    private static void Differs(Verdict verdict, string other, string expected) =>
        string.Join('\n', verdict.Said().Except(other.Split('\n'))).ShouldBe(expected);
}
