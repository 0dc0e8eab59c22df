using System.Buffers;
using System.IO.Pipelines;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary>What a relay, or whoever sits on its lines, may do to a message: each is a test, for requests and for answers.</summary>
public sealed class ChunkAttackTests : IDisposable
{
    private static readonly byte[][] Plain = ["one"u8.ToArray(), "two"u8.ToArray(), "three"u8.ToArray(), "four"u8.ToArray()];

    private readonly Parties hybrid = new();
    private readonly Parties classic = new(KemId.DhkemX25519, AeadId.ChaCha20Poly1305);
    private readonly Parties small = new(KemId.DhkemX25519, AeadId.Aes128Gcm);

    public enum Kind
    {
        HybridRequest,
        HybridAnswer,
        ClassicRequest,
        ClassicAnswer,
        SmallAnswer,
    }

    public static TheoryData<Kind> Kinds => [.. Enum.GetValues<Kind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void An_untouched_message_opens(Kind kind)
    {
        var message = Sample(kind);
        var reading = message.Open(message.Bytes);
        reading.Outcome.ShouldBe(OpenOutcome.Final);
        reading.Chunks.ShouldBe(Plain);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Truncated_at_every_byte_it_never_ends_well(Kind kind)
    {
        var message = Sample(kind);
        var finalAt = message.Bytes.Length - message.Chunks[^1].Length;
        for (var length = 0; length < message.Bytes.Length; length++)
        {
            var reading = message.Open(message.Bytes[..length]);
            // A final chunk that is cut cannot be told from one that is damaged, once there is a whole tag of it.
            reading.Outcome.ShouldBe(length < finalAt + 16 ? OpenOutcome.Truncated : OpenOutcome.CannotBeOpened, $"{length} bytes");
            reading.Chunks.ShouldBe(Plain.Take(reading.Chunks.Count), $"{length} bytes");
            reading.Chunks.Count.ShouldBeLessThan(Plain.Length);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Any_flipped_bit_is_noticed(Kind kind)
    {
        var message = Sample(kind);
        var lengths = LengthOffsets(message);
        for (var bit = 0; bit < message.Bytes.Length * 8; bit++)
        {
            // Of the 1,120 bytes of a hybrid enc, one bit in seven: every position within a byte comes up.
            if (bit is > 64 and < 1_100 * 8 && kind == Kind.HybridRequest && bit % 7 != 0)
                continue;
            var reading = message.Open(Fixture.Flip(message.Bytes, bit));
            reading.Outcome.ShouldNotBe(OpenOutcome.Opened, $"bit {bit}");
            reading.Outcome.ShouldNotBe(OpenOutcome.Final, $"bit {bit}");
            reading.Chunks.ShouldBe(Plain.Take(reading.Chunks.Count), $"bit {bit}");
            if (!lengths.Contains(bit / 8))
                reading.Outcome.ShouldBe(IsHeader(kind, bit / 8) ? OpenOutcome.KeyUnknown : OpenOutcome.CannotBeOpened, $"bit {bit}");
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Chunks_in_another_order_do_not_open(Kind kind)
    {
        var message = Sample(kind);
        for (var first = 0; first < Plain.Length; first++)
        {
            for (var second = first + 1; second < Plain.Length; second++)
            {
                var swapped = message.Chunks.ToList();
                (swapped[first], swapped[second]) = (swapped[second], swapped[first]);
                Fails(message, swapped, opened: first);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_chunk_that_comes_twice_does_not_open_again(Kind kind)
    {
        var message = Sample(kind);
        for (var at = 0; at < Plain.Length; at++)
        {
            var doubled = message.Chunks.ToList();
            doubled.Insert(at, doubled[at]);
            // The final chunk sealed as final opens nowhere else, so its copy before it fails at once.
            Fails(message, doubled, opened: at == Plain.Length - 1 ? at : at + 1);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_chunk_that_is_dropped_is_missed(Kind kind)
    {
        var message = Sample(kind);
        for (var at = 0; at < Plain.Length - 1; at++)
            Fails(message, [.. message.Chunks.Where((_, index) => index != at)], opened: at);
    }

    [Theory]
    [InlineData(Kind.HybridAnswer)]
    [InlineData(Kind.ClassicAnswer)]
    [InlineData(Kind.SmallAnswer)]
    public void A_chunk_spliced_in_from_another_answer_to_the_same_request_does_not_open(Kind kind)
    {
        var (message, other) = (Sample(kind), Sample(kind));
        for (var at = 0; at < Plain.Length; at++)
        {
            var spliced = message.Chunks.ToList();
            spliced[at] = other.Chunks[at];
            Fails(message, spliced, opened: at);
        }
    }

    [Fact]
    public void A_chunk_spliced_in_from_a_request_of_another_client_to_the_same_key_does_not_open()
    {
        var mine = Sample(Kind.HybridRequest);
        var output = new ArrayBufferWriter<byte>();
        using (var other = ChunkedRequestSealer.Start(hybrid.Key.Configuration, hybrid.Suite, output))
            Wire.Seal(other, Plain);
        var theirs = Wire.Split(output.WrittenSpan.ToArray(), hybrid.RequestBeginning);
        for (var at = 0; at < Plain.Length; at++)
        {
            var spliced = mine.Chunks.ToList();
            spliced[at] = theirs[at];
            Fails(mine, spliced, opened: at);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Without_its_final_chunk_it_is_truncated(Kind kind)
    {
        var message = Sample(kind);
        var beginning = message.Bytes[..message.Beginning];
        byte[] others = [.. message.Chunks.SkipLast(1).SelectMany(chunk => Wire.Frame(chunk))];
        message.Open([.. beginning, .. others]).Outcome.ShouldBe(OpenOutcome.Truncated);
        message.Open([.. beginning, .. others, 0]).Outcome.ShouldBe(OpenOutcome.Truncated);
        // Nor does another chunk stand in for it.
        var posing = message.Open(Wire.Join(beginning, message.Chunks.SkipLast(1)));
        posing.Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
        posing.Chunks.ShouldBe(Plain.Take(2));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_final_chunk_that_poses_as_a_part_does_not_open(Kind kind)
    {
        var message = Sample(kind);
        Fails(message, [.. message.Chunks, message.Chunks[0]], opened: 3);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Bytes_after_the_final_chunk_spoil_it(Kind kind)
    {
        var message = Sample(kind);
        foreach (var tail in new[] { 1, 2, 16, 17, 1_000 })
            message.Open([.. message.Bytes, .. new byte[tail]]).Outcome.ShouldBe(OpenOutcome.CannotBeOpened, $"{tail} bytes");
        message.Open([.. message.Bytes, .. new byte[16_384]]).Outcome.ShouldBe(OpenOutcome.ChunkTooLarge);
        // Not even a second, well-formed copy of the message.
        message.Open([.. message.Bytes, .. message.Bytes]).IsOpened().ShouldBeFalse();
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void An_empty_chunk_before_the_last_is_as_bad_as_one_that_does_not_open(Kind kind)
    {
        var message = Sample(kind);
        var beginning = message.Bytes[..message.Beginning];
        for (var length = 1; length <= 16; length++)
        {
            // It is refused by its length alone: it need not arrive.
            message.Open([.. beginning, (byte)length]).Outcome.ShouldBe(OpenOutcome.CannotBeOpened, $"{length} bytes");
            message.Open(Wire.Join(beginning, [new byte[length], .. message.Chunks])).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_giant_chunk_is_refused_by_its_length_before_it_arrives(Kind kind)
    {
        var message = Sample(kind);
        var beginning = message.Bytes[..message.Beginning];
        foreach (var length in new ulong[] { 16_401, 20_000, int.MaxValue, uint.MaxValue, 1UL << 40, (1UL << 62) - 1 })
        {
            var size = length < 1UL << 30 ? 4 : 8;
            var before = GC.GetAllocatedBytesForCurrentThread();
            message.Open([.. beginning, .. Wire.Varint(length, size)]).Outcome.ShouldBe(OpenOutcome.ChunkTooLarge, $"{length} bytes");
            (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(200_000);
        }

        message.Open([.. beginning, 0, .. new byte[16_401]]).Outcome.ShouldBe(OpenOutcome.ChunkTooLarge);
        message.Open([.. beginning, .. Wire.Frame(new byte[16_400])]).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Over_long_lengths_change_nothing_and_buy_nothing(Kind kind)
    {
        var message = Sample(kind);
        foreach (var size in new[] { 1, 2, 4, 8 })
        {
            byte[] spelled =
            [
                .. message.Bytes[..message.Beginning],
                .. message.Chunks.SkipLast(1).SelectMany(chunk => Wire.Frame(chunk, size)),
                .. Wire.Varint(0, size),
                .. message.Chunks[^1],
            ];
            var reading = message.Open(spelled);
            reading.Outcome.ShouldBe(OpenOutcome.Final, $"{size} bytes");
            reading.Chunks.ShouldBe(Plain);
            // Cut inside a length it is truncated, as anywhere else.
            for (var length = message.Beginning; length < message.Beginning + size; length++)
                message.Open(spelled[..length]).Outcome.ShouldBe(OpenOutcome.Truncated);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void One_byte_chunks_buy_no_endless_work(Kind kind)
    {
        var message = Sample(kind, [.. Enumerable.Repeat("x"u8.ToArray(), 100)]);
        var limits = ChunkLimits.Request with { MaxChunks = 100 };
        message.Open(message.Bytes, limits).Outcome.ShouldBe(OpenOutcome.Final);
        var reading = message.Open(message.Bytes, limits with { MaxChunks = 99 });
        reading.Outcome.ShouldBe(OpenOutcome.TooManyChunks);
        reading.Chunks.Count.ShouldBe(98);
        Sample(kind, []).Open(Sample(kind, []).Bytes, limits with { MaxChunks = 0 }).Outcome.ShouldBe(OpenOutcome.TooManyChunks);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_body_without_end_is_refused_at_the_limit(Kind kind)
    {
        var message = Sample(kind, [.. Enumerable.Repeat(new byte[1_000], 10)]);
        var limits = ChunkLimits.Request with { MaxBytes = 10 * 1_016 };
        message.Open(message.Bytes, limits).Outcome.ShouldBe(OpenOutcome.Final);
        var final = message.Open(message.Bytes, limits with { MaxBytes = (10 * 1_016) - 1 });
        final.Outcome.ShouldBe(OpenOutcome.TooLarge);
        final.Chunks.Count.ShouldBe(9);
        message.Open(message.Bytes, limits with { MaxBytes = 2_031 }).Chunks.Count.ShouldBe(1);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_final_chunk_over_a_limit_is_refused_though_no_piece_of_it_is(Kind kind)
    {
        var message = Sample(kind, [new byte[1_000], new byte[1_000]]);
        var limits = ChunkLimits.Request with { MaxBytes = 2 * 1_016 };
        message.OpenSlowly(message.Bytes, limits).Outcome.ShouldBe(OpenOutcome.Final);
        message.OpenSlowly(message.Bytes, limits with { MaxBytes = (2 * 1_016) - 1 }).Outcome.ShouldBe(OpenOutcome.TooLarge);
        message.OpenSlowly([.. message.Bytes, 0], limits).Outcome.ShouldBe(OpenOutcome.TooLarge);

        var beginning = message.Bytes[..message.Beginning];
        message.OpenSlowly([.. beginning, 0, .. new byte[16_400]], ChunkLimits.Request).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
        message.OpenSlowly([.. beginning, 0, .. new byte[16_401]], ChunkLimits.Request).Outcome.ShouldBe(OpenOutcome.ChunkTooLarge);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_request_does_not_open_as_an_answer_nor_an_answer_as_a_request(Kind kind)
    {
        var message = Sample(kind);
        var parties = Of(kind);
        var isRequest = kind is Kind.HybridRequest or Kind.ClassicRequest;
        var other = isRequest ? parties.OpenAnswer(message.Bytes) : parties.OpenRequest(message.Bytes);
        other.IsOpened().ShouldBeFalse();
        other.Chunks.ShouldBeEmpty();
    }

    [Fact]
    public void The_answer_to_another_request_does_not_open()
    {
        using var others = new Parties();
        hybrid.OpenAnswer(others.SealAnswer(Plain)).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
        var output = new ArrayBufferWriter<byte>();
        using var mine = ChunkedRequestSealer.Start(hybrid.Key.Configuration, hybrid.Suite, output);
        using var opener = mine.OpenAnswer(Wire.Input(hybrid.SealAnswer(Plain)), ChunkLimits.Answer);
        Wire.Read(opener).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
    }

    [Fact]
    public void A_chunked_message_does_not_open_as_a_whole_one_nor_a_whole_one_as_a_chunked_one()
    {
        using var whole = WholeRequest.Seal(hybrid.Key.Configuration, hybrid.Suite, "text"u8);
        var bytes = whole.Encapsulated.ToArray();
        hybrid.OpenRequest(bytes).IsOpened().ShouldBeFalse();
        byte[] beginning = bytes[..hybrid.RequestBeginning], sealedText = bytes[hybrid.RequestBeginning..];
        hybrid.OpenRequest([.. beginning, 0, .. sealedText]).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
        hybrid.OpenRequest([.. beginning, .. Wire.Frame(sealedText)]).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
        var chunked = Sample(Kind.HybridRequest);
        byte[] posing = [.. chunked.Bytes[..chunked.Beginning], .. chunked.Chunks[0]];
        OpenedWholeRequest.TryOpen(hybrid.Ring, posing, out _).ShouldBe(OpenOutcome.CannotBeOpened);
    }

    public void Dispose()
    {
        hybrid.Dispose();
        classic.Dispose();
        small.Dispose();
    }

    private static bool IsHeader(Kind kind, int at) => kind is Kind.HybridRequest or Kind.ClassicRequest && at < 7;

    private static HashSet<int> LengthOffsets(Message message)
    {
        var (offsets, at) = (new HashSet<int>(), message.Beginning);
        foreach (var chunk in message.Chunks)
        {
            offsets.Add(at);
            at += 1 + chunk.Length;
        }

        return offsets;
    }

    private static void Fails(Message message, List<byte[]> chunks, int opened)
    {
        var reading = message.Open(Wire.Join(message.Bytes[..message.Beginning], chunks));
        reading.Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
        reading.Chunks.ShouldBe(Plain.Take(opened));
    }

    private Parties Of(Kind kind) => kind switch
    {
        Kind.HybridRequest or Kind.HybridAnswer => hybrid,
        Kind.SmallAnswer => small,
        _ => classic,
    };

    private Message Sample(Kind kind, byte[][]? chunks = null)
    {
        var parties = Of(kind);
        return kind is Kind.HybridRequest or Kind.ClassicRequest
            ? new(parties.SealRequest(chunks ?? Plain), parties.RequestBeginning, parties.OpenRequest)
            : new(parties.SealAnswer(chunks ?? Plain), parties.AnswerBeginning, parties.OpenAnswer);
    }

    private sealed record Message(byte[] Bytes, int Beginning, Func<PipeReader, ChunkLimits?, Reading> Opener)
    {
        public List<byte[]> Chunks { get; } = Wire.Split(Bytes, Beginning);

        public Reading Open(byte[] bytes, ChunkLimits? limits = null) => Opener(Wire.Input(bytes), limits);

        public Reading OpenSlowly(byte[] bytes, ChunkLimits limits) => Opener(Wire.Slow(bytes, 100), limits);
    }
}

internal static class Readings
{
    public static bool IsOpened(this Reading reading) => reading.Outcome is OpenOutcome.Final or OpenOutcome.Opened;
}
