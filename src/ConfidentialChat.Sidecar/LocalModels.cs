// spec/sidecar.md section 2.
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace ConfidentialChat.Sidecar;

/// <summary>The gateway's models, whole or one. Nothing of it is sealed: the gateway answers it itself.</summary>
internal sealed class LocalModels(ConfidentialChatClient client)
{
    private const int MostNamed = 32;

    public Task ListAsync(HttpContext context) =>
        AnswerAsync(context, list => ApiShapes.Of(context) is ApiShape.Anthropic ? AnthropicModels.List(list) : list.ToJson());

    public Task FindAsync(HttpContext context)
    {
        // The server leaves an escaped slash as it is, and clients escape those of a name.
        var id = (context.GetRouteValue("id") as string ?? "").Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);
        return AnswerAsync(context, list => list.Data.FirstOrDefault(model => string.Equals(model.Id, id, StringComparison.Ordinal)) is { } model
            ? ApiShapes.Of(context) is ApiShape.Anthropic ? AnthropicModels.One(model) : model.ToJson()
            : null);
    }

    /// <summary>A refusal of a model that nobody serves, with those that there are.</summary>
    public async Task<SidecarRefusal> ExplainAsync(SidecarRefusal refusal, CancellationToken cancellation)
    {
        if (refusal.Code != RequestError.ModelNotFound.Row().Code)
            return refusal;
        try
        {
            return Unknown(await client.Models.ListAsync(cancellation));
        }
        catch (ConfidentialChatException)
        {
            return refusal;
        }
    }

    private static SidecarRefusal Unknown(ModelList list)
    {
        var names = list.Data.Take(MostNamed).Select(model => ForeignText.Line(model.Id, ModelNames.MaxLength));
        return SidecarRefusal.OfModel(
            list.Data.Count == 0 ? SidecarError.NoModel.Row().Message : $"No node serves this model. The gateway offers: {string.Join(", ", names)}.");
    }

    private async Task AnswerAsync(HttpContext context, Func<ModelList, byte[]?> select)
    {
        ModelList list;
        try
        {
            list = await client.Models.ListAsync(context.RequestAborted);
        }
        catch (Exception e) when (SidecarRefusal.Of(e) is { } refusal)
        {
            await refusal.WriteAsync(context);
            return;
        }

        if (select(list) is not { } json)
        {
            await Unknown(list).WriteAsync(context);
            return;
        }

        AnswerHeaders.SayName(context);
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = json.Length;
        context.Response.Headers.CacheControl = "no-store";
        await context.Response.Body.WriteAsync(json, context.RequestAborted);
    }
}
