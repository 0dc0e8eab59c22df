using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat verify tdx</c>: a quote alone, with collateral from a folder.</summary>
internal static class VerifyTdxCommand
{
    private const int RegisterSize = 48;

    private static readonly Argument<FileInfo> Quote = new("quote") { Description = "A TDX quote, version 4 or 5, as the kernel gave it or in hexadecimal." };
    private static readonly Option<DirectoryInfo> Collateral = new("--collateral")
    {
        Description = "Folder with tcb_info.json or tcb_info_FMSPC.json, qe_identity.json, tcb_signing_chain.pem, pck_crl.der, root_ca_crl.der.",
        HelpName = "DIR",
        Required = true,
    };
    private static readonly Option<FileInfo?> EventLog = new("--event-log") { Description = "CCEL or JSON event log to replay.", HelpName = "FILE" };
    private static readonly Option<FileInfo?> PolicyFile = VerifyOptions.Policy();
    private static readonly Option<string?> At = VerifyOptions.At();
    private static readonly Option<bool> Json = VerifyOptions.Json();
    private static readonly Option<string?> ReportData = VerifyOptions.Hex("--report-data", "report_data, 64 bytes");
    private static readonly Option<string?> MrTd = VerifyOptions.Hex("--mrtd", "MRTD, 48 bytes");
    private static readonly Option<string?> Rtmr0 = VerifyOptions.Hex("--rtmr0", "RTMR0, 48 bytes");
    private static readonly Option<string?> Rtmr1 = VerifyOptions.Hex("--rtmr1", "RTMR1, 48 bytes");
    private static readonly Option<string?> Rtmr2 = VerifyOptions.Hex("--rtmr2", "RTMR2, 48 bytes");
    private static readonly Option<string?> Rtmr3 = VerifyOptions.Hex("--rtmr3", "RTMR3, 48 bytes");
    private static readonly Option<string?> MrConfigId = VerifyOptions.Hex("--mrconfigid", "MRCONFIGID, 48 bytes");
    private static readonly Option<string?> MrOwner = VerifyOptions.Hex("--mrowner", "MROWNER, 48 bytes");
    private static readonly Option<string?> MrOwnerConfig = VerifyOptions.Hex("--mrownerconfig", "MROWNERCONFIG, 48 bytes");
    private static readonly Option<string?> MrSeam = VerifyOptions.Hex("--mrseam", "MRSEAM, 48 bytes");
    private static readonly Option<string?> MrServiceTd = VerifyOptions.Hex("--mrservicetd", "MRSERVICETD, 48 bytes");

    public static Command Create()
    {
        var command = new Command("tdx", "Verify a TDX quote alone. What neither policy nor option names is not checked, and said to be so.")
        {
            Quote, Collateral, EventLog, PolicyFile, At, ReportData, MrTd, Rtmr0, Rtmr1, Rtmr2, Rtmr3, MrConfigId, MrOwner, MrOwnerConfig, MrSeam, MrServiceTd,
            Json,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var quote = EvidenceForm.Evidence(VerifyOptions.ReadFile(parsed.GetRequiredValue(Quote), EvidenceForm.LargestFile));
        var collateral = VerifyOptions.ReadCollateral(parsed.GetRequiredValue(Collateral), TdxVerifier.ReadFmspc(quote));
        var policy = VerifyOptions.ReadPolicy(parsed.GetValue(PolicyFile));
        policy = policy with
        {
            Tdx = policy.Tdx with
            {
                MrTd = Expected(MrTd) ?? policy.Tdx.MrTd,
                Rtmr0 = Expected(Rtmr0) ?? policy.Tdx.Rtmr0,
                Rtmr1 = Expected(Rtmr1) ?? policy.Tdx.Rtmr1,
                Rtmr2 = Expected(Rtmr2) ?? policy.Tdx.Rtmr2,
                Rtmr3 = Expected(Rtmr3) ?? policy.Tdx.Rtmr3,
                MrConfigId = Expected(MrConfigId) ?? policy.Tdx.MrConfigId,
                MrOwner = Expected(MrOwner) ?? policy.Tdx.MrOwner,
                MrOwnerConfig = Expected(MrOwnerConfig) ?? policy.Tdx.MrOwnerConfig,
                MrSeam = Expected(MrSeam) ?? policy.Tdx.MrSeam,
                MrServiceTd = Expected(MrServiceTd) ?? policy.Tdx.MrServiceTd,
            },
        };
        policy = VerifyOptions.Demanding(
            policy,
            (TdxFactors.MrTd, parsed.GetValue(MrTd)),
            (TdxFactors.Rtmr0, parsed.GetValue(Rtmr0)),
            (TdxFactors.Rtmr1, parsed.GetValue(Rtmr1)),
            (TdxFactors.Rtmr2, parsed.GetValue(Rtmr2)),
            (TdxFactors.Rtmr3, parsed.GetValue(Rtmr3)),
            (TdxFactors.MrConfigId, parsed.GetValue(MrConfigId)),
            (TdxFactors.MrOwner, parsed.GetValue(MrOwner)),
            (TdxFactors.MrOwnerConfig, parsed.GetValue(MrOwnerConfig)),
            (TdxFactors.MrSeam, parsed.GetValue(MrSeam)),
            (TdxFactors.MrServiceTd, parsed.GetValue(MrServiceTd)));
        var reportData = VerifyOptions.ReadHex(ReportData.Name, parsed.GetValue(ReportData), 64);
        var log = parsed.GetValue(EventLog) is { } file ? VerifyOptions.ReadFile(file, Bounds.EventLog) : null;
        var verification = TdxVerifier.Verify(
            quote, collateral, policy, VerifyOptions.ReadTime(parsed.GetValue(At)),
            reportData is null ? null : (ReadOnlyMemory<byte>?)reportData, log is null ? null : (ReadOnlyMemory<byte>?)log);
        return await VerifyOutput.WriteAsync(verification.Verdict, quote, policy, isRaw: true, parsed.GetValue(Json), json => Write(json, verification));

        ReferenceValues? Expected(Option<string?> option) =>
            VerifyOptions.ReadHex(option.Name, parsed.GetValue(option), RegisterSize) is { } value ? ReferenceValues.OneOf(value) : null;
    }

    private static void Write(Utf8JsonWriter json, TdxVerification verification)
    {
        if (verification.Quote is not { } quote)
            return;
        json.WriteStartObject("quote");
        json.WriteNumber("version", quote.Version);
        foreach (var (name, value) in verification.Measurements)
            json.WriteString(name, Shown.Hex(value.Span));
        json.WriteString("mr_config_id", Shown.Hex(quote.Report.MrConfigId.Span));
        json.WriteString("mr_owner", Shown.Hex(quote.Report.MrOwner.Span));
        json.WriteString("mr_owner_config", Shown.Hex(quote.Report.MrOwnerConfig.Span));
        json.WriteString("mr_seam", Shown.Hex(quote.Report.MrSeam.Span));
        json.WriteString("mr_service_td", Shown.Hex(quote.Report.MrServiceTd.Span));
        json.WriteString("tee_tcb_svn", Shown.Hex(quote.Report.TeeTcbSvn.Span));
        json.WriteString("td_attributes", Shown.Hex(quote.Report.TdAttributesBytes.Span));
        json.WriteString("xfam", Shown.Hex(quote.Report.Xfam.Span));
        json.WriteString("report_data", Shown.Hex(quote.Report.ReportData.Span));
        json.WriteEndObject();
        VerifyOutput.WritePlatform(json, verification.Tcb);
    }
}
