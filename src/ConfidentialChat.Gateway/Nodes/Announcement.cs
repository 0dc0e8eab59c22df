// spec/gateway.md section 3: status = {state, models, key_sets, running, queued}.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>What a node says of itself, checked, and when it signed that.</summary>
internal sealed record Announcement
{
    public const int MaxModels = 64;

    /// <summary>On the node's own clock.</summary>
    public required DateTimeOffset SignedAt { get; init; }

    /// <summary>Whether it takes requests; false while it drains.</summary>
    public required bool IsReady { get; init; }

    public required IReadOnlyList<string> Models { get; init; }

    /// <summary>Newest first, each once.</summary>
    public required IReadOnlyList<PublishedKeySet> KeySets { get; init; }

    public required int Running { get; init; }

    public required int Queued { get; init; }

    /// <summary>False where a member is not valid: the rejection says which.</summary>
    public static bool TryParse(
        NodeStatus status, DateTimeOffset signedAt, [NotNullWhen(true)] out Announcement? announcement, [NotNullWhen(false)] out Rejection? rejection)
    {
        announcement = null;
        var keySets = new List<PublishedKeySet>();
        var fault = !Enum.IsDefined(status.State) ? "state"
            : status.Models.Count > MaxModels || !status.Models.All(ModelNames.CanBeServed) ? "models"
            : status.KeySets.Count > KeySet.MaxHeld || !status.KeySets.All(TryAdd) ? "key_sets"
            : status.Running < 0 ? "running"
            : status.Queued < 0 ? "queued"
            : null;
        if (fault is not null)
        {
            rejection = new Rejection(RequestError.InvalidField, fault);
            return false;
        }

        rejection = null;
        announcement = new Announcement
        {
            SignedAt = signedAt,
            IsReady = status.State is NodeState.Ready,
            Models = [.. status.Models.Distinct(StringComparer.Ordinal)],
            KeySets = [.. keySets.DistinctBy(keys => keys.Digest)],
            Running = status.Running,
            Queued = status.Queued,
        };
        return true;

        bool TryAdd(AnnouncedKeySet? announced)
        {
            if (announced is null || !announced.TryRead(out var keys))
                return false;
            keySets.Add(keys);
            return true;
        }
    }
}
