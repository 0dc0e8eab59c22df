// spec/envelope-v1.md section 9, the order of refusals; spec/gateway.md section 5 rule 2.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Locks;

/// <summary>A request that holds its units: all that the relay needs to know of it, and all that it is told.</summary>
internal sealed record AdmittedRequest
{
    public required EnvelopeEndpoint Endpoint { get; init; }

    public required UserId User { get; init; }

    public required NodeAddress Node { get; init; }

    public required string Model { get; init; }

    public required Reservation Reservation { get; init; }
}

/// <summary>Turns a caller's envelope into an admitted request, or says why not.</summary>
internal sealed class Admission(GatewayDbContext state, HotStatements hot, GatewayOptions options, TimeProvider clock)
{
    public async Task<(AdmittedRequest? Admitted, RequestError Refusal)> AdmitAsync(
        Caller caller, EnvelopeEndpoint endpoint, EnvelopeRequest envelope, CancellationToken cancel)
    {
        // 1 the stack: another user's is answered like none at all
        var stack = await state.Stacks.AsNoTracking()
            .SingleOrDefaultAsync(row => row.Id == envelope.Stack.Value && row.UserId == caller.User.Value, cancel);
        if (stack is null)
            return (null, RequestError.UnavailableStack);

        // 2 its model
        if (!string.Equals(stack.Model, envelope.ModelName, StringComparison.Ordinal))
            return (null, RequestError.ModelMismatch);

        // 3 the node key
        var nodeKey = envelope.NodeKey.ToString();
        var now = clock.GetUtcNow();
        if (!await state.NodeKeys.AnyAsync(row => row.NodeId == stack.NodeId && row.PublicKey == nodeKey && row.ExpiresAt > now, cancel))
            return (null, RequestError.UnknownNodeKey);

        // 4 the lock: claimed and enlarged in one transaction. No tokenizer makes more tokens than there are bytes.
        var node = await state.Nodes.AsNoTracking().SingleAsync(row => row.Id == stack.NodeId, cancel);
        if (node.RemovedAt is not null)
            return (null, RequestError.UnknownNodeKey); // its keys went with it
        var need = new ComputeUnits((envelope.Units ?? endpoint.Inference.DefaultUnits).Value + envelope.Ciphertext.Length);
        var reservation = await hot.ClaimAsync(envelope.Stack, envelope.NodeKey, need, options.ReportDeadline, cancel);
        if (reservation is null)
            return (null, RequestError.UnavailableStack);
        var admitted = new AdmittedRequest
        {
            Endpoint = endpoint,
            User = caller.User,
            Node = NodeAddress.Of(node),
            Model = stack.Model,
            Reservation = reservation,
        };
        return (admitted, default);
    }
}
