using System.Globalization;
using System.Text.Json;
using BenchmarkDotNet.Attributes;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// A verdict on recorded TDX evidence with its collateral, from the bytes and kept. The bound is 5 ms for a bundle and 10 µs for a kept
/// verdict. Needs the shared vectors: CONFIDENTIALCHAT_VECTORS.
/// </summary>
[MemoryDiagnoser]
public class AttestationBenchmarks
{
    private const string Set = "tdx/01-v4-uptodate-b0c06f";

    private readonly BundleVerifier verifier = new();
    private byte[] quote = null!;
    private TdxCollateral collateral = null!;
    private Policy policy = null!;
    private DateTimeOffset at;
    private byte[] bytes = null!;
    private EvidenceBundle bundle = null!;
    private KeptVerdicts kept = null!;

    [GlobalSetup]
    public void Setup()
    {
        var folder = Path.Combine(Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_VECTORS") ?? throw new InvalidOperationException("CONFIDENTIALCHAT_VECTORS is not set"), Set);
        using var expected = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")));
        at = DateTimeOffset.Parse(expected.RootElement.GetProperty("verdicts")[0].GetProperty("verification_time").GetString()!, CultureInfo.InvariantCulture);
        quote = File.ReadAllBytes(Path.Combine(folder, "quote.bin"));
        collateral = new CollateralFolder(folder).Tdx(TdxVerifier.ReadFmspc(quote));
        policy = Policy.Default with { MeasurementsAny = true };
        if (!TdxVerifier.Verify(quote, collateral, policy, at).Verdict.IsAccepted)
            throw new InvalidOperationException("The evidence is not accepted.");

        // A recorded quote binds no statement of ours: every check is made, and bundle.report_data alone refuses.
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
        bytes = EvidenceBundle.Write(statement.ToBytes(), new CpuEvidence { Type = CpuType.Tdx, Evidence = quote, Collateral = collateral.ToNamed() }, []);
        if (EvidenceBundle.TryParse(bytes, out var parsed) is not null)
            throw new InvalidOperationException("The bundle does not parse.");
        bundle = parsed!;
        if (verifier.Verify(bundle, policy, at).Verdict.Failures.Single().Name != BundleFactors.ReportData)
            throw new InvalidOperationException("More than the binding is refused.");
        kept = new KeptVerdicts(verifier, policy, 16);
    }

    [Benchmark]
    public bool TdxQuote() => TdxVerifier.Verify(quote, collateral, policy, at).Verdict.IsAccepted;

    [Benchmark]
    public int TdxBundle() => verifier.Verify(bytes, policy, at).Verdict.Factors.Count;

    [Benchmark]
    public int ParseBundle() => EvidenceBundle.TryParse(bytes, out var parsed) is null ? parsed!.Devices.Count : -1;

    [Benchmark]
    public int KeptVerdict() => kept.Verify(bundle, at).Verdict.Factors.Count;
}
