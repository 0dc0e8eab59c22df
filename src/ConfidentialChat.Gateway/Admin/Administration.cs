// spec/gateway.md sections 10 and 11: what who may does with users, keys, money and prices. One for the command line and the API.
using System.Data.Common;
using System.Runtime.ExceptionServices;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;

namespace ConfidentialChat.Gateway.Admin;

/// <summary>
/// A gateway's users, API keys, balances and prices, beside the gateway or in it. Every act is whole or not there, and in the audit log, in one
/// transaction. Safe from any thread. Members throw <see cref="GatewayStateException"/> where the database cannot be used.
/// </summary>
public sealed class Administration
{
    /// <summary>Who has the database at hand.</summary>
    public const string Operator = "operator";

    /// <summary>UTF-16 units of a reference or a note.</summary>
    public const int MaxTextLength = Accounts.MaxTextLength;

    private readonly Database database;
    private readonly IStateWriter? state;
    private readonly TimeProvider time;

    /// <param name="database">Is read, and takes what is no money.</param>
    /// <param name="state">The serving gateway's; null: each movement of money opens its own way and closes it.</param>
    /// <param name="time">The clock.</param>
    internal Administration(Database database, IStateWriter? state, TimeProvider time)
    {
        this.database = database;
        this.state = state;
        this.time = time;
        Usage = new UsageReader(database);
    }

    internal UsageReader Usage { get; }

    /// <summary>Whether a text can be a user's name: it is seen as what it is.</summary>
    public static bool IsName(string? name) => !string.IsNullOrWhiteSpace(name) && IsText(name);

    /// <summary>Whether a text can be a reference or a note.</summary>
    public static bool IsText(string? text) => text is { Length: > 0 and <= MaxTextLength } && ForeignText.IsPlain(text);

    /// <summary>Users by their numbers.</summary>
    /// <param name="name">The one of this name; null for all.</param>
    /// <param name="page">Which of them.</param>
    /// <param name="cancellation">Gives up.</param>
    public Task<Listed<UserEntry>> ListUsersAsync(string? name, Page page, CancellationToken cancellation = default) => database.QueryAsync(async rows =>
    {
        var after = page.After ?? 0;
        var users = await rows.Users.AsNoTracking().Where(row => row.Id > after && (name == null || row.Name == name)).OrderBy(row => row.Id)
            .Select(row => new UserEntry(row.Id, row.Name, row.CreatedAt, row.Balance, row.Held)).Take(page.Limit + 1).ToListAsync(cancellation);
        return Cut(users, page, user => user.Id);
    });

    /// <summary>Null where there is none.</summary>
    public Task<UserEntry?> FindUserAsync(long id, CancellationToken cancellation = default) => database.QueryAsync(async rows =>
        await rows.Users.AsNoTracking().Where(row => row.Id == id)
            .Select(row => new UserEntry(row.Id, row.Name, row.CreatedAt, row.Balance, row.Held)).SingleOrDefaultAsync(cancellation));

    /// <summary>Null where there is none.</summary>
    public async Task<UserEntry?> FindUserAsync(string name, CancellationToken cancellation = default) =>
        (await ListUsersAsync(name, new Page(Limit: 1), cancellation)).Data.SingleOrDefault();

    /// <summary>Makes a user, without a key.</summary>
    /// <returns>Null where the name is taken.</returns>
    /// <exception cref="ArgumentException">It is no name.</exception>
    public async Task<UserEntry?> CreateUserAsync(string name, string by, CancellationToken cancellation = default)
    {
        if (!IsName(name))
            throw new ArgumentException($"A user's name has 1 to {MaxTextLength} characters, all of which are seen.", nameof(name));
        if (await FindUserAsync(name, cancellation) is not null)
            return null;
        return await ChangeAsync(
            async rows =>
            {
                var now = time.GetUtcNow();
                var at = now.ToUnixTimeMilliseconds();
                var made = await rows.Database.ExecuteSqlAsync(
                    $"INSERT INTO users (name, created_at) VALUES ({name}, {at}) ON CONFLICT (name) DO NOTHING", cancellation);
                if (made == 0)
                    return null; // another one a moment ago
                var user = await rows.Users.AsNoTracking().Where(row => row.Name == name)
                    .Select(row => new UserEntry(row.Id, row.Name, row.CreatedAt, row.Balance, row.Held)).SingleAsync(cancellation);
                Note(rows, by, AuditActs.CreateUser, $"user {user.Id}", name, now);
                return user;
            },
            cancellation);
    }

