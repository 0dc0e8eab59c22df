// spec/envelope-v1.md section 2; spec/gateway.md section 5 rule 1.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Locks;

/// <summary>Promises a node, its key and some units of a stack to one user for a few seconds.</summary>
internal static class LockEndpoint
{
    /// <summary>A model's name and two numbers, with room for what other makes of clients add.</summary>
    private const int MaxBytes = 16 * 1024;

    public static async Task<IResult> HandleAsync(
        HttpContext context, GatewayDbContext state, HotStatements hot, GatewayOptions options, TimeProvider clock)
    {
        var cancel = context.RequestAborted;
        var (body, fault) = await RequestBody.ReadAsync(context, MaxBytes);
        if (fault is not null)
            return fault;
        if (!LockRequest.TryParse(body, out var request, out var rejection))
            return new ErrorAnswer(rejection);

        // The least loaded first. Price comes before load once there are prices.
        var nodes = await state.Nodes.AsNoTracking()
            .Healthy(clock.GetUtcNow(), options.HeartbeatSeconds)
            .Where(node => state.NodeModels.Any(model => model.NodeId == node.Id && model.Model == request.Model))
            .OrderBy(node => (long)node.Running + node.Queued).ThenBy(node => node.Id)
            .Select(node => new { node.Id, node.NodeKey })
            .ToListAsync(cancel);
        if (nodes.Count == 0)
        {
            // A node leaves out what it cannot serve just now: a model that somebody holds a stack of is not unknown.
            var known = await state.NodeModels.AnyAsync(model => model.Model == request.Model, cancel)
                || await state.Stacks.AnyAsync(stack => stack.Model == request.Model && state.Nodes.Any(node => node.Id == stack.NodeId && node.RemovedAt == null), cancel);
            return new ErrorAnswer(known ? RequestError.ServiceUnavailable : RequestError.ModelNotFound);
        }

        foreach (var node in nodes)
        {
            var terms = new LockTerms
            {
                User = Caller.Of(context).User,
                Node = new NodeId(node.Id),
                Model = request.Model,
                NodeKey = new X25519PublicKey(Convert.FromBase64String(node.NodeKey!)),
                Units = request.Units,
                Lifetime = request.Lifetime ?? TimeSpan.FromSeconds(options.LockSeconds),
                StackTotal = new ComputeUnits(options.StackUnits),
                MaxOpen = options.MaxOpenLocks,
            };
            var hold = await hot.HoldAsync(terms, cancel);
            if (hold.TooManyOpen)
                return new ErrorAnswer(RequestError.TooManyRequests);
            if (hold.Stack is { } stack)
                return TypedResults.Json(new LockAnswer(node.NodeKey!, node.Id, stack.Value, null), GatewayJson.Default.LockAnswer);
        }

        return new ErrorAnswer(RequestError.BalanceError);
    }
}

/// <param name="PublicKey">The node key to seal to, standard base64.</param>
/// <param name="NodeSmallId">The node.</param>
/// <param name="StackSmallId">The stack.</param>
/// <param name="StackEntryDigest">Always null; published clients read it.</param>
internal sealed record LockAnswer(string PublicKey, long NodeSmallId, long StackSmallId, string? StackEntryDigest);
