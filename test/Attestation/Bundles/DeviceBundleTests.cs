using System.Security.Cryptography;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tests.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Bundles;

/// <summary>spec/attestation.md section 12 check 11: a node's bundle with GPUs, CPU and devices in one verdict. Everything in it is constructed.</summary>
public sealed class DeviceBundleTests
{
    private readonly BundleTests.NodeBundle node = new();
    private readonly List<ReadOnlyMemory<byte>> documents = [];
    private TestRoots? roots;

    public DeviceBundleTests() => node.Platform.Policy = node.Platform.Policy with { IgnoreDevices = false };

    [Fact]
    public void CPU_and_devices_are_one_verdict()
    {
        Add(new EmulatedDevice(), new EmulatedDevice());
        var verification = Verify(policy => policy with { Nvidia = policy.Nvidia with { MinGpus = 2 } });
        verification.Verdict.Refusals().ShouldBeEmpty(verification.Verdict.ToText());
        verification.Verified.ShouldNotBeNull();
        verification.Verdict.Factor(PolicyFactors.Devices).Outcome.ShouldBe(Outcome.Pass);
        foreach (var name in (FactorName[])[NvidiaFactors.Nonce, NvidiaFactors.Measurements, NvidiaFactors.Debug, NvidiaFactors.Signature])
            verification.Verdict.Factor(name).Outcome.ShouldBe(Outcome.Pass);
        // A device that is wrong refuses the CPU's keys too.
        Verify(policy => policy with { Nvidia = policy.Nvidia with { MinGpus = 3 } }).Verified.ShouldBeNull();
    }

    [Fact]
    public void A_device_whose_nonce_is_not_of_these_keys_is_refused()
    {
        var device = new EmulatedDevice();
        Add(device);
        node.Statement = node.Statement with { Keys = node.Statement.Keys with { X25519 = RandomNumberGenerator.GetBytes(32) } };
        Verify().Verdict.Refusals().ShouldBe(["nvidia.nonce"]);
    }

    [Fact]
    public void A_document_that_is_not_at_hand_is_missing_and_counts_as_none()
    {
        Add(new EmulatedDevice());
        documents.RemoveAt(0);
        var verdict = Verify().Verdict;
        verdict.Refusals().ShouldBe(["bundle.devices", "nvidia.driver_rim"], verdict.ToText());
        verdict.CodeOf(PolicyFactors.Devices).ShouldBe(RejectionCode.Missing);
    }

    [Fact]
    public void Devices_without_RIM_files_are_refused_unless_the_policy_waives_them()
    {
        Add(withRims: false, new EmulatedDevice());
        Verify().Verdict.Refusals().ShouldBe(["nvidia.driver_rim", "nvidia.vbios_rim"]);
        Verify(policy => policy with { Nvidia = policy.Nvidia with { RequireRims = false } }).Verified.ShouldNotBeNull();
    }

    [Fact]
    public void A_bundle_without_devices_is_refused_where_the_policy_demands_GPUs()
    {
        Verify().Verified.ShouldNotBeNull();
        Evidence.Only(Verify(policy => policy with { Nvidia = policy.Nvidia with { MinGpus = 1 } }).Verdict, PolicyFactors.Devices, RejectionCode.Missing);
    }

    [Fact]
    public void Devices_that_the_policy_ignores_are_not_looked_at()
    {
        Add(withRims: false, new EmulatedDevice { Nonce = new byte[32] });
        var verdict = Verify(policy => policy with { IgnoreDevices = true }).Verdict;
        verdict.IsAccepted.ShouldBeTrue();
        verdict.Factors.ShouldNotContain(factor => factor.Name == NvidiaFactors.Report);
    }

    [Fact]
    public void A_kept_verdict_is_of_the_documents_that_were_at_hand()
    {
        Add(new EmulatedDevice());
        EvidenceBundle.TryParse(node.ToBytes(), out var bundle).ShouldBeNull();
        var kept = new KeptVerdicts(new BundleVerifier(), Trusting(policy => policy), capacity: 4);
        kept.Verify(bundle!, node.At, node.Challenge).Verified.ShouldBeNull();
        var first = kept.Verify(bundle!, node.At, node.Challenge, new DocumentSet(documents));
        first.Verified.ShouldNotBeNull();
        kept.Verify(bundle!, node.At, node.Challenge, new DocumentSet(documents)).ShouldBeSameAs(first);
    }

    [Fact]
    public void A_verdict_on_devices_ends_with_the_first_of_their_dates()
    {
        var device = new EmulatedDevice();
        device.RimSigner.NotAfter = EmulatedDevice.Now.AddMinutes(10);
        Add(device);
        Verify().Verified!.ValidBefore.ShouldBe(EmulatedDevice.Now.AddMinutes(10).AddTicks(1));
    }

    private void Add(params EmulatedDevice[] devices) => Add(withRims: true, devices);

    private void Add(bool withRims, params EmulatedDevice[] devices)
    {
        var shared = withRims ? new[] { false, true }.Select(vbios => devices[0].Rim(vbios).ToBytes()).ToList() : [];
        documents.AddRange(shared.Select(document => (ReadOnlyMemory<byte>)document));
        foreach (var device in devices)
        {
            if (device.Nonce.AsSpan().ContainsAnyExcept((byte)0))
                device.Nonce = BundleStatement.DeviceNonce(node.Statement.Keys, node.Statement.IssuedAt, node.Statement.Nonce.Span);
            var evidence = device.ToEvidence();
            node.Devices.Add(new DeviceEvidence
            {
                Architecture = "HOPPER",
                Evidence = evidence.Report,
                Certificates = evidence.Certificates,
                Collateral = [.. shared.Select(SHA256.HashData)],
            });
        }

        node.Statement = node.Statement with { Devices = [.. node.Devices.Select(device => SHA256.HashData(device.Evidence.Span))] };
        roots = devices[0].Trusting().DangerousTestRoots;
    }

    private Policy Trusting(Func<Policy, Policy> change)
    {
        var policy = node.Policy();
        var trusted = (policy.DangerousTestRoots ?? new TestRoots()) with { NvidiaDevice = roots?.NvidiaDevice, NvidiaRim = roots?.NvidiaRim };
        return change(policy with { DangerousTestRoots = trusted });
    }

    private BundleVerification Verify(Func<Policy, Policy>? change = null) =>
        new BundleVerifier().Verify(node.ToBytes(), Trusting(change ?? (policy => policy)), node.At, node.Challenge, new DocumentSet(documents));
}
