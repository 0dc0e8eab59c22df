using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>What a node on a Milan of our own hands out, as files, for a policy that trusts the chip's root.</summary>
internal sealed class NodeOnChip
{
    public const byte Measured = 0x4E;

    public static readonly string Measurement = string.Concat(Enumerable.Repeat("4e", 48));

    /// <summary>Of the chip's issuer, for lists that revoke it.</summary>
    public static readonly byte[] IssuerSerialNumber = [1, 2, 3];

    private readonly DateTimeOffset now = DateTimeOffset.UtcNow;
    private readonly EmulatedChip chip;

    public NodeOnChip() => chip = new() { VekFrom = now.AddDays(-1), VekUntil = now.AddDays(1), IssuerSerialNumber = IssuerSerialNumber };

    public byte[] Policy(string more, string roots = "")
    {
        using var root = chip.Root();
        return Encoding.UTF8.GetBytes(
            $"version = 1\n[dangerous_test_roots]\namd = '''\n{root.ExportCertificatePem()}'''\n{roots}{(more.StartsWith('[') ? "" : "[sev_snp]\n")}{more}\n");
    }

    public byte[] Path() => chip.Collateral.Vek!.Value.ToArray();

    public byte[] List(params byte[][] revoked) => chip.Crl(now.AddHours(-1), now.AddDays(1), revoked);

    public byte[] Report(byte[] reportData, byte measured = Measured) => (chip with
    {
        Content = report =>
        {
            reportData.CopyTo(report, 0x050);
            report.AsSpan(0x090, 48).Fill(measured);
        },
    }).Report();

    public byte[] Bundle(byte measured = Measured, byte[]? nonce = null) => Bundle(Statement(now, nonce), measured, []);

    /// <summary>With GPUs, whose evidence names these documents.</summary>
    public byte[] Bundle(IReadOnlyList<EmulatedDevice> gpus, params IReadOnlyList<byte[]> documents)
    {
        var statement = Statement(now);
        var devices = new List<DeviceEvidence>();
        foreach (var gpu in gpus)
        {
            gpu.Nonce = BundleStatement.DeviceNonce(statement.Keys, statement.IssuedAt, statement.Nonce.Span);
            var evidence = gpu.ToEvidence();
            devices.Add(new DeviceEvidence
            {
                Architecture = "HOPPER",
                Evidence = evidence.Report,
                Certificates = evidence.Certificates,
                Collateral = [.. documents.Select(SHA256.HashData)],
            });
        }

        return Bundle(statement with { Devices = [.. devices.Select(device => SHA256.HashData(device.Evidence.Span))] }, Measured, devices);
    }

    private byte[] Bundle(BundleStatement statement, byte measured, IReadOnlyList<DeviceEvidence> devices)
    {
        var bytes = statement.ToBytes();
        var cpu = new CpuEvidence
        {
            Type = CpuType.SevSnp,
            Evidence = Report(BundleStatement.ReportData(bytes), measured),
            Collateral = new Dictionary<string, ReadOnlyMemory<byte>> { ["vek"] = Path() },
        };
        return EvidenceBundle.Write(bytes, cpu, devices);
    }

    /// <summary>What a node would say of itself, for an hour from then.</summary>
    public static BundleStatement Statement(DateTimeOffset at, byte[]? nonce = null) => new()
    {
        Node = 3,
        Keys = new NodeKeys { Ohttp = new byte[40], X25519 = new byte[32], Signing = new byte[32] },
        IssuedAt = DateTimeOffset.FromUnixTimeSeconds(at.ToUnixTimeSeconds()),
        NotAfter = DateTimeOffset.FromUnixTimeSeconds(at.AddHours(1).ToUnixTimeSeconds()),
        Nonce = nonce ?? new byte[32],
        Software = new NodeSoftware("node", "1"),
        Models = [],
        Configuration = new NodeConfiguration([], [], "information", []),
    };
}
