using ConfidentialChat.Protocol.Shape;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.Shape;

public sealed class PadmeTests
{
    // By hand from the definition: E = floor(log2 L), S = floor(log2 E) + 1, the low E - S bits are rounded up to zeros.
    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(7, 7)]
    [InlineData(8, 8)]
    [InlineData(9, 10)]
    [InlineData(15, 16)]
    [InlineData(16, 16)]
    [InlineData(17, 18)]
    [InlineData(100, 104)]
    [InlineData(129, 144)]
    [InlineData(1000, 1024)]
    [InlineData(1_000_000, 1_015_808)]
    public void Known_lengths_come_out(int length, int padded) => Padme.Length(length).ShouldBe(padded);

    [Fact]
    public void The_padded_length_never_shrinks_and_grows_with_the_length()
    {
        var last = 0;
        for (var length = 0; length <= 200_000; length++)
        {
            var padded = Padme.Length(length);
            padded.ShouldBeGreaterThanOrEqualTo(length);
            padded.ShouldBeGreaterThanOrEqualTo(last);
            last = padded;
        }
    }

    [Fact]
    public void The_overhead_is_12_percent_at_the_most_and_padding_twice_adds_nothing() => Gen.Int[1, 1 << 30].Sample(
        length => Padme.Length(length) is var padded && padded >= length && padded <= length * 1.12 && Padme.Length(padded) == padded,
        iter: 100_000);

    [Fact]
    public void A_negative_length_is_the_callers_mistake() => Should.Throw<ArgumentOutOfRangeException>(() => Padme.Length(-1));
}
