// spec/gateway.md section 11: what users see of their own.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Admin;

/// <summary>A user's balance and usage. Another user's is answered like none at all.</summary>
internal sealed class OwnMoneyEndpoint(Administration administration, UsageTurns turns, TimeProvider time)
{
    public async ValueTask<IResult> BalanceAsync(HttpContext context, Caller caller)
    {
        if (StrictMembers.OfQuery(context.Request).Fault is { } fault)
            return new ErrorAnswer(fault);
        return await administration.FindUserAsync(caller.User.Value, context.RequestAborted) is { } user
            ? new JsonAnswer<FundsEntry>(new FundsEntry(user.Balance, user.Held), GatewayJson.Default.FundsEntry)
            : new ErrorAnswer(RequestError.NotFound);
    }

    public async ValueTask<IResult> SumAsync(HttpContext context, Caller caller)
    {
        var members = StrictMembers.OfQuery(context.Request, "from", "to");
        var query = UsageTurns.QueryOf(members, time.GetUtcNow());
        if (members.Fault is { } fault)
            return new ErrorAnswer(fault);
        return await turns.SumAsync(query! with { By = UsageBy.Day | UsageBy.Model, User = caller.User.Value }, caller, context.RequestAborted);
    }

    public async ValueTask<IResult> RequestAsync(HttpContext context, Caller caller)
    {
        if (StrictMembers.OfQuery(context.Request).Fault is { } fault)
            return new ErrorAnswer(fault);
        return RequestId.TryParse((string?)context.Request.RouteValues["id"], out var request)
            && await administration.Usage.FindAsync(caller.User, request, context.RequestAborted) is { } entry
                ? new JsonAnswer<RequestEntry>(entry, GatewayJson.Default.RequestEntry)
                : new ErrorAnswer(RequestError.NotFound);
    }
}
