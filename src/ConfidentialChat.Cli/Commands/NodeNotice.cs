// spec/envelope-v2.md section 2.
using ConfidentialChat.Attestation;
using ConfidentialChat.Client;

namespace ConfidentialChat.Cli.Commands;

/// <summary>One line on standard error before anything is sealed: to which node, in which TEE, on which verdict. Once for as long as it is the same.</summary>
internal sealed class NodeNotice
{
    private string said = "";

    /// <summary>Of a call that is to say it.</summary>
    public CallOptions Options => new() { OnNode = Say };

    /// <summary>The line.</summary>
    public static string Line(VerifiedNode node)
    {
        string[] warnings = [.. node.Verdict.Warnings.Select(warning => warning.Name.Value)];
        return node.Tee == CpuType.Simulated
            ? $"node {node.Id}, {node.Tee} evidence: accepted, and NOTHING IS PROTECTED from whoever runs it"
            : $"node {node.Id}, {node.Tee}: accepted{(warnings.Length == 0 ? "" : $", with warnings: {string.Join(", ", warnings)}")}";
    }

    private void Say(VerifiedNode node)
    {
        var line = Line(node);
        if (Interlocked.Exchange(ref said, line) != line)
            Console.Error.WriteLine(line);
    }
}
