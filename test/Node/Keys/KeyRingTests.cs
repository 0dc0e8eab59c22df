using System.Text;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Keys;

public sealed class KeyRingTests : IDisposable
{
    private readonly FakeTimeProvider time = new();
    private readonly KeyRing ring;

    public KeyRingTests() => ring = new KeyRing(Options(), time);

    public void Dispose() => ring.Dispose();

    [Fact]
    public void A_request_sealed_before_a_rotation_opens_after_it()
    {
        var sealedBefore = Seal(ring.Current.X25519);
        ring.TryRotate();

        Open(sealedBefore).ShouldBeNull();
        Open(Seal(ring.Current.X25519)).ShouldBeNull();
    }

    [Fact]
    public void A_request_sealed_to_a_key_past_its_grace_is_refused_even_where_no_timer_has_run()
    {
        var old = Seal(ring.Current.X25519);
        ring.TryRotate();
        time.Advance(TimeSpan.FromMinutes(10));

        Open(old)!.Error.ShouldBe(RequestError.UnknownNodeKey);
    }

    [Fact]
    public void Rotating_twice_within_the_grace_period_loses_no_request()
    {
        var first = Seal(ring.Current.X25519);
        ring.TryRotate();
        var second = Seal(ring.Current.X25519);
        ring.TryRotate();

        Open(first).ShouldBeNull();
        Open(second).ShouldBeNull();
        ring.KeySets.Count.ShouldBe(3);
    }

    [Fact]
    public void A_full_ring_refuses_a_rotation_and_loses_nothing()
    {
        var first = Seal(ring.Current.X25519);
        Fill();
        var (current, held) = (ring.Current, ring.KeySets);

        ring.TryRotate().ShouldBeFalse();
        ring.Current.ShouldBe(current);
        ring.KeySets.ShouldBe(held);
        Open(first).ShouldBeNull();

        time.Advance(TimeSpan.FromMinutes(10)); // the retired ones are due, whether a timer ran or not
        ring.TryRotate().ShouldBeTrue();
        ring.KeySets.Count.ShouldBe(2);
    }

    [Fact]
    public void A_full_ring_that_is_told_to_erase_now_erases_the_oldest_and_no_other()
    {
        var first = Seal(ring.Current.X25519);
        ring.TryRotate().ShouldBeTrue();
        var second = Seal(ring.Current.X25519);
        Fill();

        ring.TryRotate(eraseNow: true).ShouldBeTrue();
        ring.KeySets.Count.ShouldBe(KeySet.MaxHeld);
        Open(first)!.Error.ShouldBe(RequestError.UnknownNodeKey);
        Open(second).ShouldBeNull();
    }

    [Fact]
    public void A_ring_with_room_erases_nothing_though_it_is_told_to()
    {
        var first = Seal(ring.Current.X25519);
        ring.TryRotate(eraseNow: true).ShouldBeTrue();
        Open(first).ShouldBeNull();
    }

    [Fact]
    public void A_rotation_that_is_due_waits_for_room_and_comes_then()
    {
        time.Advance(TimeSpan.FromMinutes(59));
        Fill();
        var current = ring.Current;
        time.Advance(TimeSpan.FromMinutes(9));
        ring.TryRotate(eraseNow: true).ShouldBeTrue();
        ring.TryRotate(eraseNow: true).ShouldBeTrue();
        ring.Current.ShouldNotBe(current);
        ring.UntilNextChange.ShouldBe(TimeSpan.FromMinutes(1)); // the first of them is due
        time.Advance(TimeSpan.FromMinutes(1));
        ring.Tend();
        ring.KeySets.Count.ShouldBe(3); // what was retired within the last minute, and the current one
    }

    [Fact]
    public void A_set_is_announced_with_the_digest_of_its_keys_and_its_end_comes_nearer_when_it_retires()
    {
        var before = ring.Current;
        before.Expires.ShouldBe(time.GetUtcNow() + TimeSpan.FromMinutes(70));
        ring.TryRotate();
        var retired = ring.KeySets[1];
        retired.X25519.ShouldBe(before.X25519);
        retired.Digest.ShouldBe(before.Digest);
        retired.Expires.ShouldBe(time.GetUtcNow() + TimeSpan.FromMinutes(10));
        ring.TryFind(before.X25519, out var set).ShouldBeTrue();
        set!.Digest.ShouldBe(before.Digest);
        ring.Current.Digest.ShouldNotBe(before.Digest);
    }

    [Fact]
    public void The_schedule_rotates_after_the_lifetime_and_erases_after_the_grace()
    {
        var first = ring.Current;
        ring.UntilNextChange.ShouldBe(TimeSpan.FromHours(1));
        time.Advance(TimeSpan.FromHours(1));
        ring.Tend();
        ring.Current.ShouldNotBe(first);
        ring.KeySets.Count.ShouldBe(2);

        ring.UntilNextChange.ShouldBe(TimeSpan.FromMinutes(10));
        time.Advance(TimeSpan.FromMinutes(10));
        ring.Tend();
        ring.KeySets.Count.ShouldBe(1);
        ring.UntilNextChange.ShouldBe(TimeSpan.FromMinutes(50));
    }

