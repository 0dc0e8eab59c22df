using ConfidentialChat.Node.Serving;

namespace ConfidentialChat.Node.Tests.Serving;

public sealed class AdmissionTests
{
    private readonly Admission admission = new(new NodeOptions { DataDirectory = "unused", GatewayUrl = new Uri("http://127.0.0.1:1"), MaxConcurrent = 2, MaxQueued = 1 });

    [Fact]
    public async Task Beyond_places_and_seats_a_request_is_turned_away_at_once()
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
    public async Task Who_gives_up_waiting_leaves_the_seat_free()
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
        using var first = await admission.EnterAsync(TestContext.Current.CancellationToken);
        var second = await admission.EnterAsync(TestContext.Current.CancellationToken);
        var waiting = admission.EnterAsync(TestContext.Current.CancellationToken);
        admission.Close();

        (await admission.EnterAsync(TestContext.Current.CancellationToken)).ShouldBeNull();
        second!.Dispose();
        (await waiting).ShouldNotBeNull();
    }
}
