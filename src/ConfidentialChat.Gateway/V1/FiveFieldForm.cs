// spec/envelope-v1.md section 3.1.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Gateway.V1;

/// <summary>Says where a request of the older form goes: its caller's locks do.</summary>
internal sealed class FiveFieldForm(KnownNodes nodes, IStateWriter state, TimeProvider time)
{
    /// <summary>The whole envelope, where all usable locks of the caller name one node key and one model; else null.</summary>
    public async Task<EnvelopeRequest?> CompleteAsync(Caller caller, FiveFieldRequest request)
    {
        var (place, node) = await state.RunAsync(async rows =>
        {
            var places = await rows.Ledger.LockedPlacesAsync(caller.User, time.GetUtcNow());
            return places is [var only] ? (only, await rows.Ledger.FindStackAsync(only.Stack)) : default;
        });
        var keys = node is null ? null : nodes.Find(node.Node)?.KeySets.FirstOrDefault(keys => keys.Digest == place.KeySet);
        return keys is null ? null : request.To(keys.NodeKey, place.Model, place.Stack);
    }
}
