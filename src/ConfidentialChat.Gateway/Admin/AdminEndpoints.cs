// spec/gateway.md section 11: what a key of the scope admin opens.
using System.Globalization;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Admin;

/// <summary>Users, keys, money and prices of all, for whoever may.</summary>
internal sealed class AdminEndpoints(
    Administration administration, UsageTurns turns, KnownApiKeys keys, KnownNodes nodes, GatewayOptions options, BodyShare room, TimeProvider time)
{
    private const int MaxBytes = 16 * 1024;

    /// <summary>What is done with members that are well formed.</summary>
    private delegate Task<IResult> Act(StrictMembers members, CancellationToken cancellation);

    public void Map(IEndpointRouteBuilder app, Callers callers)
    {
        app.MapGet(Endpoints.AdminUsers, Only(ListUsersAsync));
        app.MapPost(Endpoints.AdminUsers, Only(CreateUserAsync));
        app.MapGet(Endpoints.AdminUser, Only(ShowUserAsync));
        app.MapGet(Endpoints.AdminLedger, Only(ListLedgerAsync));
        app.MapPost(Endpoints.AdminDeposits, Only(DepositAsync));
        app.MapPost(Endpoints.AdminCorrections, Only(CorrectAsync));
        app.MapPost(Endpoints.AdminUserKeys, Only(CreateKeyAsync));
        app.MapGet(Endpoints.AdminKeys, Only(ListKeysAsync));
        app.MapDelete(Endpoints.AdminKey, Only(RevokeKeyAsync));
        app.MapGet(Endpoints.AdminPrices, Only(ListPricesAsync));
        app.MapPut(Endpoints.AdminPrices, Only(SetPriceAsync));
        app.MapDelete(Endpoints.AdminPrices, Only(RemovePriceAsync));
        app.MapGet(Endpoints.AdminUsage, Only(SumUsageAsync));
        app.MapGet(Endpoints.AdminAudit, Only(ListAuditAsync));

        RequestDelegate Only(CallerHandler handler) => callers.Only(handler, ApiKeyScopes.Admin);
    }

    private ValueTask<IResult> ListUsersAsync(HttpContext context, Caller caller) => QueryAsync(
        context, ["name", "after", "limit"], async (members, cancellation) =>
        {
            var (name, page) = (members.Text("name", Administration.IsName), PageOf(members));
            return members.Fault is { } fault ? new ErrorAnswer(fault)
                : Answer(await administration.ListUsersAsync(name, page, cancellation), GatewayJson.Default.ListedUserEntry);
        });

    private ValueTask<IResult> CreateUserAsync(HttpContext context, Caller caller) => BodyAsync(context, ["name"], async (members, cancellation) =>
    {
        var name = members.Text("name", Administration.IsName, isRequired: true);
        if (members.Fault is { } fault)
            return new ErrorAnswer(fault);
        return await administration.CreateUserAsync(name!, ActorOf(caller), cancellation) is { } user
            ? Answer(user, GatewayJson.Default.UserEntry)
            : new ErrorAnswer(RequestError.InvalidField, "name");
    });

    private ValueTask<IResult> ShowUserAsync(HttpContext context, Caller caller) => QueryAsync(context, [], async (_, cancellation) =>
        IdOf(context) is { } id && await administration.FindUserAsync(id, cancellation) is { } user
            ? Answer(user, GatewayJson.Default.UserEntry)
            : None);

    private ValueTask<IResult> ListLedgerAsync(HttpContext context, Caller caller) => QueryAsync(
        context, ["after", "limit"], async (members, cancellation) =>
        {
            var page = PageOf(members);
            if (members.Fault is { } fault)
                return new ErrorAnswer(fault);
            return IdOf(context) is { } id && await administration.FindUserAsync(id, cancellation) is not null
                ? Answer(await administration.ListLedgerAsync(id, page, cancellation), GatewayJson.Default.ListedMoneyEntry)
                : None;
        });

    private ValueTask<IResult> DepositAsync(HttpContext context, Caller caller) => MoveAsync(
        context, least: 1, (user, amount, reference, note) =>
            administration.DepositAsync(user, new MicroDollars(amount), ActorOf(caller), reference, note));

    private ValueTask<IResult> CorrectAsync(HttpContext context, Caller caller) => MoveAsync(
        context, least: -MicroDollars.MaxValue, (user, amount, reference, note) =>
            administration.CorrectAsync(user, new MicroDollars(Math.Abs(amount)), amount > 0, ActorOf(caller), reference, note));

    private ValueTask<IResult> MoveAsync(HttpContext context, long least, Func<long, long, string?, string?, Task<MovementResult>> move) => BodyAsync(
        context, ["amount", "reference", "note"], async (members, _) =>
        {
            var amount = members.Integer("amount", least, MicroDollars.MaxValue, isRequired: true);
            if (amount is 0)
                members.Blame("amount");
            var (reference, note) = (members.Text("reference", Administration.IsText), members.Text("note", Administration.IsText));
            if (members.Fault is { } fault)
                return new ErrorAnswer(fault);
            if (IdOf(context) is not { } user)
                return None;
            var (outcome, funds) = await move(user, amount!.Value, reference, note); // whoever hangs up does not take it back
            return outcome switch
            {
                ActOutcome.Done or ActOutcome.Repeated => Answer(
                    new MovementEntry(funds!.Balance, funds.Held, funds.Available, outcome is ActOutcome.Repeated), GatewayJson.Default.MovementEntry),
                ActOutcome.TooMuch => new ErrorAnswer(RequestError.InvalidField, "amount"),
                ActOutcome.TooLittle => new ErrorAnswer(new Rejection(RequestError.BalanceError)
                {
                    Shortfall = new Shortfall(new MicroDollars(-amount.Value), new MicroDollars(funds!.Available)),
                }),
                ActOutcome.ReferenceTaken => new ErrorAnswer(RequestError.InvalidField, "reference"),
                _ => None,
            };
        });

    private ValueTask<IResult> CreateKeyAsync(HttpContext context, Caller caller) => BodyAsync(
        context, ["scopes", "expires_at"], async (members, cancellation) =>
        {
            var scopes = members.Scopes("scopes") ?? ApiKeyScopes.Inference;
            var expiresAt = members.Time("expires_at");
            if (expiresAt <= time.GetUtcNow())
                members.Blame("expires_at");
            if (members.Fault is { } fault)
                return new ErrorAnswer(fault);
            if (IdOf(context) is not { } user || await administration.CreateKeyAsync(user, scopes, expiresAt, ActorOf(caller), cancellation) is not { } key)
                return None;
            await keys.ReloadAsync();
            return Answer(new MadeKey(key.Text, key.Prefix, user, scopes, expiresAt), GatewayJson.Default.MadeKey);
        });

    private ValueTask<IResult> ListKeysAsync(HttpContext context, Caller caller) => QueryAsync(
        context, ["user", "after", "limit"], async (members, cancellation) =>
        {
            var (user, page) = (members.Integer("user", 0, long.MaxValue), PageOf(members));
            return members.Fault is { } fault ? new ErrorAnswer(fault)
                : Answer(await administration.ListKeysAsync(user, page, cancellation), GatewayJson.Default.ListedApiKeyEntry);
        });

    private ValueTask<IResult> RevokeKeyAsync(HttpContext context, Caller caller) => QueryAsync(context, [], async (_, cancellation) =>
    {
        if (context.Request.RouteValues["key"] is not string { Length: 8 } prefix
            || !await administration.RevokeKeyAsync(prefix, ActorOf(caller), cancellation))
            return None;
        await keys.ReloadAsync();
        return TypedResults.NoContent();
    });

    private ValueTask<IResult> ListPricesAsync(HttpContext context, Caller caller) => QueryAsync(
        context, ["node", "model", "after", "limit"], async (members, cancellation) =>
        {
            var (node, model, page) = (members.Integer("node", 0, long.MaxValue), members.Text("model", ModelNames.IsValid), PageOf(members));
            return members.Fault is { } fault ? new ErrorAnswer(fault)
                : Answer(await administration.ListPricesAsync(node, model, page, cancellation), GatewayJson.Default.ListedPriceEntry);
        });

    private ValueTask<IResult> SetPriceAsync(HttpContext context, Caller caller) => BodyAsync(
        context, ["node", "model", "prompt", "completion", "image"], async (members, cancellation) =>
        {
            var node = members.Integer("node", 0, long.MaxValue, isRequired: true);
            var model = members.Text("model", ModelNames.CanBeServed, isRequired: true);
            var (prompt, completion, image) = (Price("prompt"), Price("completion"), Price("image"));
            if (members.Fault is { } fault)
                return new ErrorAnswer(fault);
            UnitPrices.TryCreate(prompt!.Value, completion!.Value, image!.Value, out var prices);
            if (!await administration.SetPriceAsync(node!.Value, model!, prices, ActorOf(caller), cancellation))
                return None;
            await nodes.ReloadAsync();
            return TypedResults.NoContent();

            long? Price(string name) => members.Integer(name, 0, UnitPrices.MaxValue, isRequired: true);
        });

    private ValueTask<IResult> RemovePriceAsync(HttpContext context, Caller caller) => QueryAsync(
        context, ["node", "model"], async (members, cancellation) =>
        {
            var node = members.Integer("node", 0, long.MaxValue, isRequired: true);
            var model = members.Text("model", ModelNames.CanBeServed, isRequired: true);
            if (members.Fault is { } fault)
                return new ErrorAnswer(fault);
            if (!await administration.SetPriceAsync(node!.Value, model!, null, ActorOf(caller), cancellation))
                return None;
            await nodes.ReloadAsync();
            return TypedResults.NoContent();
        });

    private ValueTask<IResult> SumUsageAsync(HttpContext context, Caller caller) => QueryAsync(
        context, ["from", "to", "by", "user", "model"], async (members, cancellation) =>
        {
            var query = UsageTurns.QueryOf(members, time.GetUtcNow());
            var (by, user, model) = (members.By("by"), members.Integer("user", 0, long.MaxValue), members.Text("model", ModelNames.IsValid));
            if (members.Fault is { } fault)
                return new ErrorAnswer(fault);
            query = query! with { User = user, Model = model };
            return await turns.SumAsync(by is { } named ? query with { By = named } : query, caller, cancellation);
        });

    private ValueTask<IResult> ListAuditAsync(HttpContext context, Caller caller) => QueryAsync(
        context, ["after", "limit"], async (members, cancellation) =>
        {
            var page = PageOf(members);
            return members.Fault is { } fault ? new ErrorAnswer(fault)
                : Answer(await administration.ListAuditAsync(page, cancellation), GatewayJson.Default.ListedAuditLine);
        });

    private static ErrorAnswer None => new(RequestError.NotFound);

    private static string ActorOf(Caller caller) => $"cc_{caller.Key}";

    private static JsonAnswer<T> Answer<T>(T value, JsonTypeInfo<T> type) => new(value, type);

    private static Page PageOf(StrictMembers members) =>
        new(members.Integer("after", 0, long.MaxValue), (int)(members.Integer("limit", 1, Page.MaxLimit) ?? Page.UsualLimit));

    private static long? IdOf(HttpContext context) =>
        long.TryParse((string?)context.Request.RouteValues["id"], NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : null;

    private static async ValueTask<IResult> QueryAsync(HttpContext context, string[] known, Act act)
    {
        var members = StrictMembers.OfQuery(context.Request, known);
        return members.Fault is { } fault ? new ErrorAnswer(fault) : await act(members, context.RequestAborted);
    }

    private async ValueTask<IResult> BodyAsync(HttpContext context, string[] known, Act act)
    {
        var (body, refusal) = await RequestBody.ReadAsync(context, new BodyLimits(MaxBytes, options.UploadTimeout), room, time);
        if (body is null)
            return refusal!;
        StrictMembers members;
        using (body)
            members = StrictMembers.OfBody(body.Memory, known);
        return members.Fault is { } fault ? new ErrorAnswer(fault) : await act(members, context.RequestAborted);
    }
}

/// <summary>An API key that was made, which is shown this once.</summary>
internal sealed record MadeKey(string ApiKey, string Prefix, long User, ApiKeyScopes Scopes, DateTimeOffset? ExpiresAt)
{
    // A record prints its members; this one must not.
    public override string ToString() => Prefix;
}
