using ConfidentialChat.Node.Serving;

namespace ConfidentialChat.Node.Tests.Serving;

public sealed class AdmissionTests
{
    private readonly Admission admission = new(new NodeOptions { DataDirectory = "unused", GatewayUrl = new Uri("http://127.0.0.1:1"), MaxConcurrent = 2, MaxQueued = 1, MaxReading = 4 });

    [Fact]
    public async Task Beyond_places_and_room_to_wait_a_request_is_turned_away_at_once()
    {
        var first = await admission.EnterAsync(TestContext.Current.CancellationToken);
        var second = await admission.EnterAsync(TestContext.Current.CancellationToken);
        var waiting = admission.EnterAsync(TestContext.Current.CancellationToken);
        (admission.Running, admission.Queued).ShouldBe((2, 1));

        (await admission.EnterAsync(TestContext.Current.CancellationToken)).ShouldBeNull();
        waiting.IsCompleted.ShouldBeFalse();

        first!.Dispose();
        first.Dispose(); // leaving twice frees one place
        (await waiting).ShouldNotBeNull();
        (admission.Running, admission.Queued).ShouldBe((2, 0));
        second!.Dispose();
        (admission.Running, admission.Queued).ShouldBe((1, 0));
    }

    [Fact]
    public async Task Who_gives_up_waiting_leaves_the_room_free()
    {
        using var first = await admission.EnterAsync(TestContext.Current.CancellationToken);
        using var second = await admission.EnterAsync(TestContext.Current.CancellationToken);
        using var patience = new CancellationTokenSource();
        var waiting = admission.EnterAsync(patience.Token);
        await patience.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(waiting);

        var next = admission.EnterAsync(TestContext.Current.CancellationToken);
        next.IsCompleted.ShouldBeFalse();
        first!.Dispose();
        (await next).ShouldNotBeNull();
    }

    [Fact]
    public async Task A_draining_node_lets_nobody_in_and_finishes_who_waits()
    {
        var seats = Enumerable.Range(0, 3).Select(_ => admission.TryTakeSeat()!).ToList();
        using var first = await admission.EnterAsync(TestContext.Current.CancellationToken);
        var second = await admission.EnterAsync(TestContext.Current.CancellationToken);
        admission.Close();

        admission.TryTakeSeat().ShouldBeNull();
        var waiting = admission.EnterAsync(TestContext.Current.CancellationToken); // it was read before
        second!.Dispose();
        (await waiting).ShouldNotBeNull();
        admission.Empty.IsCompleted.ShouldBeFalse();
        seats.ForEach(seat => seat.Dispose());
        admission.Empty.IsCompleted.ShouldBeTrue();
    }

    [Fact]
    public async Task Seats_for_reading_are_bounded_and_keep_no_place_from_others()
    {
        var seats = Enumerable.Range(0, 3 + 4).Select(_ => admission.TryTakeSeat()!).ToList();
        admission.TryTakeSeat().ShouldBeNull();
        (admission.Running, admission.Queued, admission.Inside).ShouldBe((0, 0, 7));
        seats[0].Dispose();
        seats[0].Dispose(); // leaving twice frees one seat
        using var next = admission.TryTakeSeat();
        next.ShouldNotBeNull();
        admission.TryTakeSeat().ShouldBeNull();
        (await admission.EnterAsync(TestContext.Current.CancellationToken)).ShouldNotBeNull();
    }

    [Fact]
    public async Task Nobody_is_read_who_could_not_be_served()
    {
        for (var i = 0; i < 2; i++)
            (await admission.EnterAsync(TestContext.Current.CancellationToken)).ShouldNotBeNull();
        var waiting = admission.EnterAsync(TestContext.Current.CancellationToken);
        admission.TryTakeSeat().ShouldBeNull();
        waiting.IsCompleted.ShouldBeFalse();
    }
}
