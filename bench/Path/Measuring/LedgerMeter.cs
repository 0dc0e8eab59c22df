using System.Diagnostics;
using ConfidentialChat.Bench.WholePath.Processes;
using ConfidentialChat.Gateway;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Logging.Abstractions;

namespace ConfidentialChat.Bench.WholePath.Measuring;

/// <summary>What one database takes: requests that are reserved at a price and settled, without HTTP.</summary>
internal static class LedgerMeter
{
    private const int Users = 16;

    public static async Task<LedgerResults> MeasureAsync(string name, string directory, string? postgres, RunOptions options)
    {
        using var database = await Database.OpenAsync(DataDirectory.Open(directory, PostgresServer.From(postgres)), isOccupied: true, null, default);
        await using (var context = database.CreateContext())
        {
            for (var user = 1; user <= Users; user++)
                context.Users.Add(new UserRow { Id = user, Name = $"user{user}", CreatedAt = DateTimeOffset.UnixEpoch });
            context.Nodes.Add(new NodeRow { Id = 1, IdentityKey = "A", Address = "http://127.0.0.1" });
            await context.SaveChangesAsync();
        }

        var state = database.CreateWriter(new WriteHealth(TimeProvider.System, NullLogger<WriteHealth>.Instance));
        using var ends = (IDisposable)state;
        var (ledger, accounts) = (new Ledger(state, TimeProvider.System), new Accounts(state, TimeProvider.System));
        if (!UnitPrices.TryCreate(150_000, 600_000, 0, out var units) || !await accounts.SetPriceAsync(new NodeId(1), "tiny", units, "operator"))
            throw new MeasurementException("the price is not taken");
        for (var user = 1; user <= Users; user++)
            await accounts.DepositAsync(new UserId(user), new MicroDollars(1_000_000_000_000), "operator");
        var price = (await state.RunAsync(rows => rows.Ledger.CurrentPriceAsync(new NodeId(1), "tiny")))!;

        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < options.WarmUp / 4)
            await SettleAsync(await ReserveAsync(1));
        var (reserve, settle) = (new List<double>(), new List<double>());
        for (var i = 0; i < options.SequentialCalls; i++)
        {
            clock.Restart();
            var reservation = await ReserveAsync(i);
            reserve.Add(clock.Elapsed.TotalMilliseconds);
            clock.Restart();
            await SettleAsync(reservation);
            settle.Add(clock.Elapsed.TotalMilliseconds);
        }

        var (done, length) = (0, options.WarmUp / 2);
        clock.Restart();
        await Task.WhenAll(Enumerable.Range(0, RunOptions.Connections).Select(worker => Task.Run(async () =>
        {
            while (clock.Elapsed < length)
            {
                await SettleAsync(await ReserveAsync(worker));
                Interlocked.Increment(ref done);
            }
        })));
        return new LedgerResults(name, Statistics.Median(reserve), Statistics.Median(settle), done / clock.Elapsed.TotalSeconds);

        async Task<Reservation> ReserveAsync(int turn) => (await ledger.ReserveAsync(new ReserveTerms
        {
            User = new UserId((turn % Users) + 1),
            Node = new NodeId(1),
            Model = "tiny",
            Units = new ComputeUnits(500),
            Request = RequestId.New(),
            Price = price,
            Deadline = TimeSpan.FromMinutes(10),
            IsAttested = false,
        })).Reservation ?? throw new MeasurementException("a reservation was refused");

        async Task SettleAsync(Reservation reservation)
        {
            var report = new ReportedUsage(new UsageReport(reservation.Request.Value, "tiny", 300, 100, 0), Signed: null);
            if ((await ledger.SettleAsync(new NodeId(1), [report])) is not [Settlement.Settled])
                throw new MeasurementException("a report was not settled");
        }
    }
}
