using BenchmarkDotNet.Attributes;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// A verdict on a recorded report of AMD SEV-SNP, its certificate path included: alone, in a bundle, and kept. The bound is 5 ms for a
/// bundle and 10 µs for a kept verdict. CONFIDENTIALCHAT_VECTORS names the shared vectors.
/// </summary>
[MemoryDiagnoser]
public class SevSnpBenchmarks
{
    private readonly DateTimeOffset at = new(2026, 3, 1, 0, 0, 0, TimeSpan.Zero);
    private readonly BundleVerifier verifier = new();
    private readonly Policy policy = Policy.Default with { MeasurementsAny = true };
    private byte[] report = null!;
    private SevSnpCollateral collateral = null!;
    private byte[] bytes = null!;
    private EvidenceBundle bundle = null!;
    private KeptVerdicts kept = null!;

    [Params("02-milan-v2", "04-genoa-v5")]
    public string Set { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        var folder = Path.Combine(Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_VECTORS") ?? throw new InvalidOperationException("CONFIDENTIALCHAT_VECTORS is not set."), "snp", Set);
        report = File.ReadAllBytes(Path.Combine(folder, "report.bin"));
        collateral = new SevSnpCollateral { Vek = File.ReadAllBytes(Path.Combine(folder, "vcek.der")) };
        if (!Verify())
            throw new InvalidOperationException("The recorded report is refused.");

        // A recorded report binds no statement of ours: every check is made, and bundle.report_data alone refuses.
        var statement = new BundleStatement
        {
            Node = 1,
            Keys = new NodeKeys { Ohttp = new byte[1220], X25519 = new byte[32], Signing = new byte[32] },
            IssuedAt = at,
            NotAfter = at.AddHours(1),
            Nonce = new byte[32],
            Software = new NodeSoftware("node", "1", null),
            Configuration = new NodeConfiguration(null, [], "information", []),
        };
        bytes = EvidenceBundle.Write(statement.ToBytes(), new CpuEvidence { Type = CpuType.SevSnp, Evidence = report, Collateral = collateral.ToNamed() }, []);
        if (EvidenceBundle.TryParse(bytes, out var parsed) is not null)
            throw new InvalidOperationException("The bundle does not parse.");
        bundle = parsed!;
        if (verifier.Verify(bundle, policy, at).Verdict.Failures.Single().Name != BundleFactors.ReportData)
            throw new InvalidOperationException("More than the binding is refused.");
        kept = new KeptVerdicts(verifier, policy, 16);
    }

    [Benchmark]
    public bool Verify() => SevSnpVerifier.Verify(report, collateral, Policy.Default, at).Verdict.IsAccepted;

    [Benchmark]
    public int SevSnpBundle() => verifier.Verify(bytes, policy, at).Verdict.Factors.Count;

    [Benchmark]
    public int KeptVerdict() => kept.Verify(bundle, at).Verdict.Factors.Count;
}
