using System.Buffers;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using CsCheck;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

public sealed class VarintTests
{
    private static readonly int[] Sizes = [1, 2, 4, 8];

    // RFC 9000 appendix A.1.
    [Theory]
    [InlineData("c2197c5eff14e88c", 151_288_809_941_952_652)]
    [InlineData("9d7f3e7d", 494_878_333)]
    [InlineData("7bbd", 15_293)]
    [InlineData("25", 37)]
    public void The_samples_of_RFC_9000_read_and_write(string hex, long value)
    {
        Read(Hex(hex)).ShouldBe(value);
        Integer(value).ShouldBe(Hex(hex));
    }

    [Fact]
    public void The_over_long_sample_of_RFC_9000_reads() => Read(Hex("4025")).ShouldBe(37);

    [Fact]
    public void Every_value_reads_from_every_form_that_holds_it() => Gen.Select(Gen.Long[0, Varint.MaxValue], Gen.Int[0, 61], Gen.Int[0, 3])
        .Sample((random, shift, form) =>
        {
            var value = random >> shift;
            var size = Math.Max(Sizes[form], Varint.Size(value));
            return Read(Integer(value, size)) == value && Integer(value).Length == Varint.Size(value);
        },
        iter: 20_000);

    [Theory]
    [InlineData(0, 1)]
    [InlineData(63, 1)]
    [InlineData(64, 2)]
    [InlineData(16_383, 2)]
    [InlineData(16_384, 4)]
    [InlineData(Varint.MaxFourByteValue, 4)]
    [InlineData(Varint.MaxFourByteValue + 1L, 8)]
    [InlineData(Varint.MaxValue, 8)]
    public void The_shortest_form_is_written_and_no_more(long value, int size)
    {
        var output = new ArrayBufferWriter<byte>(64);
        Varint.Write(output, value);
        Varint.Write(output, 1);
        output.WrittenCount.ShouldBe(size + 1);
        Read(output.WrittenSpan[..size].ToArray()).ShouldBe(value);
        output.WrittenSpan[size].ShouldBe((byte)1);
    }

    [Fact]
    public void A_value_above_62_bits_is_the_writers_mistake()
    {
        Should.Throw<ArgumentOutOfRangeException>(() => Varint.Size(Varint.MaxValue + 1));
        Should.Throw<ArgumentOutOfRangeException>(() => Varint.Size(-1L));
        Should.Throw<ArgumentException>(() => Integer(64, 1));
        Should.Throw<ArgumentException>(() => Integer(1, 3));
    }

    // One byte at a time.
    private static long Read(byte[] bytes)
    {
        var reader = default(VarintReader);
        for (var i = 0; i < bytes.Length; i++)
        {
            ReadOnlySpan<byte> one = [bytes[i]];
            if (reader.TryRead(ref one, out var value))
            {
                i.ShouldBe(bytes.Length - 1);
                return value;
            }
        }

        throw new InvalidOperationException("no integer");
    }
}
