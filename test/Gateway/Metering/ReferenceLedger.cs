namespace ConfidentialChat.Gateway.Tests.Metering;

/// <summary>
/// spec/gateway.md sections 5 and 10 once more, as lists in memory and written from the specification alone: what the ledger is compared with
/// after each step. One user, one node, one model, one key set. Times are milliseconds, as rows have them.
/// </summary>
internal sealed class ReferenceLedger(long total, int maxOpen, long reportDeadline)
{
    private const long ReturnedLifetime = 30_000;
    private const long Retention = 3_600_000;
    private const long MostMoney = 9_007_199_254_740_991;

    private long moved; // deposits and all else that is whole
    private Int128 cost; // of all that was settled from the balance, exactly, in millionths

    public long Total { get; } = total;

    /// <summary>What is set now; null: free.</summary>
    public Prices? Price { get; set; }

    public bool IsNodeRemoved { get; set; }

    public long Balance => moved - (long)(cost / 1_000_000);

    public long Carry => (long)(cost % 1_000_000);

    public long Held { get; private set; }

    public List<Stack> Stacks { get; } = [];

    public List<Lock> Locks { get; } = [];

    public List<Reservation> Reservations { get; } = [];

    /// <summary>The ledger.</summary>
    public List<(string Kind, long Amount)> Entries { get; } = [];

    public long Unreported { get; private set; }

    private IEnumerable<Lock> Usable(Stack stack) => Locks.Where(one => one.Stack == stack && one.State is "open" or "returned");

    /// <summary>Section 10: whether so much was added, or taken.</summary>
    public bool Move(string kind, long amount)
    {
        if (amount > MostMoney - Balance || Balance + amount < Held)
            return false;
        moved += amount;
        Entries.Add((kind, amount));
        return true;
    }

    /// <summary>Rule 1 and the bound of rule 9: "held", "full", "poor" or "too many".</summary>
    public string LockUnits(long units, long lifetime, long now, out Stack stack)
    {
        var found = Stacks.Find(one => one.Price == Price);
        if (found is null)
            Stacks.Add(found = new Stack { Price = Price, Total = Price is null ? Total : 0 });
        stack = found;
        foreach (var outpriced in Stacks.Where(one => one.Price is not null && one != found))
            Refund(outpriced);

        // A full stack does not wait for the sweep.
        if (stack.Room < units || Usable(stack).Count() >= maxOpen)
            ExpireLocks(now);
        if (stack.Room >= units && Usable(stack).Count() >= maxOpen)
            return "too many";
        if (stack.Room < units)
        {
            if (stack.Price is not { } price)
                return "full";
            if (price.Most(units - stack.Room) > Balance - Held)
                return "poor";
            if (Usable(stack).Count() >= maxOpen)
                return "too many";
            Buy(stack, units - stack.Room);
        }

        stack.Reserved += units;
        Locks.Add(new Lock { Stack = stack, Units = units, State = "open", Expires = now + lifetime });
        return "held";
    }

    /// <summary>Rule 2; null where there is no lock, no room and no money for it.</summary>
    public Reservation? Claim(Stack stack, long need, long now)
    {
        var oldest = Usable(stack).FirstOrDefault(one => one.Expires > now);
        if (oldest is null)
            return null;
        var held = Math.Max(need, oldest.Units);
        var missing = held - oldest.Units - stack.Room;
        if (missing > 0)
        {
            if (stack.Price is not { } price || price.Most(missing) > Balance - Held)
                return null;
            Buy(stack, missing);
        }

        stack.Reserved += held - oldest.Units;
        oldest.State = "claimed";
        return Add(new Reservation { Lock = oldest, Stack = stack, Held = held, State = "held", Deadline = now + reportDeadline });
    }

    /// <summary>Rule 2 without a lock; null where there is too little.</summary>
    public Reservation? Reserve(long units, long now)
    {
        var hold = Price?.Most(units) ?? 0;
        if (hold > Balance - Held)
            return null;
        Held += (long)hold;
        return Add(new Reservation { Price = Price, Held = units, Money = (long)hold, State = "held", Deadline = now + reportDeadline });
    }

    /// <summary>Rule 3.</summary>
    public void Spend(Reservation reservation)
    {
        if (reservation.Lock is { State: "claimed" })
            reservation.Lock.State = "spent";
    }

    /// <summary>Rule 3: whoever claimed them is dead.</summary>
    public void Crash()
    {
        foreach (var claimed in Locks.Where(one => one.State is "claimed"))
            claimed.State = "spent";
    }

    /// <summary>Rules 4 and 5.</summary>
    public void Return(Reservation reservation, bool release, long now)
    {
        if (release && reservation.State is "held")
        {
            reservation.State = "released";
            Release(reservation);
        }

        var held = reservation.Lock;
        if (held is not { State: "claimed" })
            return;
        held.Expires = now + ReturnedLifetime;
        held.State = held.Stack.Room >= held.Units ? "returned" : "expired";
        if (held.State is "returned")
            held.Stack.Reserved += held.Units;
    }

