using System.Buffers;
using ConfidentialChat.Fuzz;
using ConfidentialChat.Fuzz.Messages;
using ConfidentialChat.Protocol.Tests.BinaryHttp;

namespace ConfidentialChat.Protocol.Tests;

/// <summary>What <c>test/Fuzz/fuzz.sh</c> found stays found: its corpora, in the fast run.</summary>
public sealed class GuidedFuzzTests
{
    public static TheoryData<string> Targets => [.. MessageTargets.All.Keys];

    [Theory]
    [MemberData(nameof(Targets))]
    public void The_inputs_that_were_found_are_read_or_refused_in_time(string target) => Corpus.Run(target, MessageTargets.All[target]);

    [Fact]
    public void Messages_of_our_own_are_read()
    {
        byte[][] messages =
        [
            Write(Messages.Chat.Write), Write(Messages.Answer.Write), RoundTripTests.Indeterminate(Messages.Chat, 9, four: false),
            RoundTripTests.Indeterminate(Messages.Answer, 5, four: true),
        ];
        Seed("binary-http", messages.SelectMany(message => new byte[][] { [0, .. message], [17, .. message] }));
        // Pieces, then kind, size, content: 0 seals, 1 seals the last, 2 is sent as it is.
        Seed(
            "chunks", [5, 0, 3, 1, 2, 3, 0, 1, 9, 1, 2, 7, 7], [200, 1, 0], [1, 0, 1, 1, 2, 2, 0x40, 0, 1, 0], [3, 0, 4, 1, 2, 3, 4, 2, 1, 9, 1, 1, 1],
            [0, 1, 0, 0x20, 0, 1, 0, 2, .. new byte[60]]);

        static byte[] Write(Action<IBufferWriter<byte>> write)
        {
            var output = new ArrayBufferWriter<byte>();
            write(output);
            return output.WrittenSpan.ToArray();
        }
    }

    private static void Seed(string target, params IEnumerable<byte[]> seeds) => Corpus.Seed(target, MessageTargets.All[target], seeds);
}
