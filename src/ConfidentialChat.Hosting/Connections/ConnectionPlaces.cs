// spec/gateway.md section 8 rule 1.
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Hosting.Connections;

/// <summary>
/// The places for connections of one server. Who comes gets one as long as anybody is silent: who was silent for longest, strangers first, has to
/// go for it. So whoever holds places in silence keeps nobody out, from one address or from thousands: the others need theirs for the blink of
/// their head only. Kestrel's own limit closes who comes, and its own times begin with the first byte (or give 130 s before it).
/// </summary>
internal sealed class ConnectionPlaces(ConnectionLimits limits, TimeProvider time, ILogger<ConnectionPlaces> log) : IDisposable
{
    /// <summary>Silent ones of which the one is chosen that was so for longest; looking at all would cost a flood's victim more than its sender.</summary>
    private const int Looks = 64;

    private static readonly TimeSpan LogInterval = TimeSpan.FromMinutes(1);

    // Held when a connection comes and when it goes, never for a request.
    private readonly Lock gate = new();
    private readonly List<ConnectionPlace> all = [];
    private readonly Dictionary<AddressBlock, List<ConnectionPlace>> byAddress = [];
    private int busy;
    private int displaced;
    private int refused;
    private int late;
    private IPAddress? last; // of whom one was closed
    private ITimer? quiet;
    private bool isQuiet;

    /// <summary>Goes around the whole connection, the handshake of TLS included.</summary>
    public ConnectionDelegate Around(ConnectionDelegate next) => connection => HoldAsync(connection, next);

    /// <summary>Places that are taken.</summary>
    public int Taken
    {
        get
        {
            lock (gate)
                return all.Count;
        }
    }

    public void Dispose() => quiet?.Dispose();

    public bool TryBeBusy() => Interlocked.Increment(ref busy) <= limits.MostBusy;

    public void BeBusyNoMore() => Interlocked.Decrement(ref busy);

    private async Task HoldAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var address = (connection.RemoteEndPoint as IPEndPoint)?.Address;
        var block = address is null || limits.Trusted.Holds(address) ? (AddressBlock?)null : AddressBlock.Of(address);
        var place = new ConnectionPlace(this, connection, address, block, time);
        if (!TryTake(place))
            return; // and Kestrel closes it
        try
        {
            connection.Features.Set(place);
            connection.Features.Get<IConnectionHeartbeatFeature>()?.OnHeartbeat(
                static state => ((ConnectionPlace)state).Places.CloseIfLate((ConnectionPlace)state), place);
            await next(connection);
        }
        finally
        {
            lock (gate)
                GiveUp(place);
        }
    }

    private bool TryTake(ConnectionPlace place)
    {
        ConnectionPlace? gone = null;
        bool isTaken;
        lock (gate)
        {
            if (place.Block is { } block && byAddress.TryGetValue(block, out var neighbours))
                gone = OneTooMany(neighbours);
            if (gone is null && all.Count >= limits.Most)
                gone = LongestSilent(all, strangersOnly: false);
            if (gone is not null)
                GiveUp(gone);
            isTaken = all.Count < limits.Most;
            if (isTaken)
                Take(place);
        }

        gone?.Close("Its place was needed.");
        if (gone is not null)
            Count(gone.Address, ref displaced);
        if (!isTaken)
            Count(place.Address, ref refused);
        return isTaken;
    }

    private void CloseIfLate(ConnectionPlace place)
    {
        if (!place.IsLate(time.GetTimestamp()))
            return;
        lock (gate)
        {
            if (place.IndexOfAll < 0)
                return;
            GiveUp(place);
        }

        place.Close("It said nothing whole for too long.");
        Count(place.Address, ref late);
    }

    // The longest silent stranger of an address that has more of them than it may.
    private ConnectionPlace? OneTooMany(List<ConnectionPlace> neighbours)
    {
        if (neighbours.Count < limits.MostSilentOfAddress)
            return null;
        var silent = 0;
        foreach (var place in neighbours)
        {
            if (!place.IsKnown && place.IsSilent)
                silent++;
        }

        return silent >= limits.MostSilentOfAddress ? LongestSilent(neighbours, strangersOnly: true) : null;
    }

    private ConnectionPlace? LongestSilent(List<ConnectionPlace> places, bool strangersOnly)
    {
        var now = time.GetTimestamp();
        var start = Random.Shared.Next(places.Count);
        ConnectionPlace? longest = null;
        for (int i = 0, looks = 0; i < places.Count && looks < Looks; i++)
        {
            var place = places[(start + i) % places.Count];
            if (!place.MayBeClosed(now) || (strangersOnly && place.IsKnown))
                continue;
            looks++;
            if (longest is null || (place.IsKnown, place.SilentSince).CompareTo((longest.IsKnown, longest.SilentSince)) < 0)
                longest = place;
        }

        return longest;
    }

    private void Take(ConnectionPlace place)
    {
        place.IndexOfAll = all.Count;
        all.Add(place);
        if (place.Block is not { } block)
            return;
        if (!byAddress.TryGetValue(block, out var neighbours))
            byAddress.Add(block, neighbours = []);
        place.IndexOfAddress = neighbours.Count;
        neighbours.Add(place);
    }

    private void GiveUp(ConnectionPlace place)
    {
        if (place.IndexOfAll < 0)
            return;
        var mover = all[^1]; // into the gap
        all[mover.IndexOfAll = place.IndexOfAll] = mover;
        all.RemoveAt(all.Count - 1);
        place.IndexOfAll = -1;
        if (place.Block is not { } block)
            return;
        var neighbours = byAddress[block];
        mover = neighbours[^1];
        neighbours[mover.IndexOfAddress = place.IndexOfAddress] = mover;
        neighbours.RemoveAt(neighbours.Count - 1);
        if (neighbours.Count == 0)
            byAddress.Remove(block);
    }

    // Who does this does it a thousand times a second: the first is said at once, the others once in a while.
    private void Count(IPAddress? address, ref int count)
    {
        lock (gate)
        {
            count++;
            last = address;
            if (isQuiet)
                return;
            isQuiet = true;
        }

        Say();
    }

    private void Say()
    {
        (int Displaced, int Refused, int Late) said;
        lock (gate)
        {
            said = (displaced, refused, late);
            displaced = refused = late = 0;
            isQuiet = said is not (0, 0, 0);
            if (!isQuiet)
                return;
            quiet ??= time.CreateTimer(static state => ((ConnectionPlaces)state!).Say(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            quiet.Change(LogInterval, Timeout.InfiniteTimeSpan);
        }

        log.ConnectionsClosed(
            said.Displaced + said.Refused > 0 ? LogLevel.Warning : LogLevel.Information, said.Displaced, said.Refused, said.Late, last?.ToString() ?? "-");
    }
}
