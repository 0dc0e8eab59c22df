using System.Buffers;
using System.Buffers.Text;
using System.Security.Cryptography;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Client.Tests;

/// <summary>The keys of one node and their evidence, which is signed by a real key and simulates the rest.</summary>
internal sealed class TestNode : IDisposable
{
    private readonly SimulatedPlatform platform = new();
    private byte[]? bundle;

    /// <summary>Accepts simulated evidence, and whatever a test's clock says of its dates.</summary>
    public static Policy AnyTime { get; } = Simulated with { Advisory = new HashSet<string>(StringComparer.Ordinal) { "bundle.time" } };

    public static Policy Simulated => new() { AllowSimulated = true, MeasurementsAny = true };

    public long Id { get; init; } = 3;

    public ObliviousKey Key { get; init; } = ObliviousKey.Generate(1, KemId.MlKem768X25519, [SymmetricSuite.Default]);

    public X25519PrivateKey NodeKey { get; init; } = X25519PrivateKey.Generate();

    /// <summary>Signs receipts.</summary>
    public Ed25519PrivateKey Signing { get; init; } = Ed25519PrivateKey.Generate(out _);

    public string[] Models { get; set => (field, bundle) = (value, null); } = ["tiny", "other"];

    /// <summary>Of each of its models, as it states them.</summary>
    public string? Weights { get; init; }

    /// <summary>Each with the documents that it names.</summary>
    public IReadOnlyList<(EmulatedDevice Device, IReadOnlyList<byte[]> Documents)> Gpus { get; init; } = [];

    public DateTimeOffset IssuedAt { get; init; } = DateTimeOffset.UtcNow.AddSeconds(-10);

    public TimeSpan Lifetime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>JSON; null: free.</summary>
    public string? Price { get; set; }

    /// <summary>What is handed out as its bundle.</summary>
    public byte[] Bundle { get => bundle ??= Issue(new byte[32]); set => bundle = value; }

    public string BundleDigest => Convert.ToHexStringLower(SHA256.HashData(Bundle));

    public string KeySet => Base64Url.EncodeToString(Keys.Digest());

    public string Listed =>
        $$"""{"id":{{Id}},"key_set":"{{KeySet}}","bundle":"{{BundleDigest}}","not_after":{{(IssuedAt + Lifetime).ToUnixTimeSeconds()}},"models":["tiny"],"price":{{Price ?? "null"}},"load":0}""";

    private NodeKeys Keys
    {
        get
        {
            var list = new ArrayBufferWriter<byte>();
            new KeyConfigurationList([Key.Configuration]).Write(list);
            return new NodeKeys { Ohttp = list.WrittenMemory, X25519 = NodeKey.PublicKey.Span.ToArray(), Signing = Signing.PublicKey.Span.ToArray() };
        }
    }

    public byte[] Issue(ReadOnlyMemory<byte> nonce)
    {
        var devices = Gpus.Select(gpu => Evidence(gpu.Device, gpu.Documents, nonce)).ToList();
        var statement = new BundleStatement
        {
            Node = Id,
            Keys = Keys,
            IssuedAt = IssuedAt,
            NotAfter = IssuedAt + Lifetime,
            Nonce = nonce,
            Software = new NodeSoftware("test", "1"),
            Models = [.. Models.Select(model => new NodeModel(model, Weights))],
            Configuration = new NodeConfiguration([], [], "info", []),
            Devices = [.. devices.Select(device => SHA256.HashData(device.Evidence.Span))],
        }.ToBytes();
        return EvidenceBundle.Write(statement, platform.Sign(BundleStatement.ReportData(statement)), devices);
    }

    private DeviceEvidence Evidence(EmulatedDevice device, IReadOnlyList<byte[]> documents, ReadOnlyMemory<byte> nonce)
    {
        device.Nonce = BundleStatement.DeviceNonce(Keys, IssuedAt, nonce.Span);
        var evidence = device.ToEvidence();
        return new DeviceEvidence
        {
            Architecture = "HOPPER",
            Evidence = evidence.Report,
            Certificates = evidence.Certificates,
            Collateral = [.. documents.Select(SHA256.HashData)],
        };
    }

    /// <summary>The statement of one node and the evidence of another.</summary>
    public static byte[] Splice(TestNode statement, TestNode evidence)
    {
        EvidenceBundle.TryParse(statement.Bundle, out var stated).ShouldBeNull();
        EvidenceBundle.TryParse(evidence.Bundle, out var proven).ShouldBeNull();
        return EvidenceBundle.Write(stated!.StatementBytes.Span, proven!.Cpu, []);
    }

    public void Dispose()
    {
        platform.Dispose();
        Key.Dispose();
        NodeKey.Dispose();
        Signing.Dispose();
    }
}
