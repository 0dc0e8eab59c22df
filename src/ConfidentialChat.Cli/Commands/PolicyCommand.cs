using System.CommandLine;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Collateral;
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
        Description = "Put the set in the place of all that are there, instead of beside them.",
    };
    private static readonly Option<string?> Name = new("--name")
    {
        Description = "What the set of values is called, the release for example. Default: pinned-1, pinned-2 ...",
        HelpName = "NAME",
    };
    private static readonly Option<bool> AllowZeros = new("--allow-zeros")
    {
        Description = "Pin registers of zeros too, into which nothing was measured: every program has them.",
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
            Evidence, PolicyFile, Name, Collateral, Vek, Crl, At, Nonce, Replace, AllowZeros,
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
        await RefuseZerosAsync(measurements, parsed.GetValue(AllowZeros));
        var (pinned, name) = Pinned(policy, type, measurements, parsed.GetValue(Name), parsed.GetValue(Replace));
        await WriteAsync(file, pinned.ToToml(), cancellation);
        await Console.Out.WriteLineAsync($"set {name}");
        foreach (var (register, value) in measurements)
            await Console.Out.WriteLineAsync($"{register} = {Shown.Hex(value.Span)}");
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
            References = [],
        },
        SevSnp = policy.SevSnp with { Measurement = ReferenceValues.Unnamed, References = [] },
    };

    // RTMR3 is the running system's own, and zeros where that measures nothing. In the others zeros say that the program was measured elsewhere,
    // into a virtual TPM below a paravisor for example, and that whatever it is has these values.
    private static async Task RefuseZerosAsync(IReadOnlyDictionary<string, ReadOnlyMemory<byte>> measurements, bool areAllowed)
    {
        string[] empty = [.. measurements.Where(named => !named.Value.Span.ContainsAnyExcept((byte)0)).Select(named => named.Key)];
        if (empty.Any(name => name != "rtmr3") && !areAllowed)
            throw new CommandException(
                $"nothing is pinned: {string.Join(", ", empty)} are zeros: nothing was measured into them, and every program has them.",
                "a paravisor may have measured elsewhere, which this evidence does not show; --allow-zeros pins them nevertheless", ExitCode.EvidenceRefused);
        if (empty.Length > 0)
            await Console.Error.WriteLineAsync($"note: zeros, into which nothing was measured: {string.Join(", ", empty)}");
    }

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

        bytes = EvidenceForm.Evidence(bytes);
        if (parsed.GetValue(Vek) is { } vek)
        {
            var collateral = EvidenceForm.SevSnp(VerifyOptions.ReadFile(vek, Bounds.Pem));
            if (parsed.GetValue(Crl) is { } list)
                collateral = collateral with { Crl = EvidenceForm.RevocationList(VerifyOptions.ReadFile(list, EvidenceForm.LargestList)) };
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

    private static (Policy Policy, string Name) Pinned(
        Policy policy, string type, IReadOnlyDictionary<string, ReadOnlyMemory<byte>> measurements, string? name, bool replace)
    {
        switch (type)
        {
            case CpuType.Tdx:
                var lists = new Dictionary<string, ReferenceValues>(StringComparer.Ordinal)
                {
                    ["mr_td"] = policy.Tdx.MrTd,
                    ["rtmr0"] = policy.Tdx.Rtmr0,
                    ["rtmr1"] = policy.Tdx.Rtmr1,
                    ["rtmr2"] = policy.Tdx.Rtmr2,
                    ["rtmr3"] = policy.Tdx.Rtmr3,
                };
                var (tdxSets, tdxName) = WithSet(policy.Tdx.References, lists, measurements, name, replace);
                return (policy with { Tdx = Unpinned(policy).Tdx with { References = tdxSets } }, tdxName);
            case CpuType.SevSnp:
                lists = new Dictionary<string, ReferenceValues>(StringComparer.Ordinal) { ["measurement"] = policy.SevSnp.Measurement };
                var (snpSets, snpName) = WithSet(policy.SevSnp.References, lists, measurements, name, replace);
                return (policy with { SevSnp = policy.SevSnp with { Measurement = ReferenceValues.Unnamed, References = snpSets } }, snpName);
            default:
                throw new CommandException("simulated evidence has no measurements to pin.", "pin the evidence of a real TEE", ExitCode.Usage);
        }
    }

    // Lists that have one value a register are a set that had no name yet.
    private static (IReadOnlyList<ReferenceSet> Sets, string Name) WithSet(
        IReadOnlyList<ReferenceSet> sets, IReadOnlyDictionary<string, ReferenceValues> lists, IReadOnlyDictionary<string, ReadOnlyMemory<byte>> measurements,
        string? name, bool replace)
    {
        if (name is not null && !ReferenceSet.IsName(name))
            throw new CommandException($"--name is no name of a set: {Shown.Text(name)}", "at most 64 letters, digits, - and _", ExitCode.Usage);
        List<ReferenceSet> kept = replace ? [] : [.. sets];
        if (!replace && lists.Values.Any(values => !values.IsUnnamed))
        {
            if (lists.Values.Any(values => !values.IsAny && values.Hex.Count() != 1))
                throw new CommandException(
                    "nothing is pinned: the policy has lists of reference values, which would mix releases.",
                    "write them as sets, [tdx.reference.NAME] for example, or put this one in their place with --replace", ExitCode.Usage);
            kept.Add(new ReferenceSet(Free(kept), lists));
        }

        var values = measurements.ToDictionary(named => named.Key, named => ReferenceValues.OneOf(named.Value.ToArray()), StringComparer.Ordinal);
        if (name is null && kept.Find(set => Same(set.Values, values)) is { } known)
            return (kept, known.Name);
        var chosen = name ?? Free(kept);
        kept.RemoveAll(set => set.Name == chosen);
        kept.Add(new ReferenceSet(chosen, values));
        return (kept, chosen);

        static string Free(List<ReferenceSet> taken)
        {
            var number = 1;
            while (taken.Exists(set => set.Name == $"pinned-{number}"))
                number++;
            return $"pinned-{number}";
        }

        static bool Same(IReadOnlyDictionary<string, ReferenceValues> some, IReadOnlyDictionary<string, ReferenceValues> others) =>
            some.Count == others.Count
            && others.All(named => some.TryGetValue(named.Key, out var value) && !value.IsAny && value.Hex.SequenceEqual(named.Value.Hex));
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
