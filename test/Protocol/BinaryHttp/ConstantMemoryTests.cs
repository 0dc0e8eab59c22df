using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>Memory does not grow with the message, however its chunks are cut.</summary>
public sealed class ConstantMemoryTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(16_384)]
    [InlineData(1)]
    public void An_answer_of_64_MiB_is_read_in_constant_memory(int chunkSize)
    {
        const long Size = 64L << 20;
        var head = Write(to => new IndeterminateWriter(to).WriteHead(new ResponseHead(200, [new("content-type", "text/plain")])));
        var chunk = Bytes(chunkSize == 1 ? Integer(1) : Integer(chunkSize, 4), new byte[chunkSize]);
        var wire = Bytes([.. Enumerable.Repeat<object>(chunk, 49_157 / chunk.Length)]); // pieces whose ends fall anywhere
        var before = GC.GetAllocatedBytesForCurrentThread();
        var reader = new ResponseReader(Limits);
        var (content, pieces) = (0L, 0);
        Feed(head, isFinal: false);
        var left = Size / chunkSize * chunk.Length;
        for (var at = 0; left > 0;)
        {
            var size = (int)Math.Min(left, Math.Min(10_007, wire.Length - at));
            Feed(wire.AsSpan(at, size), isFinal: false);
            left -= size;
            at = (at + size) % wire.Length;
        }

        Feed([0, 0, 0, 0], isFinal: true);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        output.WriteLine($"{content:N0} bytes of content in chunks of {chunkSize:N0}, {pieces:N0} pieces: {allocated:N0} bytes allocated");
        content.ShouldBe(Size);
        allocated.ShouldBeLessThan(8_192);

        void Feed(ReadOnlySpan<byte> input, bool isFinal)
        {
            while (reader.Read(ref input, isFinal, out var piece) is var part && part is not (MessagePart.NeedMore or MessagePart.End))
            {
                if (part == MessagePart.Invalid)
                    throw new InvalidOperationException(reader.Error.ToString());
                content += piece.Length;
                pieces += piece.IsEmpty ? 0 : 1;
            }
        }
    }
}