    /// <summary>API keys by age, revoked ones too.</summary>
    /// <param name="user">The one whose they are; null for all.</param>
    /// <param name="page">Which of them.</param>
    /// <param name="cancellation">Gives up.</param>
    public Task<Listed<ApiKeyEntry>> ListKeysAsync(long? user, Page page, CancellationToken cancellation = default) => database.QueryAsync(async rows =>
    {
        var after = page.After ?? 0;
        var keys = await rows.ApiKeys.AsNoTracking().Include(row => row.User).Where(row => row.Id > after && (user == null || row.UserId == user))
            .OrderBy(row => row.Id).Take(page.Limit + 1).ToListAsync(cancellation);
        var cut = Cut(keys, page, key => key.Id);
        return new Listed<ApiKeyEntry>([.. cut.Data.Select(EntryOf)], cut.Next);
    });

    /// <summary>Makes an API key.</summary>
    /// <param name="user">Whose it is.</param>
    /// <param name="scopes">What it opens: something.</param>
    /// <param name="expiresAt">From when on it does not; null: it does until it is revoked.</param>
    /// <param name="by">Who makes it.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The key, to be shown once: only its hash is kept. Null where there is no such user.</returns>
    /// <exception cref="ArgumentException">There is no scope, or its end is past.</exception>
    public async Task<NewSecret?> CreateKeyAsync(
        long user, ApiKeyScopes scopes, DateTimeOffset? expiresAt, string by, CancellationToken cancellation = default)
    {
        if (scopes is not (ApiKeyScopes.Inference or ApiKeyScopes.Admin or (ApiKeyScopes.Inference | ApiKeyScopes.Admin)))
            throw new ArgumentException("A key opens something: inference, admin or both.", nameof(scopes));
        var now = time.GetUtcNow();
        if (expiresAt <= now)
            throw new ArgumentException("A key ends after now.", nameof(expiresAt));
        if (await FindUserAsync(user, cancellation) is null)
            return null;
        var secret = BearerSecret.Create(SecretKind.ApiKey, out var text);
        return await ChangeAsync(
            rows =>
            {
                rows.ApiKeys.Add(new ApiKeyRow
                {
                    UserId = user,
                    Prefix = secret.Prefix,
                    Hash = secret.Hash,
                    CreatedAt = now,
                    Scopes = ApiKeyScopeText.Write(scopes),
                    ExpiresAt = expiresAt,
                });
                Note(rows, by, AuditActs.CreateKey, $"key cc_{secret.Prefix} of user {user}", AuditActs.Detail(scopes, expiresAt), now);
                return Task.FromResult<NewSecret?>(new NewSecret(text, secret.Prefix, expiresAt));
            },
            cancellation);
    }

    /// <summary>Revokes an API key by its public part; a gateway refuses it within a second.</summary>
    /// <returns>False where there is none that opens.</returns>
    public async Task<bool> RevokeKeyAsync(string prefix, string by, CancellationToken cancellation = default)
    {
        var now = time.GetUtcNow();
        var known = await database.QueryAsync(rows => rows.ApiKeys.AnyAsync(row => row.Prefix == prefix && row.RevokedAt == null, cancellation));
        return known && await ChangeAsync(
            async rows =>
            {
                var at = now.ToUnixTimeMilliseconds();
                if (await rows.Database.ExecuteSqlAsync(
                        $"UPDATE api_keys SET revoked_at = {at} WHERE prefix = {prefix} AND revoked_at IS NULL", cancellation) == 0)
                    return false;
                Note(rows, by, AuditActs.RevokeKey, $"key cc_{prefix}", null, now);
                return true;
            },
            cancellation);
    }

