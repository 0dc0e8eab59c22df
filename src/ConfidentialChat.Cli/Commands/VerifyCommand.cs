using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat verify</c>: a verdict on a bundle, on a quote or report alone, or on a gateway's node. Nothing is fetched but that one's bundle.</summary>
internal static class VerifyCommand
{
    // the help of the commands below would show it as theirs
    private static readonly Argument<FileInfo?> File = new("bundle")
    {
        Description = "A node's evidence bundle.",
        Arity = ArgumentArity.ZeroOrOne,
        Hidden = true,
    };
    private static readonly Option<FileInfo?> PolicyFile = VerifyOptions.Policy();
    private static readonly Option<string?> At = VerifyOptions.At();
    private static readonly Option<string?> Nonce = VerifyOptions.Hex("--nonce", "challenge, 32 bytes");
    private static readonly Option<FileInfo[]> Documents = new("--document")
    {
        Description = "A document that the bundle's devices name by digest: a RIM file, an OCSP answer; may be repeated.",
        HelpName = "FILE",
        Arity = ArgumentArity.OneOrMore,
    };
    private static readonly Option<bool> Json = VerifyOptions.Json();
    private static readonly Option<long?> Node = new("--node")
    {
        Description = "Node of a gateway, by its number, instead of a bundle in a file.",
        HelpName = "ID",
        CustomParser = argument =>
        {
            var text = argument.Tokens[0].Value;
            if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                return number;
            argument.AddError($"--node: '{text}' is not a node's number.");
            return null;
        },
    };
    private static readonly Option<bool> Challenge = new("--challenge")
    {
        Description = "With --node: have evidence made now, for a challenge that nobody could foresee.",
    };
    private static readonly Option<FileInfo?> Output = new("--output")
    {
        Description = "With --node: keep the bundle in this file, which must not be there yet, whatever the verdict.",
        HelpName = "FILE",
    };

    public static Command Create()
    {
        var command = new Command(
            "verify",
            """
            Verify the evidence of a trusted execution environment, offline. Exit code 0 only on acceptance.

              cchat verify BUNDLE     a node's evidence bundle, which has all that verifying it needs
              cchat verify --node ID  the same, fetched through a gateway, and held against the policy of "cchat ask"
              cchat verify tdx …      an Intel TDX quote alone
              cchat verify snp …      an AMD SEV-SNP report alone
              cchat verify gpu …      reports of NVIDIA GPUs and switches alone
            """)
        {
            File, PolicyFile, At, Nonce, Documents, Json, Node, Challenge, Output, Asking.Gateway, Asking.Data, Asking.DangerousPlainHttp,
            VerifyTdxCommand.Create(),
            VerifySnpCommand.Create(),
            VerifyGpuCommand.Create(),
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation) => (parsed.GetValue(File), parsed.GetValue(Node)) switch
    {
        ({ } file, null) => VerifyFileAsync(file, parsed),
        (null, { } node) => VerifyNodeAsync(node, parsed, cancellation),
        (null, null) => throw new CommandException(
            "there is nothing to verify.", "name a bundle, or see ./cchat verify --help for nodes, raw quotes and reports", ExitCode.Usage),
        _ => throw new CommandException("a bundle and --node are two things to verify.", "give one of them", ExitCode.Usage),
    };

    private static Task<int> VerifyFileAsync(FileInfo file, ParseResult parsed)
    {
        if (parsed.GetValue(Challenge) || parsed.GetValue(Output) is not null)
            throw new CommandException(
                "--challenge and --output go with --node.", "a bundle in a file is there already; --nonce demands that it was made for a challenge",
                ExitCode.Usage);
        return VerifyAsync(
            VerifyOptions.ReadFile(file, Bounds.Bundle), VerifyOptions.ReadPolicy(parsed.GetValue(PolicyFile)),
            VerifyOptions.ReadHex("--nonce", parsed.GetValue(Nonce), BundleStatement.NonceSize), [], parsed);
    }

    private static async Task<int> VerifyNodeAsync(long node, ParseResult parsed, CancellationToken cancellation)
    {
        if (parsed.GetValue(Nonce) is not null)
            throw new CommandException("--nonce goes with a bundle in a file.", "--challenge sends one of its own, and demands it", ExitCode.Usage);
        var (named, output) = (parsed.GetValue(PolicyFile), parsed.GetValue(Output));
        var file = Asking.PolicyFile(parsed, named);
        var policy = VerifyOptions.ReadPolicy(file);
        using var gateway = new GatewayEvidence(Asking.Options(parsed));
        if (file is not null && named is null)
            await Console.Error.WriteLineAsync($"note: held against {file}");
        var (bundle, nonce) = parsed.GetValue(Challenge) ? await gateway.LiveAsync(node, cancellation) : (await gateway.BundleAsync(node, cancellation), null);
        if (output is not null)
            await KeepAsync(output, bundle, cancellation);

        // What another node is says nothing of this one, however genuine.
        _ = EvidenceBundle.TryParse(bundle, out var read);
        if (read?.Statement is { } statement && statement.Node != node)
            throw new CommandException(
                $"the evidence is refused: it is that of node {statement.Node}, and node {node} was asked for.",
                "the gateway mixes its nodes up, or means to: ask its operator", ExitCode.EvidenceRefused);
        var documents = read is null || policy.IgnoreDevices ? [] : await gateway.DocumentsAsync(read, cancellation);
        return await VerifyAsync(bundle, policy, nonce, documents, parsed);
    }

    private static Task<int> VerifyAsync(byte[] bundle, Policy policy, byte[]? nonce, IReadOnlyList<byte[]> fetched, ParseResult parsed)
    {
        var documents = fetched.Concat((parsed.GetValue(Documents) ?? []).Select(file => VerifyOptions.ReadFile(file, Bounds.DeviceDocument)));
        var verification = new BundleVerifier().Verify(
            bundle, policy, VerifyOptions.ReadTime(parsed.GetValue(At)), nonce is null ? null : (ReadOnlyMemory<byte>?)nonce,
            new DocumentSet(documents.Select(document => (ReadOnlyMemory<byte>)document)));
        return VerifyOutput.WriteAsync(verification.Verdict, bundle, policy, isRaw: false, parsed.GetValue(Json), json => Write(json, verification));
    }

    private static async Task KeepAsync(FileInfo file, byte[] bundle, CancellationToken cancellation)
    {
        try
        {
            await using var stream = new FileStream(file.FullName, FileMode.CreateNew, FileAccess.Write);
            await stream.WriteAsync(bundle, cancellation);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"cannot write {file}: {e.Message}", "name a file that is not there yet", ExitCode.Usage);
        }
    }

    private static void Write(Utf8JsonWriter json, BundleVerification verification)
    {
        VerifyOutput.WritePlatform(json, verification.Claims?.Platform);
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
