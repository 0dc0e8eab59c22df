using ConfidentialChat.Gateway.State;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>The OpenAI list of the models that a healthy node serves.</summary>
internal static class Models
{
    public static async Task<IResult> HandleAsync(GatewayDbContext state, GatewayOptions options, TimeProvider clock, CancellationToken cancel)
    {
        var served = await state.NodeModels
            .Where(model => state.Nodes.Healthy(clock.GetUtcNow(), options.HeartbeatSeconds).Any(node => node.Id == model.NodeId))
            .Select(model => new { model.Model, model.CreatedAt })
            .ToListAsync(cancel);
        var list = served
            .GroupBy(model => model.Model, StringComparer.Ordinal)
            .OrderBy(model => model.Key, StringComparer.Ordinal)
            .Select(model => new Model(model.Key, "model", model.Min(row => row.CreatedAt).ToUnixTimeSeconds(), "confidentialchat"));
        return TypedResults.Json(new ModelList("list", [.. list]), GatewayJson.Default.ModelList);
    }
}

internal sealed record ModelList(string Object, IReadOnlyList<Model> Data);

/// <param name="Id">The model's name.</param>
/// <param name="Object">Always <c>model</c>.</param>
/// <param name="Created">Seconds since 1970 since which a node has served it.</param>
/// <param name="OwnedBy">Always the same: the gateway knows nothing of a model's makers.</param>
internal sealed record Model(string Id, string Object, long Created, string OwnedBy);
