using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat verify snp</c>: a report alone, with the certificate of the key that signed it.</summary>
internal static class VerifySnpCommand
{
    private const int DigestSize = 48;

    private static readonly Argument<FileInfo> Report = new("report")
    {
        Description = "A SEV-SNP report, version 2 to 5, as the kernel gave it, in hexadecimal or within Azure's HCL report.",
    };
    private static readonly Option<FileInfo> Vek = new("--cert")
    {
        Description = "The VCEK or VLEK certificate, DER or PEM, issuer and root may follow it; or the kernel's table of certificates.",
        HelpName = "FILE",
        Required = true,
    };
    private static readonly Option<FileInfo?> Crl = new("--crl")
    {
        Description = "AMD's revocation list of the product, DER, PEM or hexadecimal.",
        HelpName = "FILE",
    };
    private static readonly Option<FileInfo?> PolicyFile = VerifyOptions.Policy();
    private static readonly Option<string?> At = VerifyOptions.At();
    private static readonly Option<bool> Json = VerifyOptions.Json();
    private static readonly Option<string?> ReportData = VerifyOptions.Hex("--report-data", "report_data, 64 bytes");
    private static readonly Option<string?> Measurement = VerifyOptions.Hex("--measurement", "measurement, 48 bytes");
    private static readonly Option<string?> HostData = VerifyOptions.Hex("--host-data", "host_data, 32 bytes");
    private static readonly Option<string?> IdKeyDigest = VerifyOptions.Hex("--id-key-digest", "id_key_digest, 48 bytes");
    private static readonly Option<string?> AuthorKeyDigest = VerifyOptions.Hex("--author-key-digest", "author_key_digest, 48 bytes");

    public static Command Create()
    {
        var command = new Command("snp", "Verify a SEV-SNP report alone. What neither policy nor option names is not checked, and said to be so.")
        {
            Report, Vek, Crl, PolicyFile, At, ReportData, Measurement, HostData, IdKeyDigest, AuthorKeyDigest, Json,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var report = EvidenceForm.Evidence(VerifyOptions.ReadFile(parsed.GetRequiredValue(Report), EvidenceForm.LargestFile));
        var collateral = EvidenceForm.SevSnp(VerifyOptions.ReadFile(parsed.GetRequiredValue(Vek), Bounds.Pem));
        if (parsed.GetValue(Crl) is { } list)
            collateral = collateral with { Crl = EvidenceForm.RevocationList(VerifyOptions.ReadFile(list, EvidenceForm.LargestList)) };
        var policy = VerifyOptions.ReadPolicy(parsed.GetValue(PolicyFile));
        policy = policy with
        {
            SevSnp = policy.SevSnp with
            {
                Measurement = Expected(Measurement, DigestSize) ?? policy.SevSnp.Measurement,
                HostData = Expected(HostData, 32) ?? policy.SevSnp.HostData,
                IdKeyDigest = Expected(IdKeyDigest, DigestSize) ?? policy.SevSnp.IdKeyDigest,
                AuthorKeyDigest = Expected(AuthorKeyDigest, DigestSize) ?? policy.SevSnp.AuthorKeyDigest,
            },
        };
        policy = VerifyOptions.Demanding(
            policy,
            (SevSnpFactors.Measurement, parsed.GetValue(Measurement)),
            (SevSnpFactors.HostData, parsed.GetValue(HostData)),
            (SevSnpFactors.IdKeyDigest, parsed.GetValue(IdKeyDigest)),
            (SevSnpFactors.AuthorKeyDigest, parsed.GetValue(AuthorKeyDigest)));
        var reportData = VerifyOptions.ReadHex(ReportData.Name, parsed.GetValue(ReportData), 64);
        var verification = SevSnpVerifier.Verify(
            report, collateral, policy, VerifyOptions.ReadTime(parsed.GetValue(At)), reportData is null ? null : (ReadOnlyMemory<byte>?)reportData);
        return await VerifyOutput.WriteAsync(verification.Verdict, report, policy, isRaw: true, parsed.GetValue(Json), json => Write(json, verification));

        ReferenceValues? Expected(Option<string?> option, int size) =>
            VerifyOptions.ReadHex(option.Name, parsed.GetValue(option), size) is { } value ? ReferenceValues.OneOf(value) : null;
    }

    private static void Write(Utf8JsonWriter json, SevSnpVerification verification)
    {
        if (verification.Report is not { } report)
            return;
        json.WriteStartObject("report");
        json.WriteNumber("version", report.Version);
        json.WriteString("measurement", Shown.Hex(report.Measurement.Span));
        json.WriteString("host_data", Shown.Hex(report.HostData.Span));
        json.WriteString("id_key_digest", Shown.Hex(report.IdKeyDigest.Span));
        json.WriteString("author_key_digest", Shown.Hex(report.AuthorKeyDigest.Span));
        json.WriteNumber("guest_svn", report.GuestSvn);
        json.WriteString("guest_policy", $"{report.GuestPolicy}");
        json.WriteNumber("vmpl", report.Vmpl);
        json.WriteString("platform_info", $"{report.PlatformInfo}");
        json.WriteString("reported_tcb", $"{report.ReportedTcb}");
        json.WriteString("committed_tcb", $"{report.CommittedTcb}");
        json.WriteString("launch_tcb", $"{report.LaunchTcb}");
        json.WriteString("current_tcb", $"{report.CurrentTcb}");
        json.WriteString("launch_mit_vector", $"0x{report.LaunchMitigations:x}");
        json.WriteString("current_mit_vector", $"0x{report.CurrentMitigations:x}");
        json.WriteBoolean("is_chip_masked", report.IsChipMasked);
        json.WriteString("chip_id", Shown.Hex(report.ChipId.Span));
        json.WriteString("report_data", Shown.Hex(report.ReportData.Span));
        json.WriteEndObject();
        VerifyOutput.WritePlatform(json, verification.Vek);
    }
}
