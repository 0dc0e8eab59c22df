// spec/envelope-v2.md section 2; spec/attestation.md section 2.
using System.Globalization;
using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>
/// No node of the model is one that the policy accepts. Nothing was sealed, and nothing of the request was sent. Its text names nodes and
/// checks, and never content.
/// </summary>
public sealed class AttestationException : ConfidentialChatException
{
    private const int ShownNodes = 8;
    private const int ShownFactors = 4; // of a node

    internal AttestationException(IReadOnlyList<UnverifiedNode> refused)
        : base(Describe(refused)) => Refused = refused;

    /// <summary>The nodes that were looked at, each with the checks that refuse it.</summary>
    public IReadOnlyList<UnverifiedNode> Refused { get; }

    private static string Describe(IReadOnlyList<UnverifiedNode> refused)
    {
        var text = new StringBuilder("No node of the model is accepted by the policy; nothing was sent.");
        foreach (var node in refused.Take(ShownNodes))
        {
            foreach (var factor in node.Factors.Take(ShownFactors))
            {
                text.Append(CultureInfo.InvariantCulture, $"\nnode {node.Node}: {factor.Name} {factor.Code?.Spell()}: ")
                    .Append(CultureInfo.InvariantCulture, $"expected {factor.Expected}; found {factor.Found}");
            }
        }

        return text.Append("\nhint: ").Append(Hint(refused)).ToString();
    }

    private static string Hint(IReadOnlyList<UnverifiedNode> refused)
    {
        const string Where = $"the policy ({nameof(ConfidentialChatOptions)}.{nameof(ConfidentialChatOptions.Policy)}, "
            + $"or the file that {ConfidentialChatOptions.PolicyVariable} names)";
        if (refused.Count == 0)
            return "ask the gateway's operator which nodes serve the model.";
        var node = refused[0];
        return node.Factors[0] switch
        {
            { Name.Value: "bundle.tee", Found: CpuType.Simulated } =>
                $"node {node.Node} is in no TEE. Run it in one; for a trial alone, {Where} may say allow_simulated = true.",
            { Name.Value: "bundle.tee" } => $"{Where} accepts no such evidence as that of node {node.Node}.",
            { Code: RejectionCode.NoReference } => $"name the program of node {node.Node} in {Where}: ./cchat policy pin writes what it measures.",
            { Name.Value: "node.lock" } => "the gateway locked a key that no verified node has. Use envelope v2, or another gateway.",
            _ => $"./cchat verify --node {node.Node} shows every check of node {node.Node}; what is accepted is said by {Where}.",
        };
    }
}

/// <summary>A node that is not sealed to.</summary>
/// <param name="Node">As the gateway names it.</param>
/// <param name="Factors">The checks that refuse it, at least one; short printable ASCII, without content.</param>
public sealed record UnverifiedNode(NodeId Node, IReadOnlyList<Factor> Factors);
