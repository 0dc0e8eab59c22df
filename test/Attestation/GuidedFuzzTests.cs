using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Attestation.Tests.Tdx;
using ConfidentialChat.Fuzz;
using ConfidentialChat.Fuzz.Evidence;

namespace ConfidentialChat.Attestation.Tests;

/// <summary>What <c>test/Fuzz/fuzz.sh</c> found stays found: its corpora, in the fast run.</summary>
public sealed class GuidedFuzzTests
{
    public static TheoryData<string> Targets => [.. EvidenceTargets.All.Keys];

    [Theory]
    [MemberData(nameof(Targets))]
    public void The_inputs_that_were_found_are_refused_by_a_typed_rejection_in_time(string target) => Corpus.Run(target, EvidenceTargets.All[target]);

    [Fact]
    public void Evidence_of_platforms_of_our_own_is_refused_under_the_default_policy()
    {
        var (old, young) = (new IntelPlatform(), new IntelPlatform { Version = 5 });
        young.Body = [.. young.Body, .. new byte[64]];
        var collateral = old.Collateral();
        Seed("quote", old.Quote(), young.Quote(), Encoding.ASCII.GetBytes(Convert.ToHexStringLower(old.Quote())));

        EmulatedChip[] chips =
        [
            new(), new() { Kind = VekKind.Vlek, Version = 5 }, new() { Product = SevSnpProduct.Genoa, Version = 2 },
            new() { Product = SevSnpProduct.Turin, Version = 5 },
        ];
        Seed("snp-report", chips.Select(chip => (byte[])[.. chip.Report(), .. chip.Collateral.Vek!.Value.Span]));
        using var vek = chips[0].Vek();
        Seed("snp-report", chips[0].Report(), [.. chips[0].Report(), .. vek.RawData]);

        var list = chips[0].Crl(EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddDays(9), [1, 2, 3], [4]);
        Seed("crl", collateral.PckCrl!.Value.ToArray(), collateral.RootCaCrl!.Value.ToArray(), list);
        Seed("crl", Encoding.ASCII.GetBytes(new string(PemEncoding.Write("X509 CRL", list))));

        using var root = chips[0].Root();
        Seed("certificate", root.RawData, vek.RawData, collateral.TcbSigningChain!.Value.ToArray(), chips[0].Collateral.Vek!.Value.ToArray());

        using var simulated = new SimulatedPlatform();
        foreach (var (type, evidence, more) in new (string, ReadOnlyMemory<byte>, IReadOnlyDictionary<string, ReadOnlyMemory<byte>>)[]
        {
            (CpuType.Simulated, simulated.Sign(new byte[64]).Evidence, new Dictionary<string, ReadOnlyMemory<byte>>()),
            (CpuType.SevSnp, chips[0].Report(), new SevSnpCollateral { Vek = vek.RawData }.ToNamed()),
            (CpuType.Tdx, old.Quote(), new Dictionary<string, ReadOnlyMemory<byte>> { ["root_ca_crl"] = collateral.RootCaCrl!.Value }),
        })
        {
            var node = new BundleStatement
            {
                Node = 7,
                Keys = new NodeKeys { Ohttp = new byte[45], X25519 = new byte[32], Signing = new byte[32] },
                IssuedAt = IntelPlatform.Now.AddMinutes(-5),
                NotAfter = IntelPlatform.Now.AddMinutes(65),
                Nonce = new byte[32],
                Software = new NodeSoftware("node", "0.1.0"),
                Models = [new NodeModel("llama", new string('a', 64)), new NodeModel("remote", null)],
                Configuration = new NodeConfiguration(["http://127.0.0.1:8000"], ["DangerousPlainHttp"], "information", ["--threads=2"]),
            };
            var device = new DeviceEvidence { Architecture = "HOPPER", Evidence = new byte[99], Certificates = new byte[9], Collateral = [new byte[32]] };
            Seed(
                "bundle",
                EvidenceBundle.Write(node.ToBytes(), new CpuEvidence { Type = type, Evidence = evidence, Collateral = more }, [device]),
                EvidenceBundle.Write(node.ToBytes(), new CpuEvidence { Type = type, Evidence = evidence, Collateral = more }, []));
        }
    }

    private static void Seed(string target, params IEnumerable<byte[]> seeds) => Corpus.Seed(target, EvidenceTargets.All[target], seeds);
}
