// spec/attestation.md section 12.
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>
/// The witness of an accepted verdict: these keys live in a TEE that runs what the policy names. Only <see cref="BundleVerifier"/> makes it,
/// and what seals to a node takes nothing less. Immutable.
/// </summary>
public sealed class VerifiedBundle
{
    /// <summary>From the last moment of sealing to the erasure of the keys.</summary>
    public static readonly TimeSpan SealingMargin = TimeSpan.FromSeconds(60);

    internal VerifiedBundle(BundleStatement statement, CpuClaims claims, string type, DateTimeOffset validFrom, DateTimeOffset validBefore)
    {
        Statement = statement;
        Claims = claims;
        Type = type;
        ValidFrom = validFrom;
        ValidBefore = validBefore;
    }

    public BundleStatement Statement { get; }

    public NodeKeys Keys => Statement.Keys;

    public CpuClaims Claims { get; }

    /// <summary>One of <see cref="CpuType"/>. Simulated evidence protects nothing.</summary>
    public string Type { get; }

    /// <summary>The verdict stands from here ...</summary>
    public DateTimeOffset ValidFrom { get; }

    /// <summary>... until here, exclusively. After it the bundle has to be verified again.</summary>
    public DateTimeOffset ValidBefore { get; }

    /// <summary>Nothing is sealed to these keys from here on: a request has to arrive before they are erased.</summary>
    public DateTimeOffset SealBefore => Statement.NotAfter - SealingMargin is var end && end < ValidBefore ? end : ValidBefore;

    public bool IsValidAt(DateTimeOffset at) => at >= ValidFrom && at < ValidBefore;
}

/// <summary>A verdict on a bundle.</summary>
/// <param name="Verdict">The factors.</param>
/// <param name="Verified">The witness; null where the verdict refuses.</param>
/// <param name="Claims">What the processor's evidence says, believed or not; null where nothing could be read.</param>
public sealed record BundleVerification(Verdict Verdict, VerifiedBundle? Verified, CpuClaims? Claims);

/// <summary>Verifies bundles. Pure, and safe for several threads.</summary>
public sealed class BundleVerifier
{
    private readonly ICpuVerifier[] verifiers = [new TdxCpuVerifier(), new SevSnpCpuVerifier(), new SimulatedCpuVerifier()];
    private readonly IDeviceVerifier[] deviceVerifiers = [new NvidiaDeviceVerifier()];

    /// <param name="json">A bundle as it was received.</param>
    /// <param name="policy">What is accepted.</param>
    /// <param name="at">The time of verification.</param>
    /// <param name="nonce">The caller's challenge of 32 bytes, or null where there was none.</param>
    /// <param name="documents">Those that the bundle's devices name by digest; null is none.</param>
    public BundleVerification Verify(
        ReadOnlyMemory<byte> json, Policy policy, DateTimeOffset at, ReadOnlyMemory<byte>? nonce = null, DocumentSet? documents = null)
    {
        ArgumentNullException.ThrowIfNull(policy);
        if (EvidenceBundle.TryParse(json, out var bundle) is not { } rejection)
            return Verify(bundle!, policy, at, nonce, documents);
        var findings = policy.Begin(at);
        findings.Report(BundleFactors.Format, rejection, "", "");
        return new BundleVerification(findings.ToVerdict(), null, null);
    }

