using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>The requests that are being relayed now: bounded in number for each user, and in what their bodies may take of the room for all.</summary>
internal sealed class InFlight(GatewayOptions options, BodyBudget bodies, TimeProvider time)
{
    /// <summary>One user's share of the room for bodies: others find some left.</summary>
    private const int ShareOfOne = 4;

    private readonly Dictionary<UserId, Present> users = [];
    private readonly Dictionary<RequestId, long> relays = []; // and when each was last taken as due
    private readonly TimeProvider time = time;
    private readonly Lock gate = new();

    // The largest body can be sent also where a quarter is less.
    private readonly long share = Math.Max(options.MaxBufferedBytes / ShareOfOne, options.MaxBodyBytes);

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

    /// <summary>Takes a place before a body is read. Null where the user has too many.</summary>
    public Place? TryEnter(UserId user)
    {
        lock (gate)
        {
            if (!users.TryGetValue(user, out var present))
                users.Add(user, present = new Present(new BodyShare(bodies, share)));
            else if (present.Count >= options.MaxRelaysPerUser)
                return null;
            present.Count++;
            return new Place(this, user, present.Room);
        }
    }

    /// <summary>What one user has here.</summary>
    private sealed class Present(BodyShare room)
    {
        public int Count { get; set; }

        public BodyShare Room { get; } = room;
    }

    /// <summary>One request's place; disposal gives it back.</summary>
    internal sealed class Place(InFlight all, UserId user, BodyShare room) : IDisposable
    {
        private RequestId? relay;

        /// <summary>Pays for the request's body, also while that outlives the place.</summary>
        public BodyShare Room { get; } = room;

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
                if (--all.users[user].Count == 0)
                    all.users.Remove(user);
            }
        }
    }
}
