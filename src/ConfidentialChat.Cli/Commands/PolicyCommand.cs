using System.CommandLine;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat policy init</c> and <c>cchat policy pin</c>.</summary>
internal static class PolicyCommand
{
    private static readonly Option<FileInfo?> Output = new("--output")
    {
        Description = "File to write; it must not be there yet. Default: standard output.",
        HelpName = "FILE",
    };
    private static readonly Argument<FileInfo> Evidence = new("evidence")
    {
        Description = "A bundle, a TDX quote with --collateral, or a SEV-SNP report with --cert.",
    };
    private static readonly Option<FileInfo> PolicyFile = new("--policy")
    {
        Description = "The policy to write into. One that is not there is begun from the defaults.",
        HelpName = "FILE",
        Required = true,
    };
    private static readonly Option<DirectoryInfo?> Collateral = new("--collateral")
    {
        Description = "Folder with Intel's collateral, for a quote alone.",
        HelpName = "DIR",
    };
    private static readonly Option<FileInfo?> Vek = new("--cert") { Description = "VCEK or VLEK certificate, for a SEV-SNP report alone.", HelpName = "FILE" };
    private static readonly Option<FileInfo?> Crl = new("--crl")
    {
        Description = "AMD's revocation list of the product, DER, for a SEV-SNP report alone.",
        HelpName = "FILE",
    };
    private static readonly Option<string?> At = VerifyOptions.At();
    private static readonly Option<string?> Nonce = VerifyOptions.Hex("--nonce", "challenge of a bundle, 32 bytes");
    private static readonly Option<bool> Replace = new("--replace")
    {
        Description = "Put the values in the place of those that are there, instead of beside them.",
    };

    public static Command Create() => new("policy", "Make the policy that evidence is held against.") { Init(), Pin() };

    private static Command Init()
    {
        var command = new Command("init", "Print a policy with every default and what it means.") { Output };
        command.SetAction(async (parsed, cancellation) =>
        {
            if (parsed.GetValue(Output) is not { } file)
            {
                await Console.Out.WriteAsync(Policy.Default.ToToml());
                return ExitCode.Success;
            }

            try
            {
                await using var stream = new FileStream(file.FullName, FileMode.CreateNew, FileAccess.Write);
                await using var writer = new StreamWriter(stream);
                await writer.WriteAsync(Policy.Default.ToToml().AsMemory(), cancellation);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new CommandException($"cannot write {file}: {e.Message}", "name a file that is not there yet", ExitCode.Usage);
            }

            return ExitCode.Success;
        });
        return command;
    }

    private static Command Pin()
    {
        var command = new Command("pin", "Write the measurements of evidence that verifies into a policy. docs/attestation.md says what that does not prove.")
        {
            Evidence, PolicyFile, Collateral, Vek, Crl, At, Nonce, Replace,
        };
        command.SetAction(PinAsync);
        return command;
    }

    private static async Task<int> PinAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var file = parsed.GetRequiredValue(PolicyFile);
        var policy = file.Exists ? VerifyOptions.ReadPolicy(file) : Policy.Default;
        var bytes = VerifyOptions.ReadFile(parsed.GetRequiredValue(Evidence), Bounds.Bundle);
        var (verdict, type, measurements) = Verify(bytes, Unpinned(policy), parsed);
        if (!verdict.IsAccepted)
        {
            await Console.Error.WriteAsync(verdict.ToText());
            throw new CommandException(
                $"nothing is pinned: the evidence is refused: {VerifyOutput.Failures(verdict)}",
                "only evidence that verifies is pinned; --at verifies for another time", ExitCode.EvidenceRefused);
        }

