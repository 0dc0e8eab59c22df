// The path of one sealed request, steps 3 to 9 of docs/architecture.md; spec/envelope-v2.md section 3.
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Gateway.V2;

/// <summary>Relays what it can neither read nor measure: whom it is for and how much it may use stand in headers.</summary>
internal sealed class RelayEndpoint(
    InFlight inFlight, RefusedBytes refused, KnownNodes nodes, Ledger ledger, NodeRelay relay, GatewayOptions options, TimeProvider time)
{
    private static readonly RelayRoute Route = new()
    {
        Path = "/v2/relay",
        Endpoint = RelayHeaders.RelayEndpoint,
        RequestType = ChunkedRequestSealer.MediaType,
        AnswerTypes = [ChunkedAnswerSealer.MediaType],
        ReadRefusal = TryReadRefusal,
    };

    public async ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        // 3 who calls: Callers has asked
        if (refused.Wait(caller.User) is { } wait)
            return new ErrorAnswer(new Rejection(RequestError.TooManyRequests), (int)Math.Ceiling(wait.TotalSeconds)) { Forwarded = false };

        // 4 a place, and what the headers say; the body stays where it is
        using var place = inFlight.TryEnter(caller.User);
        if (place is null)
            return Refuse(RequestError.TooManyRequests);
        if (context.Request.ContentLength > options.MaxBodyBytes)
            return Refuse(RequestError.BodyTooLarge);
        if (!string.Equals(context.Request.ContentType, ChunkedRequestSealer.MediaType, StringComparison.OrdinalIgnoreCase))
            return Refuse(RequestError.UnsupportedMediaType);
        if (!TryReadOutside(context.Request, out var outside, out var field))
            return Refuse(RequestError.InvalidField, field);

        // 5 the node that it is sealed to, and no other
        if (nodes.Find(context) is not { } node)
            return Refuse(RequestError.NotFound);
        if (node.FindAttested(outside.KeySet, time.GetUtcNow()) is null)
            return Refuse(RequestError.UnknownNodeKey);
        if (!nodes.IsHealthy(node))
            return Refuse(RequestError.ServiceUnavailable);
        if (!node.Serves(outside.Model))
            return Refuse(RequestError.ModelNotFound);

        // 6 the price that its client saw, or less; and the units: exactly those that it names
        var price = node.PriceOf(outside.Model);
        if (price is not null && outside.MaxPrice is { } most && !price.Units.IsWithin(most))
            return Refuse(RequestError.PriceChanged);
        var outcome = await ledger.ReserveAsync(new ReserveTerms
        {
            User = caller.User,
            Node = node.Id,
            Model = outside.Model,
            Units = outside.Units,
            Request = outside.Request,
            Price = price,
            Deadline = options.ReportDeadline,
            IsAttested = true,
        });
        if (outcome.IsRepeated)
            return Refuse(RequestError.Replay);
        if (outcome.Reservation is not { } reservation)
            return new ErrorAnswer(new Rejection(RequestError.BalanceError) { Shortfall = outcome.Shortfall }) { Forwarded = false };

        // 7 to 9 the node, its answer as it comes, and what becomes of the units
        context.Rename(outside.Request);
        place.Begin(reservation.Request);
        await using var body = new StreamedBody(context, new BodyLimits(options.MaxBodyBytes, options.UploadTimeout), time);
        return await relay.SendAsync(
            context,
            new AdmittedRequest { Route = Route, User = caller.User, Node = node, Model = outside.Model, KeySet = outside.KeySet, Reservation = reservation },
            body);
    }

    private static ErrorAnswer Refuse(RequestError error, string? field = null) => new(error, field) { Forwarded = false };

    private static bool TryReadRefusal(ReadOnlyMemory<byte> body, [NotNullWhen(true)] out Rejection? rejection)
    {
        rejection = ProblemDocument.TryParse(body, out var problem) ? new Rejection(problem.Error, problem.Field) : null;
        return rejection is not null;
    }

    // What stands outside, or the name of what does not.
    private static bool TryReadOutside(HttpRequest request, out Outside outside, out string? fault)
    {
        outside = default;
        var units = ComputeUnits.Default;
        fault = "model";
        if (!ModelText.TryRead(request.Headers[RelayHeaders.Model], out var model))
            return false;
        fault = "request_id";
        if (!RequestId.TryParse(request.Headers[RelayHeaders.RequestId], out var id))
            return false;
        fault = "key_set";
        if (!KeySetDigest.TryParse(request.Headers[RelayHeaders.KeySet], out var keySet))
            return false;
        fault = "max_units";
        if (request.Headers[RelayHeaders.MaxUnits] is { Count: > 0 } text)
        {
            if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number is < 1 or > ComputeUnits.MaxValue)
                return false;
            units = new ComputeUnits(number);
        }

        UnitPrices? maxPrice = null;
        fault = "max_price";
        if (request.Headers[RelayHeaders.MaxPrice] is { Count: > 0 } prices)
        {
            if (!UnitPrices.TryParse(prices, out var most))
                return false;
            maxPrice = most;
        }

        fault = null;
        outside = new Outside(model, id, keySet, units, maxPrice);
        return true;
    }

    private readonly record struct Outside(string Model, RequestId Request, KeySetDigest KeySet, ComputeUnits Units, UnitPrices? MaxPrice);
}
