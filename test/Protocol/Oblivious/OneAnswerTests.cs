using System.Buffers;
using ConfidentialChat.Protocol.Oblivious;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary>spec/oblivious-v2.md sections 6, 7 and 9: what names a request, how often it is answered, and how much of it is opened.</summary>
public sealed class OneAnswerTests
{
    [Fact]
    public void A_request_is_named_by_its_beginning_once_a_chunk_has_opened()
    {
        using var parties = new Parties();
        var request = parties.SealRequest([[1]]);
        using var opener = new ChunkedRequestOpener(parties.Ring, Wire.Input(request), ChunkLimits.Request);
        (opener.Encapsulation.IsEmpty, opener.Enc.IsEmpty, opener.Key, opener.HasOpened).ShouldBe((true, true, null, false));
        Wire.Read(opener).Outcome.ShouldBe(OpenOutcome.Final);
        opener.Encapsulation.ToArray().ShouldBe(request[..parties.RequestBeginning]);
        opener.Enc.ToArray().ShouldBe(request[RequestHeader.Size..parties.RequestBeginning]);
        opener.Key.ShouldBeSameAs(parties.Key.Configuration);
        using var sealer = ChunkedRequestSealer.Start(parties.Key.Configuration, parties.Suite, new ArrayBufferWriter<byte>());
        sealer.EncapsulationSize.ShouldBe(parties.RequestBeginning);
    }

    [Fact]
    public void A_request_has_one_answer_at_either_end_and_none_before_it_has_opened()
    {
        using var parties = new Parties();
        using var sealer = ChunkedRequestSealer.Start(parties.Key.Configuration, parties.Suite, new ArrayBufferWriter<byte>());
        using var answer = sealer.OpenAnswer(Wire.Input(Array.Empty<byte>()), ChunkLimits.Answer);
        Should.Throw<InvalidOperationException>(() => sealer.OpenAnswer(Wire.Input(Array.Empty<byte>()), ChunkLimits.Answer));
        using var opener = new ChunkedRequestOpener(parties.Ring, Wire.Input(parties.SealRequest([[1]])), ChunkLimits.Request);
        Should.Throw<InvalidOperationException>(() => opener.SealAnswer(new ArrayBufferWriter<byte>()));
        Wire.Read(opener).Outcome.ShouldBe(OpenOutcome.Final);
        using var first = opener.SealAnswer(new ArrayBufferWriter<byte>());
        Should.Throw<InvalidOperationException>(() => opener.SealAnswer(new ArrayBufferWriter<byte>()));
        Should.Throw<InvalidOperationException>(() => opener.SealAnswer(new ArrayBufferWriter<byte>(), new byte[32]));
    }

    [Fact]
    public void Limits_are_those_of_the_specification_and_a_chunk_is_never_smaller_or_larger_than_it_may_be()
    {
        (ChunkLimits.Request.MaxChunkSize, ChunkLimits.Request.MaxChunks, ChunkLimits.Request.MaxBytes).ShouldBe((16_384, 4_096, 33_554_432));
        (ChunkLimits.Answer.MaxChunkSize, ChunkLimits.Answer.MaxChunks, ChunkLimits.Answer.MaxBytes).ShouldBe((16_384, 1_048_576, 1_073_741_824));
        (ChunkLimits.Request with { MaxChunkSize = 1 << 24 }).MaxChunkSize.ShouldBe(16_777_216);
        Should.Throw<ArgumentOutOfRangeException>(() => ChunkLimits.Request with { MaxChunkSize = (1 << 24) + 1 });
        Should.Throw<ArgumentOutOfRangeException>(() => ChunkLimits.Request with { MaxChunkSize = 16_383 });
    }

    [Fact]
    public void What_is_disposed_of_gives_nothing_more()
    {
        using var parties = new Parties();
        var opener = new ChunkedRequestOpener(parties.Ring, Wire.Input(parties.SealRequest([[1], [2]])), ChunkLimits.Request);
        opener.Dispose();
        Wire.Read(opener).Outcome.ShouldBe(OpenOutcome.Truncated);
        opener.HasOpened.ShouldBeFalse();
        var sealer = ChunkedRequestSealer.Start(parties.Key.Configuration, parties.Suite, new ArrayBufferWriter<byte>());
        sealer.Dispose();
        Should.Throw<ObjectDisposedException>(() => sealer.Seal([1]));
    }
}
