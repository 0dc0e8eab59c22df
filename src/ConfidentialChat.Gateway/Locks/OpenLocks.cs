// spec/envelope-v1.md section 3.1.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Locks;

/// <summary>Says where a request of the older form goes.</summary>
internal sealed class OpenLocks(GatewayDbContext state, TimeProvider clock)
{
    /// <summary>The whole envelope, where all open locks of the caller name one node key and one model; else null.</summary>
    public async Task<EnvelopeRequest?> CompleteAsync(Caller caller, FiveFieldRequest request, CancellationToken cancel)
    {
        var now = clock.GetUtcNow();
        var places = await state.Locks.AsNoTracking()
            .Where(row => (row.State == "open" || row.State == "returned") && row.ExpiresAt > now)
            .Join(
                state.Stacks.Where(row => row.UserId == caller.User.Value),
                row => row.StackId,
                stack => stack.Id,
                (row, stack) => new { Stack = stack.Id, stack.Model, row.NodeKey })
            .Distinct()
            .Take(2)
            .ToListAsync(cancel);
        return places is [var place]
            ? request.To(new X25519PublicKey(Convert.FromBase64String(place.NodeKey)), place.Model, new StackId(place.Stack))
            : null;
    }
}
