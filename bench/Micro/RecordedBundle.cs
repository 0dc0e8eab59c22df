using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Bench.Micro;

/// <summary>Recorded evidence in a bundle. It binds no statement of ours: every check is made, and <c>bundle.report_data</c> alone refuses.</summary>
internal sealed class RecordedBundle
{
    private readonly BundleVerifier verifier = new();
    private readonly Policy policy;
    private readonly DateTimeOffset at;
    private readonly byte[] bytes;
    private readonly EvidenceBundle parsed;
    private readonly KeptVerdicts kept;

    public RecordedBundle(CpuEvidence evidence, Policy policy, DateTimeOffset at)
    {
        (this.policy, this.at) = (policy, at);
        var statement = new BundleStatement
        {
            Node = 1,
            Keys = new NodeKeys { Ohttp = new byte[1220], X25519 = new byte[32], Signing = new byte[32] },
            IssuedAt = at,
            NotAfter = at.AddHours(1),
            Nonce = new byte[32],
            Software = new NodeSoftware("node", "1"),
            Models = [],
            Configuration = new NodeConfiguration([], [], "information", []),
        };
        bytes = EvidenceBundle.Write(statement.ToBytes(), evidence, []);
        if (EvidenceBundle.TryParse(bytes, out var bundle) is not null)
            throw new InvalidOperationException("The bundle does not parse.");
        parsed = bundle!;
        if (verifier.Verify(parsed, policy, at).Verdict.Failures.Single().Name != BundleFactors.ReportData)
            throw new InvalidOperationException("More than the binding is refused.");
        kept = new KeptVerdicts(verifier, policy, 16);
    }

    /// <summary>A folder of the shared vectors, which CONFIDENTIALCHAT_VECTORS names.</summary>
    public static string Folder(string set) =>
        Path.Combine(
            Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_VECTORS") ?? throw new InvalidOperationException("CONFIDENTIALCHAT_VECTORS is not set."), set);

    public int Parse() => EvidenceBundle.TryParse(bytes, out var bundle) is null ? bundle!.Devices.Count : -1;

    public int Verify() => verifier.Verify(bytes, policy, at).Verdict.Factors.Count;

    public int VerifyKept() => kept.Verify(parsed, at).Verdict.Factors.Count;
}
