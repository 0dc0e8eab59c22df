using BenchmarkDotNet.Attributes;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Bench.Micro;

/// <summary>A verdict on a recorded report of AMD SEV-SNP, its certificate path included. CONFIDENTIALCHAT_VECTORS names the shared vectors.</summary>
[MemoryDiagnoser]
public class SevSnpBenchmarks
{
    private readonly DateTimeOffset at = new(2026, 3, 1, 0, 0, 0, TimeSpan.Zero);
    private byte[] report = null!;
    private SevSnpCollateral collateral = null!;

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
    }

    [Benchmark]
    public bool Verify() => SevSnpVerifier.Verify(report, collateral, Policy.Default, at).Verdict.IsAccepted;
}