    [Fact]
    public void A_retired_key_is_announced_to_end_with_its_grace_whatever_rotates_after_it()
    {
        var made = time.GetUtcNow();
        Expiry(ring.Current).ShouldBe(made + TimeSpan.FromHours(1) + TimeSpan.FromMinutes(10));

        time.Advance(TimeSpan.FromMinutes(20));
        var (first, retired) = (ring.Current, time.GetUtcNow());
        ring.TryRotate();
        Expiry(first).ShouldBe(retired + TimeSpan.FromMinutes(10));
        Expiry(ring.Current).ShouldBe(retired + TimeSpan.FromHours(1) + TimeSpan.FromMinutes(10));

        time.Advance(TimeSpan.FromMinutes(4));
        ring.TryRotate();
        Expiry(first).ShouldBe(retired + TimeSpan.FromMinutes(10));
        time.Advance(TimeSpan.FromMinutes(6));
        ring.TryFind(first.X25519, out _).ShouldBeFalse("it is announced until it is erased, and no longer");

        DateTimeOffset Expiry(KeySet keys) => ring.KeySets.Single(announced => announced.Digest == keys.Digest).Expires;
    }

    [Theory]
    [InlineData(12)]
    [InlineData(-12)]
    public void A_clock_that_jumps_ends_no_key_early_and_lets_none_live_longer(int hours)
    {
        var clock = new SetClock(time);
        using var jumped = new KeyRing(Options(), clock);
        jumped.TryRotate();
        time.Advance(TimeSpan.FromMinutes(4));
        var (current, retired) = (jumped.Current.Digest, jumped.KeySets[1].Digest);
        clock.Ahead = TimeSpan.FromHours(hours); // as after a sleep, or when somebody sets it: no time has passed

        jumped.KeySets.Select(keys => keys.Digest).ShouldBe([current, retired]);
        jumped.Current.Expires.ShouldBe(clock.GetUtcNow() + TimeSpan.FromMinutes(66));
        jumped.KeySets[1].Expires.ShouldBe(clock.GetUtcNow() + TimeSpan.FromMinutes(6));
        jumped.UntilNextChange.ShouldBe(TimeSpan.FromMinutes(6));
    }

    [Fact]
    public async Task A_key_that_is_to_live_longer_than_a_timer_can_wait_is_rotated_when_it_is_due()
    {
        var options = Options() with { KeyLifetime = TimeSpan.FromDays(100) };
        using var patient = new KeyRing(options, time);
        var first = patient.Current.Digest;
        using var rotation = new KeyRotation(patient, time, NullLogger<KeyRotation>.Instance);
        await rotation.StartAsync(TestContext.Current.CancellationToken);
        for (var day = 0; day < 99; day++)
            time.Advance(TimeSpan.FromDays(1));
        rotation.ExecuteTask!.IsCompleted.ShouldBeFalse();
        patient.Current.Digest.ShouldBe(first);
        for (var waited = 0; patient.Current.Digest == first && waited < 3000; waited++)
        {
            time.Advance(TimeSpan.FromDays(1));
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        patient.Current.Digest.ShouldNotBe(first);
        await rotation.StopAsync(TestContext.Current.CancellationToken);
    }

    [Fact]
    public void Keys_change_and_listeners_hear_of_it()
    {
        var heard = 0;
        ring.Changed += () => heard++;
        ring.TryRotate();
        ring.Tend();
        time.Advance(TimeSpan.FromMinutes(10));
        ring.Tend();

        heard.ShouldBe(2);
    }

    [Fact]
    public async Task Rotations_during_openings_never_break_one()
    {
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        var rotating = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
                ring.TryRotate(eraseNow: true);
        }, TestContext.Current.CancellationToken);
        while (!stop.IsCancellationRequested)
            (Open(Seal(ring.Current.X25519))?.Error ?? RequestError.UnknownNodeKey).ShouldBe(RequestError.UnknownNodeKey);
        await rotating;
    }

    /// <summary>A wall clock that somebody sets, over time that passes as it does.</summary>
    private sealed class SetClock(FakeTimeProvider time) : TimeProvider
    {
        public TimeSpan Ahead { get; set; }

        public override long TimestampFrequency => time.TimestampFrequency;

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow() + Ahead;

        public override long GetTimestamp() => time.GetTimestamp();
    }

    private void Fill()
    {
        while (ring.KeySets.Count < KeySet.MaxHeld)
            ring.TryRotate().ShouldBeTrue();
    }

    private static NodeOptions Options() => new() { DataDirectory = "unused", GatewayUrl = new Uri("http://127.0.0.1:1") };

    private static EnvelopeRequest Seal(X25519PublicKey key)
    {
        var outer = new OuterFields { NodeKey = key, Model = "m", Stack = new StackId(1), Stream = false };
        SealedRequest.TrySeal(Encoding.UTF8.GetBytes("{}"), outer, out var request).ShouldBeTrue();
        using (request)
            return request!.Envelope;
    }

    private Rejection? Open(EnvelopeRequest envelope)
    {
        if (!ring.TryFind(envelope.NodeKey, out var set))
            return new Rejection(RequestError.UnknownNodeKey);
        set.TryOpen(envelope, out var opened, out var rejection);
        opened?.Dispose();
        return rejection;
    }
}
