using ConfidentialChat.Node.Serving;

namespace ConfidentialChat.Node.Tests.Serving;

public sealed class SeatingTests
{
    private readonly Seating seating =
        new(new NodeOptions { DataDirectory = "unused", GatewayUrl = new Uri("http://127.0.0.1:1"), MaxConcurrent = 2, MaxQueued = 1, MaxReading = 4 });

    [Fact]
    public async Task Beyond_places_and_room_to_wait_a_request_is_turned_away_at_once()
    {
        var first = await seating.EnterAsync(TestContext.Current.CancellationToken);
        var second = await seating.EnterAsync(TestContext.Current.CancellationToken);
        var waiting = seating.EnterAsync(TestContext.Current.CancellationToken);
        (seating.Running, seating.Queued).ShouldBe((2, 1));

        (await seating.EnterAsync(TestContext.Current.CancellationToken)).ShouldBeNull();
        waiting.IsCompleted.ShouldBeFalse();

        first!.Dispose();
        first.Dispose(); // leaving twice frees one place
        (await waiting).ShouldNotBeNull();
        (seating.Running, seating.Queued).ShouldBe((2, 0));
        second!.Dispose();
        (seating.Running, seating.Queued).ShouldBe((1, 0));
    }

    [Fact]
    public async Task Who_gives_up_waiting_leaves_the_room_free()
    {
        using var first = await seating.EnterAsync(TestContext.Current.CancellationToken);
        using var second = await seating.EnterAsync(TestContext.Current.CancellationToken);
        using var patience = new CancellationTokenSource();
        var waiting = seating.EnterAsync(patience.Token);
        await patience.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(waiting);

        var next = seating.EnterAsync(TestContext.Current.CancellationToken);
        next.IsCompleted.ShouldBeFalse();
        first!.Dispose();
        (await next).ShouldNotBeNull();
    }

    [Fact]
    public async Task A_draining_node_lets_nobody_in_and_finishes_who_waits()
    {
        var seats = Enumerable.Range(0, 3).Select(_ => seating.TryTakeSeat()!).ToList();
        using var first = await seating.EnterAsync(TestContext.Current.CancellationToken);
        var second = await seating.EnterAsync(TestContext.Current.CancellationToken);
        seating.Close();

        seating.TryTakeSeat().ShouldBeNull();
        var waiting = seating.EnterAsync(TestContext.Current.CancellationToken); // it was read before
        second!.Dispose();
        (await waiting).ShouldNotBeNull();
        seating.Empty.IsCompleted.ShouldBeFalse();
        seats.ForEach(seat => seat.Dispose());
        seating.Empty.IsCompleted.ShouldBeTrue();
    }

    [Fact]
    public async Task Seats_for_reading_are_bounded_and_keep_no_place_from_others()
    {
        var seats = Enumerable.Range(0, 3 + 4).Select(_ => seating.TryTakeSeat()!).ToList();
        seating.TryTakeSeat().ShouldBeNull();
        (seating.Running, seating.Queued, seating.Inside).ShouldBe((0, 0, 7));
        seats[0].Dispose();
        seats[0].Dispose(); // leaving twice frees one seat
        using var next = seating.TryTakeSeat();
        next.ShouldNotBeNull();
        seating.TryTakeSeat().ShouldBeNull();
        (await seating.EnterAsync(TestContext.Current.CancellationToken)).ShouldNotBeNull();
    }

    [Fact]
    public async Task Nobody_is_read_who_could_not_be_served()
    {
        for (var i = 0; i < 2; i++)
            (await seating.EnterAsync(TestContext.Current.CancellationToken)).ShouldNotBeNull();
        var waiting = seating.EnterAsync(TestContext.Current.CancellationToken);
        seating.TryTakeSeat().ShouldBeNull();
        waiting.IsCompleted.ShouldBeFalse();
    }
}
