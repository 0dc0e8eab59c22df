using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Simulated;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat verify</c>: a verdict on a bundle, or on a quote or report alone. Nothing is fetched.</summary>
internal static class VerifyCommand
{
    // the help of the commands below would show it as theirs
    private static readonly Argument<FileInfo?> File = new("bundle")
    {
        Description = "A node's evidence bundle.",
        Arity = ArgumentArity.ZeroOrOne,
        Hidden = true,
    };
    private static readonly Option<FileInfo?> Policy = VerifyOptions.Policy();
    private static readonly Option<string?> At = VerifyOptions.At();
    private static readonly Option<string?> Nonce = VerifyOptions.Hex("--nonce", "challenge, 32 bytes");
    private static readonly Option<bool> Json = VerifyOptions.Json();

    public static Command Create()
    {
        var command = new Command(
            "verify",
            """
            Verify the evidence of a trusted execution environment, offline. Exit code 0 only on acceptance.

              cchat verify BUNDLE   a node's evidence bundle, which has all that verifying it needs
              cchat verify tdx …    an Intel TDX quote alone
              cchat verify snp …    an AMD SEV-SNP report alone
            """)
        {
            File, Policy, At, Nonce, Json,
            VerifyTdxCommand.Create(),
            VerifySnpCommand.Create(),
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var file = parsed.GetValue(File)
            ?? throw new CommandException(
                "there is nothing to verify.", "name a bundle, or see ./cchat verify --help for raw quotes and reports", ExitCode.Usage);
        var verification = new BundleVerifier(new SimulatedEvidence()).Verify(
            VerifyOptions.ReadFile(file, Bounds.Bundle), VerifyOptions.ReadPolicy(parsed.GetValue(Policy)), VerifyOptions.ReadTime(parsed.GetValue(At)),
            VerifyOptions.ReadHex("--nonce", parsed.GetValue(Nonce), BundleStatement.NonceSize) is { } nonce ? (ReadOnlyMemory<byte>?)nonce : null);
        return await VerifyOutput.WriteAsync(verification.Verdict, isRaw: false, parsed.GetValue(Json), json => Write(json, verification));
    }

    private static void Write(Utf8JsonWriter json, BundleVerification verification)
    {
        if (verification.Verified is not { } verified)
            return;
        json.WriteStartObject("bundle");
        json.WriteString("type", verified.Type);
        json.WriteNumber("node", verified.Statement.Node);
        json.WriteString("key_set_digest", Shown.Hex(verified.Keys.Digest()));
        json.WriteString("valid_before", Shown.Date(verified.ValidBefore));
        foreach (var (name, value) in verified.Claims.Measurements)
            json.WriteString(name, Shown.Hex(value.Span));
        json.WriteEndObject();
    }
}
