// spec/envelope-v1.md section 2; spec/gateway.md section 5 rule 1.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.V1;

/// <summary>Promises a node, its key and some units of a stack to one user for a few seconds.</summary>
internal sealed class LockEndpoint(KnownNodes nodes, Ledger ledger, IStateWriter state, GatewayOptions options, BodyShare room, TimeProvider time)
{
    /// <summary>A model's name and two numbers, with room for what other makes of clients add.</summary>
    private const int MaxBytes = 16 * 1024;

    public async ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        var (body, fault) = await RequestBody.ReadAsync(context, new BodyLimits(MaxBytes, options.UploadTimeout), room, time);
        if (body is null)
            return fault!;
        using var received = body;
        if (!LockRequest.TryParse(body.Memory, out var request, out var rejection))
            return new ErrorAnswer(rejection);

        var isServed = false;
        Shortfall? shortfall = null;
        foreach (var node in nodes.Serving(request.Model))
        {
            if (request.Node is { } wanted && wanted != node.Id)
                continue;
            isServed = true;
            var terms = new LockTerms
            {
                User = caller.User,
                Node = node.Id,
                Model = request.Model,
                KeySet = node.Newest!.Digest,
                Units = request.Units,
                Lifetime = request.Lifetime ?? TimeSpan.FromSeconds(options.LockSeconds),
                Price = node.PriceOf(request.Model),
                StackTotal = new ComputeUnits(options.StackUnits),
                MaxOpen = options.MaxOpenLocks,
            };
            var outcome = await ledger.LockAsync(terms);
            if (outcome.TooManyOpen)
                return new ErrorAnswer(RequestError.TooManyRequests);
            if (outcome.Stack is { } stack)
            {
                var answer = new LockAnswer(node.Newest.NodeKeyText, node.Id.Value, stack.Value, null, ListedPrice.Of(terms.Price));
                return new JsonAnswer<LockAnswer>(answer, GatewayJson.Default.LockAnswer);
            }

            shortfall ??= outcome.Shortfall; // the cheapest's
        }

        if (isServed)
            return new ErrorAnswer(new Rejection(RequestError.BalanceError) { Shortfall = shortfall });

        // A node leaves out what it cannot serve just now: a model that somebody holds a stack of is not unknown.
        var isKnown = nodes.IsAnnounced(request.Model) || await state.RunAsync(rows => rows.Ledger.HasStackOfAsync(request.Model));
        return new ErrorAnswer(isKnown ? RequestError.ServiceUnavailable : RequestError.ModelNotFound);
    }
}

/// <param name="PublicKey">The node key to seal to, standard base64.</param>
/// <param name="NodeSmallId">The node.</param>
/// <param name="StackSmallId">The stack.</param>
/// <param name="StackEntryDigest">Always null; published clients read it.</param>
/// <param name="Price">What a million units cost; null where they are free.</param>
internal sealed record LockAnswer(string PublicKey, long NodeSmallId, long StackSmallId, string? StackEntryDigest, ListedPrice? Price);
