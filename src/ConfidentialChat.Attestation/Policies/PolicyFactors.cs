// spec/attestation.md section 12, the checks that are a policy's to decide.
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Policies;

/// <summary>The factors that a policy's own members decide, whatever the processor. Raw evidence has the first and the last of them too.</summary>
public static class PolicyFactors
{
    public static readonly FactorName Tee = new("bundle.tee", FactorKind.Guard);
    public static readonly FactorName Time = new("bundle.time", FactorKind.Policy);
    public static readonly FactorName DangerousOptions = new("bundle.dangerous_options", FactorKind.Policy);
    public static readonly FactorName Upstream = new("bundle.upstream", FactorKind.Policy);
    public static readonly FactorName Devices = new("bundle.devices", FactorKind.Policy);
    public static readonly FactorName TestRoots = new("policy.test_roots", FactorKind.Notice);

    public static IReadOnlyList<FactorName> All { get; } = [Tee, Time, DangerousOptions, Upstream, Devices, TestRoots];

    /// <summary>Those that a policy may make advisory. Bundles add none: what binds them together is always enforced.</summary>
    internal static IReadOnlyCollection<string> Demotable { get; } =
        ((IEnumerable<FactorName>)[.. All, .. TdxFactors.All, .. SevSnpFactors.All, .. NvidiaFactors.All])
            .Where(name => name.Kind == FactorKind.Policy)
            .Select(name => name.Value)
            .ToHashSet(StringComparer.Ordinal);
}