    /// <summary>Verifies a bundle that was parsed.</summary>
    public BundleVerification Verify(
        EvidenceBundle bundle, Policy policy, DateTimeOffset at, ReadOnlyMemory<byte>? nonce = null, DocumentSet? documents = null)
    {
        ArgumentNullException.ThrowIfNull(bundle);
        ArgumentNullException.ThrowIfNull(policy);
        var findings = policy.Begin(at);

        // 1, 2.
        findings.Pass(BundleFactors.Format, "a bundle", $"{bundle.Cpu.Evidence.Length} bytes of evidence, {bundle.Devices.Count} devices");
        if (!findings.Report(
            BundleFactors.Statement, bundle.StatementRejection, "a statement", bundle.Statement is null ? "" : $"node {bundle.Statement.Node}"))
            return new BundleVerification(findings.ToVerdict(), null, null);
        var statement = bundle.Statement!;

        // 3, 4.
        var cpu = bundle.Cpu;
        var verifier = verifiers.FirstOrDefault(known => known.Type == cpu.Type);
        var isAccepted = cpu.Type == CpuType.Simulated ? policy.AllowSimulated : policy.Tees.Contains(cpu.Type);
        var unknownName = verifier is null ? null : cpu.Collateral.Keys.FirstOrDefault(name => !verifier.CollateralNames.Contains(name));
        var accepted = Shown.List([.. policy.Tees, .. policy.AllowSimulated ? [CpuType.Simulated] : Array.Empty<string>()]);
        var teeRejection = !isAccepted ? new Rejection(RejectionCode.Forbidden, accepted, Shown.Text(cpu.Type))
            : verifier is null ? new Rejection(RejectionCode.Unsupported, Shown.List(verifiers.Select(known => known.Type)), Shown.Text(cpu.Type))
            : unknownName is not null ? Rejection.Malformed(Shown.List(verifier.CollateralNames), Shown.Text(unknownName))
            : null;
        if (!findings.Report(PolicyFactors.Tee, teeRejection, accepted, cpu.Type))
            return new BundleVerification(findings.ToVerdict(), null, null);
        var claims = verifier!.Verify(cpu, policy, findings);

        // 5 to 12.
        var expected = BundleStatement.ReportData(bundle.StatementBytes.Span);
        findings.Report(
            BundleFactors.ReportData,
            claims is null ? Rejection.Missing("evidence that can be read")
            : claims.ReportData.Span.SequenceEqual(expected) ? null
            : new Rejection(RejectionCode.Mismatch, Shown.Hex(expected), Shown.Hex(claims.ReportData.Span)),
            "the statement's digest", "the statement's digest");
        CheckDevices(bundle, statement, documents ?? DocumentSet.Empty, policy, findings);
        CheckFreshness(statement, policy, nonce, findings);
        CheckConfiguration(statement.Configuration, policy, findings);
        if (policy.DangerousTestRoots is not null)
            findings.Fail(PolicyFactors.TestRoots, RejectionCode.Untrusted, "the vendors' roots", "roots of a test");
        var verdict = findings.ToVerdict();
        if (!verdict.IsAccepted || claims is null)
            return new BundleVerification(verdict, null, claims);

        // The keys are erased then, whatever the policy only shows.
        var end = End(statement, policy);
        var keysBefore = end < DateTimeOffset.MaxValue ? end.AddTicks(1) : end;
        var validBefore = keysBefore < verdict.ValidBefore ? keysBefore : verdict.ValidBefore;
        return new BundleVerification(verdict, new VerifiedBundle(statement, claims, cpu.Type, verdict.ValidFrom, validBefore), claims);
    }

