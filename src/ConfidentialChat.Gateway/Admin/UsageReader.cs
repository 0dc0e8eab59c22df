// spec/gateway.md section 11 rules 2 and 3.
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Admin;

/// <summary>What was used, and what it cost: read from settlements, in units, and priced when it is read, exactly. Safe from any thread.</summary>
internal sealed class UsageReader(Database database)
{
    private const long Day = 86_400_000; // milliseconds
    private const int PerMicroDollar = 1_000_000; // millionths, and units to which a price is

    // Places, because no name can be grouped by whose text is computed from a parameter. What is not asked for is one and the same everywhere.
    private const string Sums = """
        SELECT CASE WHEN {0} THEN s.created_at / 86400000 ELSE 0 END AS "Day",
               CASE WHEN {1} THEN r.model ELSE '' END AS "Model",
               CASE WHEN {2} THEN s.user_id ELSE 0 END AS "User",
               CASE WHEN {2} THEN u.name ELSE '' END AS "Name",
               COALESCE(r.price_id, st.price_id, 0) AS "Price",
               CASE WHEN r.stack_id IS NULL THEN 0 ELSE 1 END AS "OfStack",
               COUNT(*) AS "Requests",
               CAST(SUM(s.charged_prompt) AS BIGINT) AS "Prompt",
               CAST(SUM(s.charged_completion) AS BIGINT) AS "Completion",
               CAST(SUM(s.charged_pixels) AS BIGINT) AS "Pixels"
        FROM settlements s JOIN reservations r ON r.request_id = s.request_id JOIN users u ON u.id = s.user_id
             LEFT JOIN stacks st ON st.id = r.stack_id
        WHERE s.created_at >= {3} AND s.created_at < {4}
        """;
    private const string OfUser = " AND s.user_id = {5}";
    private const string OfModel = " AND r.model = {6}";
    private const string OfModelAlone = " AND r.model = {5}";
    private const string Groups = " GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 4, 3, 5, 6 LIMIT 40001";
    private const int MostRead = 40_000; // four for a line: prices change seldom

    /// <summary>Sums what was charged. Lines of one price each are read, and put together here.</summary>
    public Task<UsageList> SumAsync(UsageQuery query, CancellationToken cancellation = default) => database.QueryAsync(async rows =>
    {
        var (byDay, byModel, byUser) = (query.By.HasFlag(UsageBy.Day), query.By.HasFlag(UsageBy.Model), query.By.HasFlag(UsageBy.User));
        List<object> values = [byDay, byModel, byUser, Milliseconds(query.From), Milliseconds(query.To) + Day];
        if (query.User is { } user)
            values.Add(user);
        if (query.Model is { } model)
            values.Add(model);
        var sql = query switch
        {
            { User: null, Model: null } => Sums + Groups,
            { User: null } => Sums + OfModelAlone + Groups,
            { Model: null } => Sums + OfUser + Groups,
            _ => Sums + OfUser + OfModel + Groups,
        };
        var sums = await rows.Database.SqlQueryRaw<UsageSum>(sql, [.. values]).ToListAsync(cancellation);
        var ids = sums.Select(sum => sum.Price).Distinct().ToList();
        var prices = await rows.Prices.AsNoTracking().Where(row => ids.Contains(row.Id)).ToDictionaryAsync(row => row.Id, cancellation);

        var lines = sums.Take(MostRead)
            .GroupBy(sum => (sum.Day, sum.Model, sum.User, sum.Name))
            .Select(line => LineOf(line.Key, [.. line], query.By, prices))
            .ToList();
        var isCut = sums.Count > MostRead; // then the last line may be a part of one
        if (isCut)
            lines.RemoveAt(lines.Count - 1);
        return new UsageList([.. lines.Take(UsageQuery.MaxLines)], query.From, query.To, isCut || lines.Count > UsageQuery.MaxLines);
    });