    /// <summary>Adds what was paid, on the disk before it returns.</summary>
    /// <param name="user">Who has it from now on.</param>
    /// <param name="amount">More than nothing.</param>
    /// <param name="by">Who does it.</param>
    /// <param name="reference">The payer's, by which a second one is known.</param>
    /// <param name="note">For the audit log.</param>
    /// <exception cref="ArgumentException">The amount is nothing, or a text is none that is kept.</exception>
    public Task<MovementResult> DepositAsync(long user, MicroDollars amount, string by, string? reference = null, string? note = null) => MoveAsync(
        user, LedgerKind.Deposit, amount.Value, reference,
        accounts => accounts.DepositAsync(new UserId(user), amount, by, reference, note));

    /// <summary>Moves a balance by hand, on the disk before it returns: up, or down by no more than is not held.</summary>
    /// <inheritdoc cref="DepositAsync"/>
    public Task<MovementResult> CorrectAsync(
        long user, MicroDollars amount, bool isAdded, string by, string? reference = null, string? note = null) => MoveAsync(
        user, LedgerKind.Correction, isAdded ? amount.Value : -amount.Value, reference,
        accounts => accounts.CorrectAsync(new UserId(user), amount, isAdded, by, note, reference));

    /// <summary>A user's ledger, the newest first.</summary>
    public Task<Listed<MoneyEntry>> ListLedgerAsync(long user, Page page, CancellationToken cancellation = default) => database.QueryAsync(async rows =>
    {
        var before = page.After ?? long.MaxValue;
        var entries = await rows.Ledger.AsNoTracking().Where(row => row.UserId == user && row.Id < before).OrderByDescending(row => row.Id)
            .Select(row => new MoneyEntry(
                row.Id, row.CreatedAt, row.Kind, row.Amount, row.RequestId, row.StackId, row.Units, row.MadeBy, row.Reference))
            .Take(page.Limit + 1).ToListAsync(cancellation);
        return Cut(entries, page, entry => entry.Id);
    });

    /// <summary>The current prices, by their age.</summary>
    /// <param name="node">The one node; null for all.</param>
    /// <param name="model">The one model; null for all.</param>
    /// <param name="page">Which of them.</param>
    /// <param name="cancellation">Gives up.</param>
    public Task<Listed<PriceEntry>> ListPricesAsync(long? node, string? model, Page page, CancellationToken cancellation = default) =>
        database.QueryAsync(async rows =>
        {
            var after = page.After ?? 0;
            var prices = await rows.Prices.AsNoTracking()
                .Where(row => row.Id > after && row.EndedAt == null && (node == null || row.NodeId == node) && (model == null || row.Model == model))
                .OrderBy(row => row.Id).Take(page.Limit + 1).ToListAsync(cancellation);
            var cut = Cut(prices, page, price => price.Id);
            return new Listed<PriceEntry>(
                [
                    .. cut.Data.Select(row =>
                        new PriceEntry(row.NodeId, row.Model, row.Prompt, row.Completion, row.Image, row.ValidFrom, row.SetBy)),
                ],
                cut.Next);
        });

    /// <summary>Makes a price the current one; null: the model is free on the node from now on.</summary>
    /// <returns>False where there is no such node, or no price to be removed.</returns>
    /// <exception cref="ArgumentException">It is no model's name.</exception>
    public async Task<bool> SetPriceAsync(long node, string model, UnitPrices? prices, string by, CancellationToken cancellation = default)
    {
        if (!ModelNames.CanBeServed(model))
            throw new ArgumentException($"A model's name has 1 to {ModelNames.MaxLength} characters, all of which are seen.", nameof(model));
        if (prices is null && (await ListPricesAsync(node, model, new Page(Limit: 1), cancellation)).Data.Count == 0)
            return false;
        return await ActAsync(accounts => accounts.SetPriceAsync(new NodeId(node), model, prices, by));
    }

    /// <summary>What was charged.</summary>
    public Task<UsageList> SumUsageAsync(UsageQuery query, CancellationToken cancellation = default) => Usage.SumAsync(query, cancellation);

