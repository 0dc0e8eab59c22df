// spec/gateway.md section 8 rule 1.
using System.Net;
using Microsoft.AspNetCore.Connections;

namespace ConfidentialChat.Hosting.Connections;

/// <summary>
/// The place of one connection, a feature of it: whether it speaks, since when it is silent, and whether somebody known has spoken on it.
/// Requests write to it without a lock; of <see cref="ConnectionPlaces"/> they touch one counter.
/// </summary>
internal sealed class ConnectionPlace(ConnectionPlaces places, ConnectionContext connection, IPAddress? address, AddressBlock? block, TimeProvider time)
{
    private readonly long began = time.GetTimestamp();
    private long silentSince = time.GetTimestamp();
    private int requests; // several at once with HTTP/2
    private int busy; // of them, neither a node's nor a health check
    private volatile bool hasSpoken;
    private volatile bool isKnown;

    public ConnectionPlaces Places => places;

    /// <summary>Null where it is no address on a network.</summary>
    public IPAddress? Address => address;

    /// <summary>Within which strangers' connections are bounded; null where they are not.</summary>
    public AddressBlock? Block => block;

    /// <summary>Where the lists of <see cref="ConnectionPlaces"/> hold it; under their lock. Negative once it has been given away.</summary>
    public int IndexOfAll { get; set; }

    /// <inheritdoc cref="IndexOfAll"/>
    public int IndexOfAddress { get; set; }

    /// <summary>No request is on it.</summary>
    public bool IsSilent => Volatile.Read(ref requests) == 0;

    /// <summary>Somebody showed a key, a token or a signature on it that was good.</summary>
    public bool IsKnown => isKnown;

    public long SilentSince => Volatile.Read(ref silentSince);

    /// <summary>Whether nothing is lost if it is closed.</summary>
    public bool MayBeClosed(long now) => IsSilent && (!hasSpoken || time.GetElapsedTime(SilentSince, now) > ConnectionLimits.AnswerTail);

    public bool IsLate(long now) => !hasSpoken && time.GetElapsedTime(began, now) > ConnectionLimits.HeadTime;

    public void Know() => isKnown = true;

    /// <summary>A whole head is here. False where there is no place for one more that is busy; it counts nevertheless until its end.</summary>
    public bool Begin(bool isOfService)
    {
        Interlocked.Increment(ref requests);
        hasSpoken = true;
        return isOfService || Interlocked.Increment(ref busy) > 1 || places.TryBeBusy();
    }

    public void End(bool isOfService)
    {
        if (!isOfService && Interlocked.Decrement(ref busy) == 0)
            places.BeBusyNoMore();
        Volatile.Write(ref silentSince, time.GetTimestamp());
        Interlocked.Decrement(ref requests);
    }

    public void Close(string why) => connection.Abort(new ConnectionAbortedException(why));
}
