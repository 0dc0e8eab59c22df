// spec/gateway.md section 10 rules 1 and 8: what an operator, or who has a key for it, does with money. Each act is in the audit log.
using System.Globalization;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>Deposits, corrections by hand and prices. Safe from any thread.</summary>
internal sealed class Accounts(IStateWriter state, TimeProvider time)
{
    /// <summary>UTF-16 units of a payer's reference, a note or an actor's name.</summary>
    public const int MaxTextLength = 200;

    /// <summary>Adds what was paid, on the disk before it returns.</summary>
    /// <param name="user">Who has it from now on.</param>
    /// <param name="amount">More than nothing.</param>
    /// <param name="by">Who does it; spec/gateway.md section 10 rule 8.</param>
    /// <param name="reference">The payer's; a second movement of it changes nothing. Null: every one counts.</param>
    /// <param name="note">For the audit log.</param>
    public Task<Movement> DepositAsync(UserId user, MicroDollars amount, string by, string? reference = null, string? note = null)
    {
        RequireAmount(amount);
        RequireText(by, reference);
        RequireText(by, note);
        return state.RunAsync(
            async rows =>
            {
                var (ledger, now) = (rows.Ledger, time.GetUtcNow());
                if (await ledger.FundsAsync(user) is not { } before)
                    return new Movement(MovementOutcome.UnknownUser, default);
                if (await ledger.TryCreditAsync(user, amount) is not { } carry)
                    return new Movement(MovementOutcome.OutOfBounds, before);
                var entry = new LedgerEntry(user, LedgerKind.Deposit, amount.Value, carry) { MadeBy = by, Reference = reference };
                if (!await ledger.TryInsertEntryAsync(entry, now))
                {
                    await ledger.TryDebitAsync(user, amount);
                    return new Movement(MovementOutcome.Repeated, before);
                }

                await ledger.InsertAuditAsync(new AuditEntry(by, "deposit", $"user {user}", Detail(amount.Value, reference, note)), now);
                return await DoneAsync(ledger, user);
            },
            Commit.Durably);
    }

    /// <summary>Moves a balance by hand, on the disk before it returns: up, or down by no more than is not held.</summary>
    /// <inheritdoc cref="DepositAsync"/>
    public Task<Movement> CorrectAsync(
        UserId user, MicroDollars amount, bool isAdded, string by, string? note = null, string? reference = null)
    {
        RequireAmount(amount);
        RequireText(by, note);
        RequireText(by, reference);
        return state.RunAsync(
            async rows =>
            {
                var (ledger, now) = (rows.Ledger, time.GetUtcNow());
                if (await ledger.FundsAsync(user) is not { } before)
                    return new Movement(MovementOutcome.UnknownUser, default);
                if (await (isAdded ? ledger.TryCreditAsync(user, amount) : ledger.TryDebitAsync(user, amount)) is not { } carry)
                    return new Movement(MovementOutcome.OutOfBounds, before);
                var signed = isAdded ? amount.Value : -amount.Value;
                var entry = new LedgerEntry(user, LedgerKind.Correction, signed, carry) { MadeBy = by, Reference = reference };
                if (!await ledger.TryInsertEntryAsync(entry, now))
                {
                    // Back: of the reference there is a movement. What was taken was not held, and what was added nobody can hold yet.
                    await (isAdded ? ledger.TryDebitAsync(user, amount) : ledger.TryCreditAsync(user, amount));
                    return new Movement(MovementOutcome.Repeated, before);
                }

                await ledger.InsertAuditAsync(new AuditEntry(by, "correction", $"user {user}", Detail(signed, reference, note)), now);
                return await DoneAsync(ledger, user);
            },
            Commit.Durably);
    }

    /// <summary>
    /// Makes a price the current one; null: the model is free there from now on. The gateway that does it looks at its nodes anew
    /// (<see cref="Nodes.KnownNodes.ReloadAsync"/>); others notice within a second.
    /// </summary>
    /// <returns>False where there is no such node; true also where it was the current one already, and nothing was changed.</returns>
    public Task<bool> SetPriceAsync(NodeId node, string model, UnitPrices? prices, string by)
    {
        if (!ModelNames.CanBeServed(model))
            throw new ArgumentException($"A model's name has 1 to {ModelNames.MaxLength} characters, and none that are not seen.", nameof(model));
        RequireText(by, null);
        return state.RunAsync(
            async rows =>
            {
                var (ledger, now) = (rows.Ledger, time.GetUtcNow());
                if ((await ledger.CurrentPriceAsync(node, model))?.Units == prices && prices is not null)
                    return true;
                var hadOne = await ledger.TryEndPriceAsync(node, model, now);
                if (prices is { } set && await ledger.TryInsertPriceAsync(node, model, set, by, now) is null)
                    return false;
                if (prices is null && !hadOne)
                    return await ledger.HasNodeAsync(node);
                var act = prices is null ? "price.end" : "price.set";
                await ledger.InsertAuditAsync(new AuditEntry(by, act, $"node {node} {model}", prices?.ToString()), now);
                return true;
            },
            Commit.Durably);
    }

    private static async ValueTask<Movement> DoneAsync(ILedgerRows ledger, UserId user) =>
        new(MovementOutcome.Done, (await ledger.FundsAsync(user)).GetValueOrDefault());

    private static string Detail(long amount, string? reference, string? note) =>
        string.Join(' ', new[] { amount.ToString(CultureInfo.InvariantCulture), reference, note }.Where(text => text is not null));

    private static void RequireAmount(MicroDollars amount) => ArgumentOutOfRangeException.ThrowIfLessThan(amount, new MicroDollars(1), nameof(amount));

    private static void RequireText(string by, string? text)
    {
        ArgumentException.ThrowIfNullOrEmpty(by);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(by.Length, MaxTextLength, nameof(by));
        if (text is not null && (text.Length is 0 or > MaxTextLength || !ForeignText.IsPlain(text)))
            throw new ArgumentException($"A reference or a note has 1 to {MaxTextLength} characters, and none that are not seen.", nameof(text));
    }
}

/// <summary>What became of a deposit or a correction.</summary>
/// <param name="Outcome">Whether it was made.</param>
/// <param name="Funds">What the user has.</param>
internal readonly record struct Movement(MovementOutcome Outcome, Funds Funds);

internal enum MovementOutcome
{
    Done,

    /// <summary>Of this reference there is one.</summary>
    Repeated,

    UnknownUser,

    /// <summary>The balance would be above what is an amount, or below what is held.</summary>
    OutOfBounds,
}