    /// <summary>One request of one user; null for another's too.</summary>
    public Task<RequestEntry?> FindAsync(UserId user, RequestId request, CancellationToken cancellation) => database.QueryAsync(async rows =>
    {
        var (id, owner) = (request.ToString(), user.Value);
        if (await rows.Reservations.AsNoTracking().SingleOrDefaultAsync(row => row.RequestId == id && row.UserId == owner, cancellation) is not { } reservation)
            return null;
        var priceId = reservation.PriceId ?? (reservation.StackId is { } stack
            ? await rows.Stacks.Where(row => row.Id == stack).Select(row => row.PriceId).SingleAsync(cancellation)
            : null);
        var price = priceId is null ? null : await rows.Prices.AsNoTracking().SingleAsync(row => row.Id == priceId, cancellation);
        var settlement = await rows.Settlements.AsNoTracking().SingleOrDefaultAsync(row => row.RequestId == id, cancellation);
        var voucher = settlement is null ? null
            : await rows.Vouchers.Where(row => row.RequestId == id).Select(row => row.Signed).SingleOrDefaultAsync(cancellation);
        var charge = settlement is null ? (Whole: (long?)null, Part: (int?)null)
            : Split(CostOf(price, reservation.StackId is not null, settlement.ChargedPrompt, settlement.ChargedCompletion, settlement.ChargedPixels));
        var hasReport = settlement is not null and not { Kind: "unreported" };
        return new RequestEntry(
            id,
            reservation.Model,
            reservation.NodeId,
            settlement?.Kind ?? (reservation.State == "released" ? "released" : "held"),
            reservation.Held,
            settlement is null && reservation.State == "held" ? reservation.HeldMoney : 0,
            price is null ? null : new ListedPrice(price.Prompt, price.Completion, price.Image),
            hasReport ? new UnitsEntry(settlement!.ReportedPrompt, settlement.ReportedCompletion, settlement.ReportedPixels) : null,
            settlement is null ? null : new UnitsEntry(settlement.ChargedPrompt, settlement.ChargedCompletion, settlement.ChargedPixels),
            charge.Whole,
            charge.Part,
            settlement?.CreatedAt,
            voucher is null ? null : Convert.ToBase64String(voucher));
    });

    private static UsageEntry LineOf(
        (long Day, string Model, long User, string Name) of, IReadOnlyList<UsageSum> sums, UsageBy by, Dictionary<long, PriceRow> prices)
    {
        var millionths = Int128.Zero;
        foreach (var sum in sums)
            millionths += CostOf(prices.GetValueOrDefault(sum.Price), sum.OfStack != 0, sum.Prompt, sum.Completion, sum.Pixels);
        var (whole, part) = Split(millionths);
        return new UsageEntry(
            by.HasFlag(UsageBy.Day) ? DateOnly.FromDateTime(DateTimeOffset.FromUnixTimeMilliseconds(of.Day * Day).UtcDateTime) : null,
            by.HasFlag(UsageBy.Model) ? of.Model : null,
            by.HasFlag(UsageBy.User) ? of.User : null,
            by.HasFlag(UsageBy.User) ? of.Name : null,
            sums.Sum(sum => sum.Requests),
            sums.Sum(sum => sum.Prompt),
            sums.Sum(sum => sum.Completion),
            sums.Sum(sum => sum.Pixels),
            whole!.Value,
            part!.Value);
    }

    // Units of a stack were bought at the dearest part, whatever they turned out to be.
    private static Int128 CostOf(PriceRow? price, bool isOfStack, long prompt, long completion, long pixels)
    {
        if (price is null)
            return 0;
        var dearest = Math.Max(price.Prompt, Math.Max(price.Completion, price.Image));
        return isOfStack ? ((Int128)prompt + completion + pixels) * dearest
            : ((Int128)prompt * price.Prompt) + ((Int128)completion * price.Completion) + ((Int128)pixels * price.Image);
    }

    private static (long? Whole, int? Part) Split(Int128 millionths)
    {
        var (whole, part) = Int128.DivRem(millionths, PerMicroDollar);
        return ((long)Int128.Min(whole, long.MaxValue), (int)part);
    }

    private static long Milliseconds(DateOnly day) => new DateTimeOffset(day, TimeOnly.MinValue, TimeSpan.Zero).ToUnixTimeMilliseconds();

    private sealed record UsageSum(
        long Day, string Model, long User, string Name, long Price, int OfStack, long Requests, long Prompt, long Completion, long Pixels);
}
