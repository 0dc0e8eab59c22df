// spec/envelope-v1.md section 9, the order of refusals; spec/gateway.md section 5 rule 2.
using System.Collections.Concurrent;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Gateway.V1;

/// <summary>Turns a caller's envelope into an admitted request, or says why not.</summary>
internal sealed class Admission(KnownNodes nodes, Ledger ledger, IStateWriter state, GatewayOptions options, TimeProvider time)
{
    // Whose a stack is and its price never change, and no stack is ever deleted.
    private readonly ConcurrentDictionary<StackId, Stack> stacks = new();

    public async ValueTask<(AdmittedRequest? Admitted, Rejection? Refusal)> AdmitAsync(
        RequestId request, Caller caller, RelayRoute route, EnvelopeOutline envelope, ComputeUnits defaultUnits)
    {
        // 5 the lock leads to a stack: another user's is answered like none at all; then its model, then the node key
        var stack = stacks.GetValueOrDefault(envelope.Stack) ?? await FindAsync(envelope.Stack);
        if (stack is null || stack.User != caller.User)
            return (null, new Rejection(RequestError.UnavailableStack));
        if (!string.Equals(stack.Model, envelope.ModelName, StringComparison.Ordinal))
            return (null, new Rejection(RequestError.ModelMismatch));
        if (nodes.Find(stack.Node) is not { RelayKey: not null } node || node.Find(envelope.NodeKey, time.GetUtcNow()) is not { } keys)
            return (null, new Rejection(RequestError.UnknownNodeKey));

        // 6 the units: claimed and enlarged in one transaction. No tokenizer makes more tokens than there are bytes.
        var need = new ComputeUnits((envelope.Units ?? defaultUnits).Value + envelope.CiphertextSize);
        var locked = new LockedKeys(keys.Digest, IsAttested: keys.Bundle is not null);
        var (reservation, shortfall) = await ledger.ClaimAsync(request, stack, locked, need, options.ReportDeadline);
        if (reservation is null)
        {
            return (null, shortfall is null ? new Rejection(RequestError.UnavailableStack)
                : new Rejection(RequestError.BalanceError) { Shortfall = shortfall });
        }

        var admitted = new AdmittedRequest
        {
            Route = route,
            User = caller.User,
            Node = node,
            Model = stack.Model,
            KeySet = keys.Digest,
            Reservation = reservation,
        };
        return (admitted, null);
    }

    private async ValueTask<Stack?> FindAsync(StackId id)
    {
        var stack = await state.RunAsync(rows => rows.Ledger.FindStackAsync(id));
        if (stack is not null)
            stacks.TryAdd(id, stack);
        return stack;
    }
}
