using ConfidentialChat.Gateway.Auth;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>The OpenAI list of the models that a healthy node serves.</summary>
internal sealed class Models(KnownNodes nodes)
{
    public ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        var list = nodes.Models()
            .GroupBy(served => served.Model, StringComparer.Ordinal)
            .OrderBy(model => model.Key, StringComparer.Ordinal)
            .Select(model => new Model(model.Key, "model", model.Min(served => served.Since).ToUnixTimeSeconds(), "confidentialchat"));
        return new(new JsonAnswer<ModelList>(new("list", [.. list]), GatewayJson.Default.ModelList));
    }
}

internal sealed record ModelList(string Object, IReadOnlyList<Model> Data);

/// <param name="Id">The model's name.</param>
/// <param name="Object">Always <c>model</c>.</param>
/// <param name="Created">Seconds since 1970 since which a node has served it.</param>
/// <param name="OwnedBy">Always the same: the gateway knows nothing of a model's makers.</param>
internal sealed record Model(string Id, string Object, long Created, string OwnedBy);
