// spec/sidecar.md section 4.
using System.Globalization;
using ConfidentialChat.Attestation;
using ConfidentialChat.Client;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Sidecar;

/// <summary>What the sidecar says of an answer beside it.</summary>
internal static class AnswerHeaders
{
    private const string Node = "confidential-node", Tee = "confidential-tee", VerdictName = "confidential-verdict", Until = "confidential-verdict-until";
    private const string OpenAIName = "x-request-id", AnthropicName = "request-id"; // each company's clients read theirs
    private const string Count = "confidential-count";
    private const string Accepted = "accepted";

    public static IReadOnlyList<string> All { get; } = [Node, Tee, VerdictName, Until, OpenAIName, AnthropicName, Count];

    /// <summary>What kind of answer follows, whom the request was sealed to, and why.</summary>
    public static void Say(HttpContext context, OpenedAnswer answer)
    {
        var (headers, node) = (context.Response.Headers, answer.Node);
        SayName(context);
        context.Response.ContentType = answer.ContentType;
        headers.CacheControl = "no-store";
        headers[Node] = node.Id.Value.ToString(CultureInfo.InvariantCulture);
        headers[Tee] = node.Tee;
        headers[VerdictName] = Accepted; // of no other is there an answer
        headers[Until] = Shown.Date(node.SealBefore);
    }

    /// <summary>That tokens were not counted, and by no node.</summary>
    public static void SayEstimated(HttpContext context)
    {
        SayName(context);
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers[Count] = "estimated";
    }

    /// <summary>How gateway, node and receipt call the request; before it was sealed, how the sidecar's log does.</summary>
    public static void SayName(HttpContext context) =>
        context.Response.Headers[OpenAIName] = context.Response.Headers[AnthropicName] = context.TraceIdentifier;
}
