using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat verify gpu</c>: reports of NVIDIA's GPUs and switches alone, one with its chain or a list of them.</summary>
internal static class VerifyGpuCommand
{
    private static readonly Argument<FileInfo> Evidence = new("evidence")
    {
        Description = "A report as NVML gives it, with --chain; or a list of devices in JSON, as tools of NVML store it.",
    };
    private static readonly Option<FileInfo?> Chain = new("--chain") { Description = "The report's certificates, PEM or DER, leaf first.", HelpName = "FILE" };
    private static readonly Option<FileInfo[]> Rims = Many("--rim", "A RIM file of a driver or VBIOS, from NVIDIA; may be repeated.");
    private static readonly Option<FileInfo[]> Answers = Many("--ocsp", "An OCSP answer about a certificate, DER; may be repeated.");
    private static readonly Option<string?> Nonce = VerifyOptions.Hex("--nonce", "nonce of the reports, 32 bytes");
    private static readonly Option<string?> OcspNonce = VerifyOptions.Hex("--ocsp-nonce", "nonce of the OCSP answers, 32 bytes");
    private static readonly Option<FileInfo?> PolicyFile = VerifyOptions.Policy();
    private static readonly Option<string?> At = VerifyOptions.At();
    private static readonly Option<bool> Json = VerifyOptions.Json();

    public static Command Create()
    {
        var command = new Command("gpu", "Verify reports of NVIDIA GPUs and switches alone. What neither policy nor option names is not checked, and said to be so.")
        {
            Evidence, Chain, Rims, Answers, Nonce, OcspNonce, PolicyFile, At, Json,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        ReadOnlyMemory<byte>[] documents =
        [
            .. (parsed.GetValue(Rims) ?? []).Select(file => (ReadOnlyMemory<byte>)VerifyOptions.ReadFile(file, Bounds.Rim)),
            .. (parsed.GetValue(Answers) ?? []).Select(file => (ReadOnlyMemory<byte>)VerifyOptions.ReadFile(file, Bounds.Ocsp)),
        ];
        var evidence = VerifyOptions.ReadFile(parsed.GetRequiredValue(Evidence), Bounds.DeviceList);
        var devices = Read(evidence, parsed).Select(device => device with { Documents = documents }).ToList();
        var policy = VerifyOptions.ReadPolicy(parsed.GetValue(PolicyFile));
        var verification = NvidiaVerifier.Verify(devices, policy, VerifyOptions.ReadTime(parsed.GetValue(At)), Expected(Nonce), Expected(OcspNonce));
        return await VerifyOutput.WriteAsync(
            verification.Verdict, evidence, policy, isRaw: true, parsed.GetValue(Json), json => Write(json, verification));

        ReadOnlyMemory<byte>? Expected(Option<string?> option) =>
            VerifyOptions.ReadHex(option.Name, parsed.GetValue(option), MeasurementReport.NonceSize) is { } value ? (ReadOnlyMemory<byte>?)value : null;
    }

    private static IReadOnlyList<NvidiaEvidence> Read(byte[] bytes, ParseResult parsed)
    {
        var file = parsed.GetRequiredValue(Evidence);
        if (parsed.GetValue(Chain) is { } chain)
            return [new NvidiaEvidence { Report = bytes, Certificates = VerifyOptions.ReadFile(chain, Bounds.Pem) }];
        // A report begins with SPDM's version, which no text does.
        if (bytes is [0x11, ..])
            throw new CommandException($"{file} is a report, and its certificates are missing.", "name them with --chain", ExitCode.Usage);
        return DeviceList.TryParse(bytes, out var devices) is { } rejection
            ? throw new CommandException(
                $"{file} is no list of devices: expected {rejection.Expected}; found {rejection.Found}", "or name a report and its --chain", ExitCode.Usage)
            : devices!;
    }

    private static void Write(Utf8JsonWriter json, NvidiaVerification verification)
    {
        json.WriteStartArray("devices");
        foreach (var device in verification.Devices)
        {
            json.WriteStartObject();
            json.WriteString("architecture", device.Architecture?.Name);
            json.WriteString("chip", device.Architecture?.Chip);
            json.WriteString("id", device.Id);
            json.WriteString("driver", Shown(device.OpaqueData?.DriverVersion));
            json.WriteString("vbios", Shown(device.OpaqueData?.VbiosVersion));
            json.WriteString("vbios_rim", Shown(device.OpaqueData?.VbiosRimId));
            json.WriteString("nonce", device.Report is { } report ? Attestation.Shown.Hex(report.Nonce.Span) : null);
            json.WriteEndObject();
        }

        json.WriteEndArray();

        static string? Shown(string? text) => text is null ? null : Attestation.Shown.Text(text);
    }

    private static Option<FileInfo[]> Many(string name, string description) =>
        new(name) { Description = description, HelpName = "FILE", Arity = ArgumentArity.OneOrMore, AllowMultipleArgumentsPerToken = false };
}