    // 6, 11.
    private void CheckDevices(EvidenceBundle bundle, BundleStatement statement, DocumentSet documents, Policy policy, Findings findings)
    {
        var devices = bundle.Devices;
        var isBound = statement.Devices.Count == devices.Count
            && devices.Zip(statement.Devices).All(pair => SHA256.HashData(pair.First.Evidence.Span).AsSpan().SequenceEqual(pair.Second));
        findings.Check(
            BundleFactors.DevicesBound, isBound, RejectionCode.Mismatch, $"{statement.Devices.Count} devices as the statement has them",
            isBound ? $"{devices.Count} devices" : "others");
        if (devices.Count > 0 && policy.IgnoreDevices)
        {
            findings.Skip(PolicyFactors.Devices, $"{devices.Count} devices (the policy ignores them)");
            return;
        }

        var unknown = devices.FirstOrDefault(device => VerifierOf(device) is null);
        var missing = devices.SelectMany(device => device.Collateral).FirstOrDefault(digest => documents.Find(digest) is null);
        findings.Report(
            PolicyFactors.Devices,
            unknown is not null
                ? new Rejection(
                    RejectionCode.Unsupported, Shown.List(deviceVerifiers.SelectMany(known => known.Architectures)), Shown.Text(unknown.Architecture))
            : missing is not null ? Rejection.Missing($"the document of SHA-256 {Shown.Hex(missing)}")
            : devices.Count == 0 && policy.Nvidia.MinGpus > 0 ? Rejection.Missing($"at least {policy.Nvidia.MinGpus} GPUs")
            : null,
            "verified devices", devices.Count == 0 ? "no devices" : $"{devices.Count} devices");
        var nonce = BundleStatement.DeviceNonce(statement.Keys, statement.IssuedAt, statement.Nonce.Span);
        foreach (var group in devices.GroupBy(VerifierOf))
            group.Key?.Verify([.. group], documents, nonce, policy, findings);
    }

    private IDeviceVerifier? VerifierOf(DeviceEvidence device) => Array.Find(deviceVerifiers, known => known.Architectures.Contains(device.Architecture));

    private static void CheckFreshness(BundleStatement statement, Policy policy, ReadOnlyMemory<byte>? nonce, Findings findings)
    {
        if (nonce is { } challenge)
            findings.Check(
                BundleFactors.Nonce, statement.Nonce.Span.SequenceEqual(challenge.Span), RejectionCode.Mismatch, Shown.Hex(challenge.Span),
                Shown.Hex(statement.Nonce.Span));
        else if (policy.RequireNonce)
            findings.Fail(BundleFactors.Nonce, RejectionCode.Missing, "a challenge of the caller", "none");
        else
            findings.Skip(BundleFactors.Nonce, "no challenge was given");

        var (issued, end) = (statement.IssuedAt, statement.NotAfter);
        // Compared whatever else is wrong, so that the verdict knows both dates.
        var dateFault = findings.DateFault("statement", Earlier(issued, policy.ClockSkew), End(statement, policy));
        var rejection = end < issued ? Rejection.Malformed("not_after after issued_at", Shown.Date(end))
            : end - issued > policy.MaxLifetime ? new Rejection(RejectionCode.Forbidden, $"a lifetime of at most {policy.MaxLifetime}", $"{end - issued}")
            : dateFault;
        findings.Report(PolicyFactors.Time, rejection, "in date", $"until {Shown.Date(end)}");
    }

    private static void CheckConfiguration(NodeConfiguration configuration, Policy policy, Findings findings)
    {
        var dangerous = configuration.Dangerous.Except(policy.DangerousOptions, StringComparer.Ordinal).ToList();
        findings.Check(
            PolicyFactors.DangerousOptions, dangerous.Count == 0, RejectionCode.Forbidden,
            policy.DangerousOptions.Count == 0 ? "none" : Shown.List(policy.DangerousOptions), Shown.List(configuration.Dangerous));
        findings.Check(
            PolicyFactors.Upstream, !configuration.Upstreams.Except(policy.Upstreams, StringComparer.Ordinal).Any(), RejectionCode.Forbidden,
            policy.Upstreams.Count == 0 ? "an engine within the process" : Shown.List(policy.Upstreams),
            configuration.Upstreams.Count == 0 ? "an engine within the process" : Shown.List(configuration.Upstreams));
    }

    // The last moment at which anything may be sealed to the statement's keys.
    private static DateTimeOffset End(BundleStatement statement, Policy policy) => Certificates.RevocationList.Later(statement.NotAfter, policy.ClockSkew);

    private static DateTimeOffset Earlier(DateTimeOffset date, TimeSpan skew) =>
        date - DateTimeOffset.MinValue > skew ? date - skew : DateTimeOffset.MinValue;
}
