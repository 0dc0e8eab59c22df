// spec/attestation.md section 11.
using System.Text.Json;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>A bundle whose shape is right. Nothing in it is verified. Immutable.</summary>
public sealed class EvidenceBundle
{
    private const int LargestCollateral = 256 << 10;

    private EvidenceBundle(
        ReadOnlyMemory<byte> statementBytes, BundleStatement? statement, Rejection? statementRejection, CpuEvidence cpu, IReadOnlyList<DeviceEvidence> devices)
    {
        StatementBytes = statementBytes;
        Statement = statement;
        StatementRejection = statementRejection;
        Cpu = cpu;
        Devices = devices;
    }

    /// <summary>As the evidence binds them.</summary>
    public ReadOnlyMemory<byte> StatementBytes { get; }

    /// <summary>Null where the statement within could not be read.</summary>
    public BundleStatement? Statement { get; }

    public CpuEvidence Cpu { get; }

    public IReadOnlyList<DeviceEvidence> Devices { get; }

    /// <summary>SHA-256 of each document that a device names, in lower-case hexadecimal, each once.</summary>
    public IEnumerable<string> NamedDocuments => Devices.SelectMany(device => device.Collateral).Select(digest => Convert.ToHexStringLower(digest)).Distinct();

    /// <summary>SHA-256 of the bundle's bytes.</summary>
    internal Digest32 Digest { get; private init; }

    internal Rejection? StatementRejection { get; }

    /// <summary>Reads a bundle.</summary>
    /// <param name="json">At most 4 MiB; not to be changed while it is read.</param>
    /// <param name="bundle">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlyMemory<byte> json, out EvidenceBundle? bundle)
    {
        var rejection = JsonFields.Read(json, Bounds.Bundle, Bounds.BundleTokens, "bundle", Read, out bundle);
        if (bundle is not null)
            bundle = new EvidenceBundle(bundle.StatementBytes, bundle.Statement, bundle.StatementRejection, bundle.Cpu, bundle.Devices)
            {
                Digest = Digest32.Of(json.Span),
            };
        return rejection;
    }

    /// <summary>Writes a bundle, as a node serves it.</summary>
    /// <param name="statement">The exact bytes that the evidence binds.</param>
    /// <param name="cpu">The processor's evidence.</param>
    /// <param name="devices">In the order of the statement's digests.</param>
    public static byte[] Write(ReadOnlySpan<byte> statement, CpuEvidence cpu, IReadOnlyList<DeviceEvidence> devices)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentNullException.ThrowIfNull(devices);
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteBase64String("statement", statement);
            json.WriteStartObject("cpu");
            json.WriteString("type", cpu.Type);
            json.WriteBase64String("evidence", cpu.Evidence.Span);
            json.WriteStartObject("collateral");
            foreach (var (name, value) in cpu.Collateral)
                json.WriteBase64String(name, value.Span);
            json.WriteEndObject();
            if (cpu.EventLog is { } log)
                json.WriteBase64String("event_log", log.Span);
            json.WriteEndObject();
            json.WriteStartArray("devices");
            foreach (var device in devices)
            {
                json.WriteStartObject();
                json.WriteString("architecture", device.Architecture);
                json.WriteBase64String("evidence", device.Evidence.Span);
                json.WriteBase64String("certificates", device.Certificates.Span);
                json.WriteStartArray("collateral");
                foreach (var digest in device.Collateral)
                    json.WriteStringValue(Shown.Hex(digest));
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return stream.ToArray();
    }

    private static EvidenceBundle Read(JsonFields fields)
    {
        var statementBytes = fields.Base64("statement", Bounds.Statement);
        var cpu = fields.Object("cpu");
        var collateral = cpu.Object("collateral");
        var evidence = new CpuEvidence
        {
            Type = cpu.Text("type", 32),
            Evidence = cpu.Base64("evidence", Bounds.TdxQuote),
            Collateral = collateral.Names.Take(16).ToDictionary(
                name => name, name => (ReadOnlyMemory<byte>)collateral.Base64(name, LargestCollateral), StringComparer.Ordinal),
            EventLog = cpu.Has("event_log") ? (ReadOnlyMemory<byte>?)cpu.Base64("event_log", Bounds.EventLog) : null,
        };
        // Nobody would replay it: what is not checked is not carried.
        if (evidence.EventLog is not null && evidence.Type != CpuType.Tdx)
            cpu.Wrong("event_log", "none but of tdx");
        cpu.End();
        collateral.End(); // more than sixteen were not taken
        var devices = fields.List("devices", Bounds.DeviceCount).Select(device =>
        {
            var read = new DeviceEvidence
            {
                Architecture = device.Text("architecture", 64),
                Evidence = device.Base64("evidence", LargestCollateral),
                Certificates = device.Base64("certificates", Bounds.Pem),
                Collateral = device.Digests("collateral", Bounds.DeviceCount),
            };
            device.End();
            return read;
        }).ToList();
        fields.End();
        var rejection = BundleStatement.TryParse(statementBytes, out var statement);
        return new EvidenceBundle(statementBytes, statement, rejection, evidence, devices);
    }
}