        await VerifyOutput.WriteWarningsAsync(verdict);
        var pinned = Pinned(policy, type, measurements, parsed.GetValue(Replace));
        await WriteAsync(file, pinned.ToToml(), cancellation);
        foreach (var (name, value) in measurements)
            await Console.Out.WriteLineAsync($"{name} = {Shown.Hex(value.Span)}");
        await Console.Error.WriteLineAsync("note: this pins what ran there, whatever it was. docs/attestation.md says how to compute the values from an image");
        return ExitCode.Success;
    }

    // With everything enforced but the values that are to be learnt.
    private static Policy Unpinned(Policy policy) => policy with
    {
        MeasurementsAny = true,
        Tdx = policy.Tdx with
        {
            MrTd = ReferenceValues.Unnamed,
            Rtmr0 = ReferenceValues.Unnamed,
            Rtmr1 = ReferenceValues.Unnamed,
            Rtmr2 = ReferenceValues.Unnamed,
            Rtmr3 = ReferenceValues.Unnamed,
        },
        SevSnp = policy.SevSnp with { Measurement = ReferenceValues.Unnamed },
    };

    private static (Verdict Verdict, string Type, IReadOnlyDictionary<string, ReadOnlyMemory<byte>> Measurements) Verify(
        byte[] bytes, Policy policy, ParseResult parsed)
    {
        var at = VerifyOptions.ReadTime(parsed.GetValue(At));
        if (bytes.AsSpan().TrimStart(" \t\r\n"u8).StartsWith("{"u8))
        {
            var verification = new BundleVerifier().Verify(
                bytes, policy, at,
                VerifyOptions.ReadHex("--nonce", parsed.GetValue(Nonce), BundleStatement.NonceSize) is { } nonce ? (ReadOnlyMemory<byte>?)nonce : null);
            return (
                verification.Verdict, verification.Verified?.Type ?? "", verification.Claims?.Measurements ?? new Dictionary<string, ReadOnlyMemory<byte>>());
        }

        if (parsed.GetValue(Vek) is { } vek)
        {
            var collateral = new SevSnpCollateral { Vek = VerifyOptions.ReadFile(vek, Bounds.Pem) };
            if (parsed.GetValue(Crl) is { } list)
                collateral = collateral with { Crl = VerifyOptions.ReadFile(list, Bounds.RevocationList) };
            var snp = SevSnpVerifier.Verify(bytes, collateral, policy, at);
            return (snp.Verdict, CpuType.SevSnp, snp.Measurements);
        }

        if (parsed.GetValue(Collateral) is not { } folder)
            throw new CommandException(
                "a quote alone needs Intel's collateral, a report alone AMD's certificate.", "name them with --collateral or --cert, or pin from a bundle",
                ExitCode.Usage);
        var tdx = TdxVerifier.Verify(bytes, VerifyOptions.ReadCollateral(folder, TdxVerifier.ReadFmspc(bytes)), policy, at);
        return (tdx.Verdict, CpuType.Tdx, tdx.Measurements);
    }

    private static Policy Pinned(Policy policy, string type, IReadOnlyDictionary<string, ReadOnlyMemory<byte>> measurements, bool replace)
    {
        return type switch
        {
            CpuType.Tdx => policy with
            {
                Tdx = policy.Tdx with
                {
                    MrTd = With(policy.Tdx.MrTd, "mr_td"),
                    Rtmr0 = With(policy.Tdx.Rtmr0, "rtmr0"),
                    Rtmr1 = With(policy.Tdx.Rtmr1, "rtmr1"),
                    Rtmr2 = With(policy.Tdx.Rtmr2, "rtmr2"),
                    Rtmr3 = With(policy.Tdx.Rtmr3, "rtmr3"),
                },
            },
            CpuType.SevSnp => policy with { SevSnp = policy.SevSnp with { Measurement = With(policy.SevSnp.Measurement, "measurement") } },
            _ => throw new CommandException("simulated evidence has no measurements to pin.", "pin the evidence of a real TEE", ExitCode.Usage),
        };

        ReferenceValues With(ReferenceValues values, string name) =>
            replace ? ReferenceValues.OneOf(measurements[name].ToArray()) : values.With(measurements[name].Span);
    }

    private static async Task WriteAsync(FileInfo file, string text, CancellationToken cancellation)
    {
        // Beside it and then in its place: whoever reads meanwhile sees the old policy or the new one.
        var beside = file.FullName + ".new";
        try
        {
            await File.WriteAllTextAsync(beside, text, cancellation);
            File.Move(beside, file.FullName, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"cannot write {file}: {e.Message}", "name a file that may be written", ExitCode.Usage);
        }
    }
}
