// spec/gateway.md section 3: status = {time_ms, state, models, keys, running, queued}.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>What a node says of itself, checked.</summary>
internal sealed class Announcement
{
    public const int MaxModels = 64;
    public const int MaxKeys = 4;

    /// <summary>9999-12-31: the last second that a <see cref="DateTimeOffset"/> holds.</summary>
    private const long MaxUnixSeconds = 253_402_300_799;

    private readonly NodeStatus status;

    private Announcement(NodeStatus status, DateTimeOffset signedAt)
    {
        this.status = status;
        SignedAt = signedAt;
    }

    public DateTimeOffset SignedAt { get; }

    /// <summary>False where a member is not valid, or the clock is too far away: the rejection says which.</summary>
    public static bool TryParse(
        NodeStatus status, DateTimeOffset now, [NotNullWhen(true)] out Announcement? announcement, [NotNullWhen(false)] out Rejection? rejection)
    {
        announcement = null;
        if (NodeMessage.SignedAt(status.TimeMs, now) is not { } signedAt)
        {
            rejection = new Rejection(RequestError.AuthError);
            return false;
        }

        var fault = !Enum.IsDefined(status.State) ? "state"
            : status.Models.Count > MaxModels || !status.Models.All(IsModel) ? "models"
            : status.Keys.Count > MaxKeys || !status.Keys.All(IsKey) ? "keys"
            : status.Running < 0 ? "running"
            : status.Queued < 0 ? "queued"
            : null;
        if (fault is not null)
        {
            rejection = new Rejection(RequestError.InvalidField, fault);
            return false;
        }

        rejection = null;
        announcement = new Announcement(status, signedAt);
        return true;
    }

    public void WriteTo(NodeRow node, DateTimeOffset now)
    {
        node.Ready = status.State is NodeState.Ready;
        node.NodeKey = status.Keys is [var newest, ..] ? newest.X25519 : null;
        node.NodeKeyExpiresAt = status.Keys is [var first, ..] ? DateTimeOffset.FromUnixTimeSeconds(first.Expires) : DateTimeOffset.UnixEpoch;
        node.Running = status.Running;
        node.Queued = status.Queued;
        node.SignedAt = SignedAt;
        node.HeardAt = now;
        node.Unreachable = false;
    }

    /// <summary>Writes models and keys. The caller saves, in the transaction in which it wrote the node.</summary>
    public async Task WriteModelsAndKeysAsync(GatewayDbContext state, NodeId node, DateTimeOffset now, CancellationToken cancel)
    {
        var models = await state.NodeModels.Where(row => row.NodeId == node.Value).ToListAsync(cancel);
        state.NodeModels.RemoveRange(models.Where(row => !status.Models.Contains(row.Model, StringComparer.Ordinal)));
        foreach (var model in status.Models.Except(models.Select(row => row.Model), StringComparer.Ordinal))
            state.NodeModels.Add(new NodeModelRow { NodeId = node.Value, Model = model, CreatedAt = now });

        // A node that restarts forgets its keys: one that is announced no more has expired, whatever was said before.
        var keys = await state.NodeKeys.Where(row => row.NodeId == node.Value && row.ExpiresAt > now).ToListAsync(cancel);
        foreach (var forgotten in keys.Where(row => status.Keys.All(key => key.X25519 != row.PublicKey)))
            forgotten.ExpiresAt = now;
        foreach (var key in status.Keys.DistinctBy(key => key.X25519, StringComparer.Ordinal))
        {
            var expires = DateTimeOffset.FromUnixTimeSeconds(key.Expires);
            if (await state.NodeKeys.FindAsync([node.Value, key.X25519], cancel) is { } row)
                row.ExpiresAt = expires;
            else
                state.NodeKeys.Add(new NodeKeyRow { NodeId = node.Value, PublicKey = key.X25519, ExpiresAt = expires });
        }
    }

    private static bool IsModel(string? model) => model is { Length: > 0 and <= EnvelopeRequest.MaxModelNameLength };

    private static bool IsKey(NodeKey? key) =>
        key is not null && X25519PublicKey.TryParse(key.X25519, out _) && key.Expires is >= 0 and <= MaxUnixSeconds;
}
