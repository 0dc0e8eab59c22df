using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Tests;

/// <summary>spec/envelope-v2.md section 2 rule 4.</summary>
public sealed class BundleOrderTests
{
    private static readonly DateTimeOffset Start = new(2026, 7, 1, 12, 0, 0, TimeSpan.Zero);

    private static readonly KeySetDigest First = Set(1), Second = Set(2), Third = Set(3);

    [Fact]
    public void Of_an_unknown_node_every_bundle_is_in_order() => BundleOrder.Earliest(null, First).ShouldBe(DateTimeOffset.MinValue);

    [Fact]
    public void Bundles_of_one_key_set_come_in_any_order()
    {
        var order = BundleOrder.Add(BundleOrder.Add(null, First, Start), First, Start.AddMinutes(30)); // the listed one, and a live one
        BundleOrder.Earliest(order, First).ShouldBe(DateTimeOffset.MinValue);
    }

    [Fact]
    public void Nobody_is_led_back_to_keys_that_were_replaced()
    {
        var order = BundleOrder.Add(BundleOrder.Add(null, First, Start), Second, Start.AddMinutes(30));
        BundleOrder.Earliest(order, First).ShouldBe(Start.AddMinutes(29));
        BundleOrder.Earliest(order, Second).ShouldBe(Start.AddMinutes(-1));
        BundleOrder.Earliest(order, Third).ShouldBe(Start.AddMinutes(29));
    }

    [Fact]
    public void A_node_that_starts_anew_may_be_a_minute_earlier_and_nobody_walks_back_in_such_steps()
    {
        var order = BundleOrder.Add(null, First, Start);
        order = BundleOrder.Add(order, Second, Start.AddSeconds(-60));
        order = BundleOrder.Add(order, First, Start.AddSeconds(-60));
        order = BundleOrder.Add(order, Third, Start.AddSeconds(-60));
        BundleOrder.Earliest(order, Second).ShouldBe(Start.AddSeconds(-60));
        BundleOrder.Earliest(order, Third).ShouldBe(Start.AddSeconds(-60));
    }

    private static KeySetDigest Set(byte fill)
    {
        var digest = new byte[32];
        digest.AsSpan().Fill(fill);
        return new KeySetDigest(digest);
    }
}
