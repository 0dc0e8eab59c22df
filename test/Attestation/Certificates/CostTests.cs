using System.Diagnostics;
using System.Text;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests.Certificates;

/// <summary>spec/attestation.md section 3: bytes that want to be expensive, in time or in memory.</summary>
public sealed class CostTests
{
    [Fact]
    public void Blocks_that_begin_and_do_not_end_cost_no_more_than_a_path()
    {
        var root = Encoding.ASCII.GetString(Evidence.Bytes("roots/intel/Intel_SGX_Root_CA.pem")).Trim();
        var good = string.Join('\n', Enumerable.Repeat(root, Bounds.CertificateCount)).PadRight(Bounds.Pem);
        Parse(good).ShouldBeNull();
        var reference = Fastest(good);
        var begin = "-----BEGIN CERTIFICATE-----";
        var end = "-----END CERTIFICATE-----";
        foreach (var hostile in new[]
        {
            string.Concat(Enumerable.Repeat("-----BEGIN A-----\n", 1800)) + new string(' ', 33_000) + "-----END A-----",
            string.Concat(Enumerable.Repeat("-----BEGIN A-----\n", 3640)),
            string.Concat(Enumerable.Repeat(begin + "\n", 1150)) + new string(' ', 33_000) + end,
            string.Concat(Enumerable.Repeat(begin + "\n", 2340)),
            $"{begin}\n{string.Concat(Enumerable.Repeat("-----BEGIN A-----\n", 650))}{end}",
            $"{begin}\n{new string(' ', 65_000)}{end}",
        })
        {
            hostile.Length.ShouldBeLessThanOrEqualTo(Bounds.Pem);
            Parse(hostile).ShouldNotBeNull();
            Fastest(hostile).ShouldBeLessThan(20 * reference, "a reference that this machine made just before, whatever else it is doing");
        }

        static Rejection? Parse(string text)
        {
            var rejection = CertificateList.TryParse(Encoding.ASCII.GetBytes(text), out var list);
            list?.Dispose();
            return rejection;
        }

        static TimeSpan Fastest(string text) => Enumerable.Range(0, 7).Min(_ =>
        {
            var watch = Stopwatch.StartNew();
            Parse(text);
            return watch.Elapsed;
        });
    }

    [Fact]
    public void Deeply_nested_and_oversized_input_is_refused_quickly()
    {
        var watch = Stopwatch.StartNew();
        var depth = new byte[Bounds.RevocationList];
        for (var i = 0; i + 4 <= depth.Length; i += 4)
            new byte[] { 0x30, 0x82, (byte)((depth.Length - i - 4) >> 8), (byte)(depth.Length - i - 4) }.CopyTo(depth, i);
        RevocationList.TryParse(depth, out _).ShouldNotBeNull();
        Certificate.TryParse(depth.AsSpan(0, Bounds.Certificate), out _).ShouldNotBeNull();
        RevocationList.TryParse(new byte[Bounds.RevocationList + 1], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        Certificate.TryParse(new byte[Bounds.Certificate + 1], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        TdxQuote.TryParse(new byte[Bounds.TdxQuote + 1], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        var platform = new IntelPlatform();
        foreach (var json in new[]
        {
            new string('[', 100_000), $"{{\"tcbInfo\":{new string('[', 100)}{new string(']', 100)},\"signature\":\"\"}}",
            $"{{\"tcbInfo\":{{\"id\":\"{new string('x', 200_000)}\"}}}}", $"{{{string.Join(',', Enumerable.Range(0, 20_000).Select(i => $"\"a{i}\":1"))}}}",
        })
        {
            var verdict = TdxVerifier.Verify(
                platform.Quote(), platform.Collateral() with { TcbInfo = Encoding.UTF8.GetBytes(json) }, platform.TrustingPolicy(), IntelPlatform.Now).Verdict;
            verdict.IsAccepted.ShouldBeFalse();
            verdict.CodeOf(TdxFactors.TcbInfo).ShouldBe(RejectionCode.Malformed);
        }

        var levels = string.Join(',', Enumerable.Repeat(IntelPlatform.Level(11, 3, "UpToDate").ToJsonString(), Bounds.TcbLevelCount + 1));
        platform.TcbInfo["tcbLevels"] = System.Text.Json.Nodes.JsonNode.Parse($"[{levels}]");
        platform.Verify().Verdict.IsAccepted.ShouldBeFalse();
        watch.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(20), "on a busy machine; idle it takes a fraction of a second");
    }

    [Fact]
    public void The_largest_bundle_of_members_is_refused_quickly()
    {
        var members = Encoding.UTF8.GetBytes($"{{{string.Join(',', Enumerable.Range(0, 350_000).Select(i => $"\"{i}\":0"))}}}");
        members.Length.ShouldBeLessThan(Bounds.Bundle);
        var watch = Stopwatch.StartNew();
        new BundleVerifier().Verify(members, Policy.Default, IntelPlatform.Now).Verdict.Refusals().ShouldBe(["bundle.format"]);
        new BundleVerifier().Verify(
            Encoding.UTF8.GetBytes($"{{\"devices\":[{new string('0', 1)}{string.Concat(Enumerable.Repeat(",0", 2_000_000))}]}}"),
            Policy.Default, IntelPlatform.Now)
            .Verdict.Refusals().ShouldBe(["bundle.format"]);
        watch.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(20), "on a busy machine; idle it takes a fraction of a second");
    }

    [Fact]
    public void Too_many_tokens_are_refused_without_memory_for_them()
    {
        var bundle = Encoding.UTF8.GetBytes($"{{{string.Join(',', Enumerable.Range(0, 350_000).Select(i => $"\"{i}\":0"))}}}");
        EvidenceBundle.TryParse(bundle, out _);
        var before = GC.GetAllocatedBytesForCurrentThread();
        EvidenceBundle.TryParse(bundle, out _).ShouldNotBeNull();
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(64 << 10);
    }

    [Fact]
    public void The_largest_bundle_of_nonsense_is_refused_without_much_memory()
    {
        var bundle = Encoding.UTF8.GetBytes($"{{\"statement\":\"{new string('A', Bounds.Bundle - 32)}\"}}");
        var before = GC.GetAllocatedBytesForCurrentThread();
        new BundleVerifier().Verify(bundle, Policy.Default, IntelPlatform.Now).Verdict.Refusals().ShouldBe(["bundle.format"]);
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(10 * Bounds.Bundle);
    }
}
