using System.Globalization;
using System.Text.Json;
using BenchmarkDotNet.Attributes;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// A verdict on recorded TDX evidence with its collateral: alone, in a bundle, and kept. The bound is 5 ms for a bundle and 10 µs for a
/// kept verdict. Needs the shared vectors: CONFIDENTIALCHAT_VECTORS.
/// </summary>
[MemoryDiagnoser]
public class TdxBenchmarks
{
    private readonly Policy policy = Policy.Default with { MeasurementsAny = true };
    private byte[] quote = null!;
    private TdxCollateral collateral = null!;
    private DateTimeOffset at;
    private RecordedBundle bundle = null!;

    [GlobalSetup]
    public void Setup()
    {
        var folder = RecordedBundle.Folder("tdx/01-v4-uptodate-b0c06f");
        using var expected = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")));
        at = DateTimeOffset.Parse(expected.RootElement.GetProperty("verdicts")[0].GetProperty("verification_time").GetString()!, CultureInfo.InvariantCulture);
        quote = File.ReadAllBytes(Path.Combine(folder, "quote.bin"));
        collateral = new CollateralFolder(folder).Tdx(TdxVerifier.ReadFmspc(quote));
        if (!TdxQuote())
            throw new InvalidOperationException("The recorded quote is refused.");
        bundle = new RecordedBundle(new CpuEvidence { Type = CpuType.Tdx, Evidence = quote, Collateral = collateral.ToNamed() }, policy, at);
    }

    [Benchmark]
    public bool TdxQuote() => TdxVerifier.Verify(quote, collateral, policy, at).Verdict.IsAccepted;

    [Benchmark]
    public int TdxBundle() => bundle.Verify();

    [Benchmark]
    public int ParseBundle() => bundle.Parse();

    [Benchmark]
    public int KeptVerdict() => bundle.VerifyKept();
}
