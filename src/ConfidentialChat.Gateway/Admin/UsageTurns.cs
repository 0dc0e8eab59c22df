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

    public async Task<IResult> SumAsync(UsageQuery query, Caller caller, CancellationToken cancellation)
    {
        if (!asking.TryAdd(caller.User, true))
            return new ErrorAnswer(RequestError.TooManyRequests);
        try
        {
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
        finally
        {
            asking.TryRemove(caller.User, out _);
        }
    }

    public void Dispose() => places.Dispose();
}
