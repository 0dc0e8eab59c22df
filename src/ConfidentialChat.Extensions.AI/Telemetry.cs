using System.Diagnostics;
using ConfidentialChat.Client;

namespace ConfidentialChat.Extensions.AI;

/// <summary>What a trace says of a call beside the conventions' own attributes, and what it must not.</summary>
internal static class Telemetry
{
    /// <summary>The conventions' <c>gen_ai.provider.name</c>.</summary>
    public const string Provider = "confidentialchat";

    /// <summary>The number of the node that answered.</summary>
    public const string NodeId = "confidentialchat.node.id";

    /// <summary>What protects it.</summary>
    public const string NodeTee = "confidentialchat.node.tee";

    // Attributes of a request that hold content, and that are written whether or not content is wanted.
    private static readonly string[] Content = ["gen_ai.request.stop_sequences", "gen_ai.tool.definitions"];

    /// <summary>Takes what is sealed out of the span that was begun for this call.</summary>
    public static void WithoutContent()
    {
        if (Current is { } span)
            Array.ForEach(Content, name => span.SetTag(name, null));
    }

    /// <summary>Names who answers.</summary>
    public static void Note(VerifiedNode? node) =>
        Current?.SetTag(NodeId, node?.Id.ToString()).SetTag(NodeTee, node?.Tee);

    // Spans of others' are others'.
    private static Activity? Current => Activity.Current is { Source.Name: ConfidentialChatServices.TelemetrySource } span ? span : null;
}
