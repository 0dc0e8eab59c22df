using BenchmarkDotNet.Attributes;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// A verdict on a recorded report of AMD SEV-SNP, its certificate path included: alone, in a bundle, and kept. The bound is 5 ms for a
/// bundle and 10 µs for a kept verdict. Needs the shared vectors: CONFIDENTIALCHAT_VECTORS.
/// </summary>
[MemoryDiagnoser]
public class SevSnpBenchmarks
{
    private readonly DateTimeOffset at = new(2026, 3, 1, 0, 0, 0, TimeSpan.Zero);
    private byte[] report = null!;
    private SevSnpCollateral collateral = null!;
    private RecordedBundle bundle = null!;

    [Params("02-milan-v2", "04-genoa-v5")]
    public string Set { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        var folder = RecordedBundle.Folder($"snp/{Set}");
        report = File.ReadAllBytes(Path.Combine(folder, "report.bin"));
        collateral = new SevSnpCollateral { Vek = File.ReadAllBytes(Path.Combine(folder, "vcek.der")) };
        if (!SevSnpReport())
            throw new InvalidOperationException("The recorded report is refused.");
        bundle = new RecordedBundle(
            new CpuEvidence { Type = CpuType.SevSnp, Evidence = report, Collateral = collateral.ToNamed() },
            Policy.Default with { MeasurementsAny = true }, at);
    }

    [Benchmark]
    public bool SevSnpReport() => SevSnpVerifier.Verify(report, collateral, Policy.Default, at).Verdict.IsAccepted;

    [Benchmark]
    public int SevSnpBundle() => bundle.Verify();

    [Benchmark]
    public int KeptVerdict() => bundle.VerifyKept();
}
