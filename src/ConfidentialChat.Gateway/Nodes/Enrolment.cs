// spec/gateway.md section 3.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>A node joins, or comes back under its old number.</summary>
internal static class Enrolment
{
    public static async Task<IResult> HandleAsync(
        HttpContext context, GatewayDbContext state, GatewayOptions options, Ed25519PrivateKey gatewayKey, TimeProvider clock, ILogger<GatewayHost> log)
    {
        var cancel = context.RequestAborted;
        var now = clock.GetUtcNow();

        // 1 the token, without spending it: a node with a fault in its message may mend it
        if (BearerSecret.FromHeader(SecretKind.EnrolmentToken, context.Request.Headers.Authorization) is not { } token)
            return new ErrorAnswer(RequestError.AuthError);
        var tokenRow = await state.EnrolmentTokens.AsNoTracking().SingleOrDefaultAsync(row => row.Prefix == token.Prefix, cancel);
        if (!token.Matches(tokenRow?.Hash) || tokenRow is null)
            return new ErrorAnswer(RequestError.AuthError);

        // 2 the message: signed by the very key that it enrols
        var (body, fault) = await RequestBody.ReadAsync(context, NodeMessage.MaxBytes);
        if (fault is not null)
            return fault;
        if (NodeMessage.Parse(body, NodeMessageJson.Default.EnrolmentRequest) is not { } request)
            return new ErrorAnswer(RequestError.InvalidJson);
        if (!NodeMessage.IsSigned(context, request.IdentityKey, body))
            return new ErrorAnswer(RequestError.AuthError);
        if (NodeAddress.FaultIn(request.Address, request.TlsPin, options.DangerousPlainHttp) is { } field)
            return new ErrorAnswer(RequestError.InvalidField, field);
        if (!Announcement.TryParse(request.Status, now, out var announcement, out var rejection))
            return new ErrorAnswer(rejection);

        // 3 one conditional UPDATE spends the token; whoever comes second finds it spent
        await using var transaction = await state.Database.BeginTransactionAsync(cancel);
        var spent = await state.EnrolmentTokens
            .Where(row => row.Id == tokenRow.Id && row.SpentAt == null && row.ExpiresAt > now)
            .ExecuteUpdateAsync(row => row.SetProperty(token => token.SpentAt, now), cancel);
        if (spent == 0)
            return new ErrorAnswer(RequestError.AuthError);

        // 4 the node keeps its number; a time that is not new is a recording
        var node = await state.Nodes.SingleOrDefaultAsync(row => row.IdentityKey == request.IdentityKey, cancel);
        if (node is not null && node.SignedAt >= announcement.SignedAt)
            return new ErrorAnswer(RequestError.AuthError);
        node ??= state.Nodes.Add(new NodeRow { IdentityKey = request.IdentityKey, Address = "" }).Entity;
        node.Address = request.Address.AbsoluteUri;
        node.TlsPin = request.TlsPin;
        node.RemovedAt = null;
        announcement.WriteTo(node, now);
        await state.SaveChangesAsync(cancel);
        var id = new NodeId(node.Id);
        await announcement.WriteModelsAndKeysAsync(state, id, now, cancel);
        await state.SaveChangesAsync(cancel);
        await transaction.CommitAsync(CancellationToken.None);

        log.Enrolled(id);
        var answer = new EnrolmentAnswer { NodeId = id.Value, GatewayKey = gatewayKey.PublicKey.ToString(), HeartbeatSeconds = options.HeartbeatSeconds };
        return TypedResults.Json(answer, NodeMessageJson.Default.EnrolmentAnswer);
    }
}