    /// <summary>The audit log, the newest first.</summary>
    public Task<Listed<AuditLine>> ListAuditAsync(Page page, CancellationToken cancellation = default) => database.QueryAsync(async rows =>
    {
        var before = page.After ?? long.MaxValue;
        var lines = await rows.Audit.AsNoTracking().Where(row => row.Id < before).OrderByDescending(row => row.Id)
            .Select(row => new AuditLine(row.Id, row.CreatedAt, row.Actor, row.Act, row.Subject, row.Detail)).Take(page.Limit + 1).ToListAsync(cancellation);
        return Cut(lines, page, line => line.Id);
    });

    private static ApiKeyEntry EntryOf(ApiKeyRow row) => new(row.Prefix, row.User!.Name, row.CreatedAt, row.RevokedAt)
    {
        Scopes = ApiKeyScopeText.Read(row.Scopes),
        ExpiresAt = row.ExpiresAt,
        LastUsedAt = row.LastUsedAt,
    };

    // One more was asked for than the page takes: whether there is a next one.
    private static Listed<T> Cut<T>(List<T> rows, Page page, Func<T, long> number) =>
        rows.Count <= page.Limit ? new(rows, null) : new(rows[..page.Limit], number(rows[page.Limit - 1]));

    private static void Note(GatewayDbContext rows, string by, string act, string subject, string? detail, DateTimeOffset now) =>
        rows.Audit.Add(new AuditRow { CreatedAt = now, Actor = by, Act = act, Subject = subject, Detail = detail });

    private async Task<MovementResult> MoveAsync(long user, LedgerKind kind, long amount, string? reference, Func<Accounts, Task<Movement>> move)
    {
        var movement = await ActAsync(move);
        var funds = new FundsEntry(movement.Funds.Balance.Value, movement.Funds.Held.Value);
        return movement.Outcome switch
        {
            MovementOutcome.Done => new(ActOutcome.Done, funds),
            MovementOutcome.UnknownUser => new(ActOutcome.NotFound, null),
            MovementOutcome.OutOfBounds => new(amount > 0 ? ActOutcome.TooMuch : ActOutcome.TooLittle, funds),
            _ => new(await IsSameAsync() ? ActOutcome.Repeated : ActOutcome.ReferenceTaken, funds),
        };

        // A row of the ledger is never changed: what is found here is what was in the way.
        Task<bool> IsSameAsync()
        {
            var name = kind is LedgerKind.Deposit ? "deposit" : "correction";
            return database.QueryAsync(rows =>
                rows.Ledger.AnyAsync(row => row.UserId == user && row.Reference == reference && row.Kind == name && row.Amount == amount));
        }
    }

    private async Task<T> ActAsync<T>(Func<Accounts, Task<T>> act)
    {
        if (state is not null)
            return await act(new Accounts(state, time));
        // Nobody reads a log here: what fails is thrown, and what fails already when the way is opened is told as the rest.
        var own = await database.QueryAsync(_ => Task.FromResult(database.CreateWriter(new WriteHealth(time, NullLogger<WriteHealth>.Instance))));
        try
        {
            return await act(new Accounts(own, time));
        }
        finally
        {
            (own as IDisposable)?.Dispose();
        }
    }

    // What a change says it did, or nothing where it gives null or false. Not the first thing that a context does: making its model takes long, and
    // others wait for the lock meanwhile.
    private Task<T> ChangeAsync<T>(Func<GatewayDbContext, Task<T>> change, CancellationToken cancellation) => database.QueryAsync(async rows =>
    {
        try
        {
            await using var transaction = await rows.Database.BeginTransactionAsync(cancellation);
            var result = await change(rows);
            if (result is null or false)
                return result;
            await rows.SaveChangesAsync(cancellation);
            await transaction.CommitAsync(cancellation);
            return result;
        }
        catch (DbUpdateException e) when (e.InnerException is DbException inner)
        {
            ExceptionDispatchInfo.Throw(inner); // as statements by hand throw it, for whoever tells what it is
            throw;
        }
    });
}
