using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>The requests that are being relayed now: bounded in number for each user, and in bytes for all together.</summary>
internal sealed class InFlight(GatewayOptions options, TimeProvider time)
{
    /// <summary>One user's share of the room for bodies: others find some left. A single body may be larger, else the largest could never be sent.</summary>
    private const int ShareOfOne = 4;

    private readonly Dictionary<UserId, (int Count, long Bytes)> users = [];
    private readonly Dictionary<RequestId, long> relays = []; // and when each was last taken as due
    private readonly TimeProvider time = time;
    private readonly Lock gate = new();
    private long bytes;

    /// <summary>
    /// Those that a node may be computing for, and that were not taken for so long: their reservations wait for a report, however long
    /// they take.
    /// </summary>
    public IReadOnlyList<RequestId> TakeDue(TimeSpan interval)
    {
        lock (gate)
        {
            RequestId[] due = [.. relays.Where(relay => time.GetElapsedTime(relay.Value) >= interval).Select(relay => relay.Key)];
            foreach (var relay in due)
                relays[relay] = time.GetTimestamp();
            return due;
        }
    }

    /// <summary>Takes a place before a body is read. Null where the user has too many, or all bodies together would be too large.</summary>
    /// <param name="user">Who calls.</param>
    /// <param name="bodyBytes">The body's length, or the longest that it may have.</param>
    public Place? TryEnter(UserId user, long bodyBytes)
    {
        lock (gate)
        {
            var mine = users.GetValueOrDefault(user);
            if (mine.Count >= options.MaxRelaysPerUser || bytes + bodyBytes > options.MaxBufferedBytes
                || (mine.Count > 0 && mine.Bytes + bodyBytes > options.MaxBufferedBytes / ShareOfOne))
                return null;
            users[user] = (mine.Count + 1, mine.Bytes + bodyBytes);
            bytes += bodyBytes;
        }

        return new Place(this, user, bodyBytes);
    }

    /// <summary>One request's place; disposal gives it back.</summary>
    internal sealed class Place(InFlight all, UserId user, long bodyBytes) : IDisposable
    {
        private long bodyBytes = bodyBytes;
        private RequestId? relay;

        /// <summary>The body is here: what was kept free for it beyond its length is others'.</summary>
        public void Shrink(long bytes)
        {
            lock (all.gate)
            {
                var spare = Math.Max(bodyBytes - bytes, 0);
                bodyBytes -= spare;
                all.bytes -= spare;
                var mine = all.users[user];
                all.users[user] = (mine.Count, mine.Bytes - spare);
            }
        }

        /// <summary>From now on the reservation of this request waits.</summary>
        public void Begin(RequestId request)
        {
            lock (all.gate)
            {
                relay = request;
                all.relays.Add(request, all.time.GetTimestamp());
            }
        }

        public void Dispose()
        {
            lock (all.gate)
            {
                if (relay is { } request)
                    all.relays.Remove(request);
                all.bytes -= bodyBytes;
                var mine = all.users[user];
                if (mine.Count == 1)
                    all.users.Remove(user);
                else
                    all.users[user] = (mine.Count - 1, mine.Bytes - bodyBytes);
            }
        }
    }
}
