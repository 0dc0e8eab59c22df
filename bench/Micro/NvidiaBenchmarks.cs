using System.Security.Cryptography;
using System.Text.Json;
using BenchmarkDotNet.Attributes;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// A verdict on recorded NVIDIA devices: one alone, one with the RIM file of its VBIOS, eight GPUs and four switches of one machine, and eight GPUs
/// with a TDX quote in a bundle. The bounds are 5 ms a device, and 45 ms for eight devices and a CPU. Needs the shared vectors: CONFIDENTIALCHAT_VECTORS.
/// </summary>
[MemoryDiagnoser]
public class NvidiaBenchmarks
{
    private static readonly DateTimeOffset At = new(2024, 6, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly DateTimeOffset QuoteAt = new(2025, 7, 4, 10, 16, 31, TimeSpan.Zero);

    private readonly BundleVerifier verifier = new();
    private readonly Policy policy = Policy.Default with { MeasurementsAny = true, Nvidia = new NvidiaPolicy { RequireRims = false } };
    private NvidiaEvidence alone = null!;
    private NvidiaEvidence withRim = null!;
    private NvidiaEvidence[] machine = [];
    private byte[] rim = [];
    private byte[] bundle = [];
    private EvidenceBundle parsed = null!;
    private KeptVerdicts kept = null!;
    private ConfidentialChat.Attestation.DocumentSet documents = null!;

    [GlobalSetup]
    public void Setup()
    {
        var folder = RecordedBundle.Folder("gpu/02-hopper-535.86.09-with-rims");
        rim = File.ReadAllBytes(Path.Combine(folder, "vbios_rim_96005E0001.swidtag"));
        alone = new NvidiaEvidence
        {
            Report = File.ReadAllBytes(Path.Combine(folder, "report.bin")),
            Certificates = File.ReadAllBytes(Path.Combine(folder, "cert_chain.pem")),
        };
        withRim = alone with { Documents = [rim] };
        machine = [.. List("gpu/05-hopper-ppcie-8gpu-590.12"), .. List("gpu/06-nvswitch-ppcie-4x")];
        var cpu = RecordedBundle.Folder("tdx/01-v4-uptodate-b0c06f");
        var evidence = new CpuEvidence
        {
            Type = "tdx",
            Evidence = File.ReadAllBytes(Path.Combine(cpu, "quote.bin")),
            Collateral = new ConfidentialChat.Attestation.Collateral.CollateralFolder(cpu).Tdx(null).ToNamed(),
        };
        DeviceEvidence[] devices = [.. List("gpu/09-atoma-8xhopper-570.124.06").Select(device => new DeviceEvidence
        {
            Architecture = device.Architecture!,
            Evidence = device.Report,
            Certificates = device.Certificates,
            Collateral = [SHA256.HashData(rim)],
        })];
        var statement = new BundleStatement
        {
            Node = 1,
            Keys = new NodeKeys { Ohttp = new byte[1220], X25519 = new byte[32], Signing = new byte[32] },
            IssuedAt = QuoteAt,
            NotAfter = QuoteAt.AddHours(1),
            Nonce = new byte[32],
            Software = new NodeSoftware("node", "1"),
            Models = [],
            Configuration = new NodeConfiguration([], [], "information", []),
            Devices = [.. devices.Select(device => SHA256.HashData(device.Evidence.Span))],
        };
        bundle = EvidenceBundle.Write(statement.ToBytes(), evidence, devices);
        (kept, documents) = (new KeptVerdicts(verifier, policy, 16), new ConfidentialChat.Attestation.DocumentSet(rim));
        if (EvidenceBundle.TryParse(bundle, out var read) is not null)
            throw new InvalidOperationException("The bundle does not parse.");
        parsed = read!;
        if (!Device() || !DeviceWithRim() || !Machine())
            throw new InvalidOperationException("A recorded device is refused.");
    }

    [Benchmark]
    public bool Device() => Verify([alone]);

    [Benchmark]
    public bool DeviceWithRim() => Verify([withRim]);

    [Benchmark]
    public bool Machine() => Verify(machine);

    /// <summary>Every check is made; binding and nonces refuse, and the VBIOS of another device.</summary>
    [Benchmark]
    public int BundleOfEight() => verifier.Verify(bundle, policy, QuoteAt, null, documents).Verdict.Factors.Count;

    [Benchmark]
    public int KeptVerdict() => kept.Verify(parsed, QuoteAt, null, documents).Verdict.Factors.Count;

    private static bool Verify(IReadOnlyList<NvidiaEvidence> devices) => NvidiaVerifier.Verify(devices, Policy.Default, At).Verdict.IsAccepted;

    private static IReadOnlyList<NvidiaEvidence> List(string set) =>
        DeviceList.TryParse(File.ReadAllBytes(Path.Combine(RecordedBundle.Folder(set), "evidence.json")), out var devices) is null
            ? devices!
            : throw new JsonException("A recorded list is refused.");
}
