// spec/envelope-v2.md section 2 rule 2.
using System.Globalization;
using System.Text;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Gateway.V2;

/// <summary>Says which nodes serve a model, and which bundles to fetch before anything is believed of them.</summary>
internal sealed class NodeListEndpoint(KnownNodes nodes)
{
    private const int MaxNodes = 8;

    public ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        if (context.Request.Query["model"] is not [{ Length: > 0 } model])
            return new(new ErrorAnswer(RequestError.InvalidField, "model") { Forwarded = false });
        var serving = nodes.Serving(model).Where(node => node.Newest!.Bundle is not null).Take(MaxNodes);
        var list = new NodeListAnswer([.. serving.Select(node => ListedNode.Of(node, model))]);
        if (list.Nodes.Count == 0)
        {
            var error = nodes.IsAnnounced(model) ? RequestError.ServiceUnavailable : RequestError.ModelNotFound;
            return new(new ErrorAnswer(error) { Forwarded = false });
        }

        return new(context.IsKnown(list.Tag()) ? TypedResults.StatusCode(StatusCodes.Status304NotModified)
            : new JsonAnswer<NodeListAnswer>(list, GatewayJson.Default.NodeListAnswer));
    }
}

internal sealed record NodeListAnswer(IReadOnlyList<ListedNode> Nodes)
{
    /// <summary>Another one wherever a client would choose otherwise.</summary>
    public string Tag()
    {
        var text = string.Join('\n', Nodes.Select(node => string.Create(
            CultureInfo.InvariantCulture, $"{node.Id} {node.KeySet} {node.Bundle} {node.NotAfter} {node.Price} {node.Load} {string.Join(' ', node.Models)}")));
        return Convert.ToHexStringLower(Sha256.Hash(Encoding.UTF8.GetBytes(text)).AsSpan(0, 16));
    }
}

/// <param name="Id">The node's number.</param>
/// <param name="KeySet">Base64url of the newest key set's digest.</param>
/// <param name="Bundle">SHA-256 of its bundle, hexadecimal.</param>
/// <param name="NotAfter">Seconds since 1970.</param>
/// <param name="Models">All that it serves.</param>
/// <param name="Price">Of the model that was asked for; null where it is free.</param>
/// <param name="Load">Requests that it serves or keeps waiting.</param>
internal sealed record ListedNode(long Id, string KeySet, string Bundle, long NotAfter, IReadOnlyList<string> Models, ListedPrice? Price, long Load)
{
    public static ListedNode Of(KnownNode node, string model) => new(
        node.Id.Value,
        node.Newest!.Digest.ToString(),
        Convert.ToHexStringLower(node.Newest.Bundle!),
        node.Newest.Expires.ToUnixTimeSeconds(),
        [.. node.Models.Select(served => served.Model)],
        ListedPrice.Of(node.PriceOf(model)),
        node.Load);
}
