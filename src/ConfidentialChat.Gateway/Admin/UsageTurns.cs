// spec/gateway.md section 11 rule 2.
using System.Collections.Concurrent;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Admin;

/// <summary>Sums of usage, which may read many rows: one at a time for each user, and few for all, so that they cost the requests little.</summary>
internal sealed class UsageTurns(Administration administration) : IDisposable
{
    private const int MostAtOnce = 2;

    private readonly ConcurrentDictionary<UserId, bool> asking = new();
    private readonly SemaphoreSlim places = new(MostAtOnce);

    /// <summary>The days that are asked for; null where they are at fault, and the members say so.</summary>
    public static UsageQuery? QueryOf(StrictMembers members, DateTimeOffset now)
    {
        var (from, to) = (members.Day("from"), members.Day("to"));
        var query = UsageQuery.Of(from, to, DateOnly.FromDateTime(now.UtcDateTime));
        if (query is null)
            members.Blame(from is null ? "to" : "from");
        return query;
    }

    /// <summary>The user's one turn; the caller's to end. Null while another request of that user has it.</summary>
    public IDisposable? TryTake(UserId user) => asking.TryAdd(user, true) ? new Turn(this, user) : null;

    public async Task<IResult> SumAsync(UsageQuery query, Caller caller, CancellationToken cancellation)
    {
        using var turn = TryTake(caller.User);
        if (turn is null)
            return new ErrorAnswer(RequestError.TooManyRequests);
        await places.WaitAsync(cancellation);
        try
        {
            return new JsonAnswer<UsageList>(await administration.SumUsageAsync(query, cancellation), GatewayJson.Default.UsageList);
        }
        finally
        {
            places.Release();
        }
    }

    public void Dispose() => places.Dispose();

    private sealed class Turn(UsageTurns turns, UserId user) : IDisposable
    {
        public void Dispose() => turns.asking.TryRemove(user, out _);
    }
}
