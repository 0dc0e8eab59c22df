using System.Text;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;
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
        var sealedBefore = Seal(ring.Current);
        ring.Rotate();

        Open(sealedBefore).ShouldBeNull();
        Open(Seal(ring.Current)).ShouldBeNull();
    }

    [Fact]
    public void A_request_sealed_to_a_key_past_its_grace_is_refused_even_where_no_timer_has_run()
    {
        var old = Seal(ring.Current);
        ring.Rotate();
        time.Advance(TimeSpan.FromMinutes(10));

        Open(old)!.Error.ShouldBe(RequestError.UnknownNodeKey);
    }

    [Fact]
    public void Rotating_twice_within_the_grace_period_loses_no_request()
    {
        var first = Seal(ring.Current);
        ring.Rotate();
        var second = Seal(ring.Current);
        ring.Rotate();

        Open(first).ShouldBeNull();
        Open(second).ShouldBeNull();
        ring.PublicKeys.Count.ShouldBe(3);
    }

    [Fact]
    public void However_often_keys_rotate_the_ring_stays_small_and_erases_the_oldest()
    {
        var first = Seal(ring.Current);
        for (var i = 0; i < KeyRing.MaxKeys; i++)
            ring.Rotate();

        ring.PublicKeys.Count.ShouldBe(KeyRing.MaxKeys);
        Open(first)!.Error.ShouldBe(RequestError.UnknownNodeKey);
    }

    [Fact]
    public void The_schedule_rotates_after_the_lifetime_and_erases_after_the_grace()
    {
        var first = ring.Current;
        ring.UntilNextChange.ShouldBe(TimeSpan.FromHours(1));
        time.Advance(TimeSpan.FromHours(1));
        ring.Tend();
        ring.Current.ShouldNotBe(first);
        ring.PublicKeys.Count.ShouldBe(2);

        ring.UntilNextChange.ShouldBe(TimeSpan.FromMinutes(10));
        time.Advance(TimeSpan.FromMinutes(10));
        ring.Tend();
        ring.PublicKeys.Count.ShouldBe(1);
        ring.UntilNextChange.ShouldBe(TimeSpan.FromMinutes(50));
    }

    [Fact]
    public void A_retired_key_is_announced_to_end_with_its_grace_whatever_rotates_after_it()
    {
        var made = time.GetUtcNow();
        Expiry(ring.Current).ShouldBe(made + TimeSpan.FromHours(1) + TimeSpan.FromMinutes(10));

        time.Advance(TimeSpan.FromMinutes(20));
        var (first, retired) = (ring.Current, time.GetUtcNow());
        ring.Rotate();
        Expiry(first).ShouldBe(retired + TimeSpan.FromMinutes(10));
        Expiry(ring.Current).ShouldBe(retired + TimeSpan.FromHours(1) + TimeSpan.FromMinutes(10));

        time.Advance(TimeSpan.FromMinutes(4));
        ring.Rotate();
        Expiry(first).ShouldBe(retired + TimeSpan.FromMinutes(10));
        time.Advance(TimeSpan.FromMinutes(6));
        ring.TryFind(first, out _).ShouldBeFalse("it is announced until it is erased, and no longer");

        DateTimeOffset Expiry(X25519PublicKey key) => DateTimeOffset.FromUnixTimeSeconds(ring.PublicKeys.Single(announced => announced.X25519 == key.ToString()).Expires);
    }

    [Fact]
    public void Keys_change_and_listeners_hear_of_it()
    {
        var heard = 0;
        ring.Changed += () => heard++;
        ring.Rotate();
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
                ring.Rotate();
        }, TestContext.Current.CancellationToken);
        while (!stop.IsCancellationRequested)
            (Open(Seal(ring.Current))?.Error ?? RequestError.UnknownNodeKey).ShouldBe(RequestError.UnknownNodeKey);
        await rotating;
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
        if (!ring.TryFind(envelope.NodeKey, out var pair))
            return new Rejection(RequestError.UnknownNodeKey);
        pair.TryOpen(envelope, out var opened, out var rejection);
        opened?.Dispose();
        return rejection;
    }
}
