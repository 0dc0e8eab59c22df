// spec/gateway.md section 5 rule 9.
using System.Collections.Concurrent;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>Bytes of each user that were read, here or at a node, only to be refused for what they are: they cost their readers and nobody pays.</summary>
internal sealed class RefusedBytes(TimeProvider time)
{
    /// <summary>Two of the largest bodies, so that one mistake and its repetition pass.</summary>
    private const long Most = 64 << 20;

    /// <summary>Forgotten. A node reads refused bodies at a hundred times this rate.</summary>
    private const long PerSecond = 1 << 20;

    private readonly ConcurrentDictionary<UserId, (long Bytes, long At)> users = new();

    /// <summary>Null where a user may send more, else the time until then.</summary>
    public TimeSpan? Wait(UserId user)
    {
        if (!users.TryGetValue(user, out var refused))
            return null;
        var left = Left(refused);
        if (left == 0)
            users.TryRemove(KeyValuePair.Create(user, refused));
        return left <= Most ? null : TimeSpan.FromSeconds((double)(left - Most) / PerSecond);
    }

    public void Count(UserId user, long bytes)
    {
        var now = time.GetTimestamp();
        users.AddOrUpdate(user, _ => (bytes, now), (_, refused) => (Left(refused) + bytes, now));
    }

    private long Left((long Bytes, long At) refused) => Math.Max(0, refused.Bytes - (long)(time.GetElapsedTime(refused.At).TotalSeconds * PerSecond));
}