    /// <summary>Rule 6, and the end of rule 7.</summary>
    public void Report(Reservation reservation, long prompt, long completion, long pixels)
    {
        var charged = Cap(reservation.Held, prompt, completion, pixels);
        switch (reservation.State)
        {
            case "held":
                Release(reservation);
                if (reservation.Stack is { } stack)
                    stack.Used += charged.Sum();
                else
                    Pay("settlement", reservation.Price, charged);
                (reservation.State, reservation.Settled) = ("settled", (charged.Sum() < prompt + completion + pixels ? "capped" : "reported", charged));
                break;
            case "unreported":
                if (reservation.Stack is { } late)
                {
                    charged = Cap(late.Room, [.. charged]);
                    late.Used += charged.Sum();
                }
                else if (reservation.Price is { } price)
                {
                    // Of each unit in its turn as many as leave the balance at what is held, or above.
                    for (var part = 0; part < 3; part++)
                    {
                        var before = price.Cost([.. charged.Take(part), 0, 0, 0]);
                        if (price.Of(part) > 0)
                            charged[part] = (long)Int128.Min(charged[part], ((((Int128)(moved - Held) + 1) * 1_000_000) - 1 - cost - before) / price.Of(part));
                    }

                    Pay("correction", price, charged);
                }

                (reservation.State, reservation.Settled) = ("settled", ("late", charged));
                break;
        }
    }

    /// <summary>Rules 7 and 8.</summary>
    public void Sweep(IReadOnlyList<Reservation> running, long now)
    {
        foreach (var open in Locks.Where(one => one.State is "open" or "returned"))
            open.Expires = Math.Min(open.Expires, now + 60_000);
        foreach (var held in Reservations.Where(one => one.State is "held"))
            held.Deadline = Math.Min(held.Deadline, now + reportDeadline);
        ExpireLocks(now);
        Locks.RemoveAll(one => one.State is "expired" && one.Expires <= now - Retention);
        foreach (var reservation in running.Where(one => one.State is "held"))
            reservation.Deadline = Math.Max(reservation.Deadline, now + reportDeadline);
        foreach (var reservation in Reservations.Where(one => one.State is "held" && one.Deadline <= now))
        {
            (reservation.State, reservation.Settled) = ("unreported", ("unreported", [0, 0, 0]));
            Release(reservation);
            Unreported++;
        }

        if (IsNodeRemoved)
            Stacks.Where(one => one.Price is not null).ToList().ForEach(Refund);
    }

    private static long[] Cap(long most, params long[] parts)
    {
        var left = most;
        return [.. parts.Select(Take)];

        long Take(long part)
        {
            var taken = Math.Min(part, left);
            left -= taken;
            return taken;
        }
    }

    private Reservation Add(Reservation reservation)
    {
        Reservations.Add(reservation);
        return reservation;
    }

    private void Release(Reservation reservation)
    {
        Held -= reservation.Money;
        if (reservation.Stack is { } stack)
            stack.Reserved -= reservation.Held;
    }

    private void Pay(string kind, Prices? price, long[] parts)
    {
        var before = Balance;
        var exact = price?.Cost(parts) ?? 0;
        cost += exact;
        if (exact > 0)
            Entries.Add((kind, Balance - before));
    }

    private void Buy(Stack stack, long units)
    {
        Move("purchase", -(long)stack.Price!.Value.Most(units)).ShouldBeTrue();
        stack.Total += units;
    }

    private void Refund(Stack stack)
    {
        if (stack.Room == 0)
            return;
        Move("refund", (long)((Int128)stack.Room * stack.Price!.Value.Dearest / 1_000_000)).ShouldBeTrue();
        stack.Total -= stack.Room;
    }

    private void ExpireLocks(long now)
    {
        foreach (var expired in Locks.Where(one => one.State is "open" or "returned" && one.Expires <= now).ToList())
        {
            expired.State = "expired";
            expired.Stack.Reserved -= expired.Units;
        }
    }

    internal readonly record struct Prices(int Id, long Prompt, long Completion, long Image)
    {
        public long Dearest => Math.Max(Prompt, Math.Max(Completion, Image));

        public long Of(int part) => part == 0 ? Prompt : part == 1 ? Completion : Image;

        public Int128 Cost(long[] parts) => ((Int128)parts[0] * Prompt) + ((Int128)parts[1] * Completion) + ((Int128)parts[2] * Image);

        /// <summary>Rounded up.</summary>
        public Int128 Most(long units) => (((Int128)units * Dearest) + 999_999) / 1_000_000;
    }

    internal sealed class Stack
    {
        public required Prices? Price { get; init; }

        public required long Total { get; set; }

        public long Used { get; set; }

        public long Reserved { get; set; }

        public long Room => Total - Used - Reserved;
    }

    internal sealed class Lock
    {
        public required Stack Stack { get; init; }

        public required long Units { get; init; }

        public required string State { get; set; }

        public required long Expires { get; set; }
    }

    internal sealed class Reservation
    {
        public Lock? Lock { get; init; }

        public Stack? Stack { get; init; }

        public Prices? Price { get; init; }

        public required long Held { get; init; }

        public long Money { get; init; }

        public required string State { get; set; }

        public required long Deadline { get; set; }

        public (string Kind, long[] Charged)? Settled { get; set; }
    }
}
