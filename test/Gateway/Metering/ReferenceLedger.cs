namespace ConfidentialChat.Gateway.Tests.Metering;

/// <summary>
/// spec/gateway.md section 5 once more, as lists in memory and written from the specification alone: what the ledger is compared with after
/// each step. One stack, one key set. Times are milliseconds, as rows have them.
/// </summary>
internal sealed class ReferenceLedger(long total, int maxOpen, long reportDeadline)
{
    private const long ReturnedLifetime = 30_000;
    private const long Retention = 3_600_000;

    public long Total { get; } = total;

    public long Used { get; private set; }

    public long Reserved { get; private set; }

    public List<Lock> Locks { get; } = [];

    public List<Reservation> Reservations { get; } = [];

    public long Unreported { get; private set; }

    private long Room => Total - Used - Reserved;

    private IEnumerable<Lock> Usable => Locks.Where(one => one.State is "open" or "returned");

    /// <summary>Rule 1 and the bound of rule 9: "held", "full" or "too many".</summary>
    public string LockUnits(long units, long lifetime, long now)
    {
        // A full stack does not wait for the sweep.
        if (Room < units || Usable.Count() >= maxOpen)
            ExpireLocks(now);
        if (Room < units)
            return "full";
        if (Usable.Count() >= maxOpen)
            return "too many";
        Reserved += units;
        Locks.Add(new Lock { Units = units, State = "open", Expires = now + lifetime });
        return "held";
    }

    /// <summary>Rule 2; null where there is no lock, or no room.</summary>
    public Reservation? Claim(long need, long now)
    {
        var oldest = Usable.FirstOrDefault(one => one.Expires > now);
        if (oldest is null)
            return null;
        var held = Math.Max(need, oldest.Units);
        if (held - oldest.Units > Room)
            return null;
        Reserved += held - oldest.Units;
        oldest.State = "claimed";
        var reservation = new Reservation { Lock = oldest, Held = held, State = "held", Deadline = now + reportDeadline };
        Reservations.Add(reservation);
        return reservation;
    }

    /// <summary>Rule 2 without a lock; null where there is no room.</summary>
    public Reservation? Reserve(long units, long now)
    {
        if (Room < units)
            ExpireLocks(now);
        if (Room < units)
            return null;
        Reserved += units;
        var reservation = new Reservation { Lock = null, Held = units, State = "held", Deadline = now + reportDeadline };
        Reservations.Add(reservation);
        return reservation;
    }

    /// <summary>Rule 3.</summary>
    public void Spend(Reservation reservation)
    {
        if (reservation.Lock is { State: "claimed" })
            reservation.Lock.State = "spent";
    }

    /// <summary>Rules 4 and 5.</summary>
    public void Return(Reservation reservation, bool release, long now)
    {
        if (release && reservation.State is "held")
        {
            reservation.State = "released";
            Reserved -= reservation.Held;
        }

        var held = reservation.Lock;
        if (held is not { State: "claimed" })
            return;
        held.Expires = now + ReturnedLifetime;
        held.State = Room >= held.Units ? "returned" : "expired";
        if (held.State is "returned")
            Reserved += held.Units;
    }

    /// <summary>Rule 6, and the end of rule 7.</summary>
    public void Report(Reservation reservation, long units)
    {
        switch (reservation.State)
        {
            case "held":
                var charged = Math.Min(units, reservation.Held);
                Reserved -= reservation.Held;
                Used += charged;
                (reservation.State, reservation.Settled) = ("settled", (units > charged ? "capped" : "reported", charged));
                break;
            case "unreported":
                var late = Math.Min(Math.Min(units, reservation.Held), Room);
                Used += late;
                (reservation.State, reservation.Settled) = ("settled", ("late", late));
                break;
        }
    }

    /// <summary>Rules 7 and 8.</summary>
    public void Sweep(IReadOnlyList<Reservation> running, long now)
    {
        ExpireLocks(now);
        Locks.RemoveAll(one => one.State is "expired" && one.Expires <= now - Retention);
        foreach (var reservation in running.Where(one => one.State is "held"))
            reservation.Deadline = Math.Max(reservation.Deadline, now + reportDeadline);
        foreach (var reservation in Reservations.Where(one => one.State is "held" && one.Deadline <= now))
        {
            reservation.State = "unreported";
            Reserved -= reservation.Held;
            Unreported++;
        }
    }

    private void ExpireLocks(long now)
    {
        foreach (var expired in Usable.Where(one => one.Expires <= now).ToList())
        {
            expired.State = "expired";
            Reserved -= expired.Units;
        }
    }

    internal sealed class Lock
    {
        public required long Units { get; init; }

        public required string State { get; set; }

        public required long Expires { get; set; }
    }

    internal sealed class Reservation
    {
        public required Lock? Lock { get; init; }

        public required long Held { get; init; }

        public required string State { get; set; }

        public required long Deadline { get; set; }

        public (string Kind, long Charged)? Settled { get; set; }
    }
}
