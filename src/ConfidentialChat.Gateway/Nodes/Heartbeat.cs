// spec/gateway.md sections 2 and 3.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>A node says how it is.</summary>
internal static class Heartbeat
{
    public static async Task<IResult> HandleAsync(HttpContext context, GatewayDbContext state, TimeProvider clock)
    {
        var cancel = context.RequestAborted;
        var (message, fault) = await NodeMessage.ReadAsync(context, state, NodeMessageJson.Default.NodeStatus);
        if (message is null)
            return fault!;
        var now = clock.GetUtcNow();
        if (!Announcement.TryParse(message.Content, now, out var announcement, out var rejection))
            return new ErrorAnswer(rejection);

        // The largest time wins by one conditional UPDATE: a recorded heartbeat changes nothing, however many come at once.
        await using var transaction = await state.Database.BeginTransactionAsync(cancel);
        var newer = await state.Nodes
            .Where(row => row.Id == message.Node.Value && row.RemovedAt == null && row.SignedAt < announcement.SignedAt)
            .ExecuteUpdateAsync(row => row.SetProperty(node => node.SignedAt, announcement.SignedAt), cancel);
        if (newer == 0)
            return new ErrorAnswer(RequestError.AuthError);
        announcement.WriteTo(await state.Nodes.SingleAsync(row => row.Id == message.Node.Value, cancel), now);
        await announcement.WriteModelsAndKeysAsync(state, message.Node, now, cancel);
        await state.SaveChangesAsync(cancel);
        await transaction.CommitAsync(CancellationToken.None);
        return TypedResults.NoContent();
    }
}
