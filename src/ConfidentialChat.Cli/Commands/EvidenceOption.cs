// spec/envelope-v2.md section 11; spec/attestation.md section 14.
using System.CommandLine;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary>Where a node gets evidence of what it is.</summary>
internal static class EvidenceOption
{
    /// <summary>No source: envelope v1 alone, which our clients refuse.</summary>
    public const string None = "none";

    /// <summary>A software key in the place of a processor.</summary>
    public const string Simulated = CpuType.Simulated;

    public static Option<string> Create(string standard) => new("--evidence")
    {
        Description = $"Where the node gets evidence: {Simulated} (a software key: NOTHING IS PROTECTED) or {None} (envelope v1 alone).",
        HelpName = $"{None}|{Simulated}",
        DefaultValueFactory = _ => standard,
    };

    /// <summary>One of the two words.</summary>
    /// <exception cref="CommandException">Another one.</exception>
    public static string Read(ParseResult parsed, Option<string> option) => parsed.GetRequiredValue(option) switch
    {
        Simulated => Simulated,
        None => None,
        var typed => throw new CommandException(
            $"{option.Name} names no source of evidence.", $"'{ForeignText.Line(typed)}' is neither {Simulated} nor {None}", ExitCode.Usage),
    };

    /// <summary>The source, which its caller disposes of; null for none. It has nothing to keep: its key is made here and ends with the process.</summary>
    public static SimulatedPlatform? Open(string word) => word == Simulated ? new SimulatedPlatform() : null;

    /// <summary>What is not protected with it.</summary>
    public static string Warning(string word) => word == Simulated ? Warnings.SimulatedEvidence : Warnings.NoEvidence;
}
