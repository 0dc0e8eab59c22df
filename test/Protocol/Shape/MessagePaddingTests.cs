using System.Buffers;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Shape;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.Shape;

public sealed class MessagePaddingTests
{
    [Theory]
    [InlineData(0, 2_048)]
    [InlineData(1, 2_048)]
    [InlineData(2_048, 2_048)]
    [InlineData(2_049, 2_176)]
    [InlineData(16_385, 17_408)]
    [InlineData(1_000_000, 1_015_808)]
    public void Known_sizes_come_out(int size, int padded)
    {
        MessagePadding.PaddedSize(size).ShouldBe(padded);
        var output = new ArrayBufferWriter<byte>();
        MessagePadding.Write(output, size);
        output.WrittenCount.ShouldBe(padded - size);
        output.WrittenSpan.ContainsAnyExcept((byte)0).ShouldBeFalse();
    }

    [Fact]
    public void Whoever_measures_short_requests_sees_one_size()
    {
        var sizes = new[] { 1, 10, 100, 1_000, 1_900 }.Select(size => Padded(new string('p', size)).Length).Distinct();
        sizes.ShouldBe([2_048]);
    }

    [Fact]
    public void A_padded_request_reads_as_itself() => Gen.Int[0, 40_000].Sample(
        size =>
        {
            var message = Padded(new string('p', size));
            return message.Length == MessagePadding.PaddedSize(message.Length)
                && BinaryRequest.TryParse(message, BinaryHttpLimits.Default, out var request, out _)
                && request.Content.Length == size;
        },
        iter: 1_000);

    private static byte[] Padded(string prompt)
    {
        var output = new ArrayBufferWriter<byte>();
        new BinaryRequest(new RequestHead("POST", "https", "", "/v1/chat/completions", []), Streams.Utf8(prompt)).Write(output);
        MessagePadding.Write(output, output.WrittenCount);
        return output.WrittenSpan.ToArray();
    }
}
