using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Protocol.Tests.Receipts;

/// <summary>spec/receipts.md sections 2 and 3: what stands in trailers, and what a node may not write.</summary>
public sealed class ReceiptTests : IDisposable
{
    private const string ReceiptField = "confidential-receipt";
    private const string SaltsField = "confidential-receipt-salts";

    private static readonly string Salts = $":{Convert.ToBase64String(new byte[ReceiptSalts.Size])}:";

    private readonly Ed25519PrivateKey signing = Ed25519PrivateKey.Generate(out _);
    private readonly ObliviousKey key = ObliviousKey.Generate(1, KemId.MlKem768X25519, [SymmetricSuite.Default]);

    public void Dispose()
    {
        signing.Dispose();
        key.Dispose();
    }

    public static TheoryData<string, string> Spellings => new()
    {
        { "AAAA", Salts }, // no byte sequence
        { ":AAAA", Salts },
        { ":", Salts },
        { ":AAA:", Salts }, // without its padding
        { ":AAB=:", Salts }, // with bits in the unused part
        { ":AA AA:", Salts },
        { ":AAAA:;q=1", Salts }, // parameters
        { ":AAAA:, :AAAA:", Salts }, // a list
        { $":{new string('A', 8192)}:", Salts },
        { ":AAAA:", $":{Convert.ToBase64String(new byte[ReceiptSalts.Size - 1])}:" },
        { ":AAAA:", "::" },
    };

    [Theory]
    [MemberData(nameof(Spellings))]
    public void Trailers_in_another_spelling_are_no_receipt(string receipt, string salts)
    {
        ReceiptTrailers.TryRead([new Field(ReceiptField, ":AAAA:"), new Field(SaltsField, Salts)], out _, out _).ShouldBeTrue();
        ReceiptTrailers.TryRead([new Field(ReceiptField, receipt), new Field(SaltsField, salts)], out _, out _).ShouldBeFalse();
    }

    [Fact]
    public void Trailers_of_which_one_is_absent_or_stands_twice_are_no_receipt()
    {
        var (receipt, salts) = (new Field(ReceiptField, ":AAAA:"), new Field(SaltsField, Salts));
        foreach (var trailers in (FieldSection?[])[null, [], [receipt], [salts], [receipt, salts, receipt], [receipt, salts, salts]])
            ReceiptTrailers.TryRead(trailers, out _, out _).ShouldBeFalse();
    }

    [Fact]
    public void A_model_of_the_longest_name_fits_and_its_receipt_with_it()
    {
        var answer = new ArrayBufferWriter<byte>();
        using var writer = Begin(answer, out var call);
        using var sealedCall = call;
        writer.Record(Draft(new string('\uFFFD', ModelNames.MaxLength))); // three bytes each
        writer.BeginStream(FieldSection.Empty);
        writer.WriteEvents("data: x\n\n"u8);
        writer.EndStream(Closing());
        using var reader = call.Open(PipeReader.Create(new ReadOnlySequence<byte>(answer.WrittenMemory)));
        Read(reader);
        ReceiptTrailers.TryRead(reader.Trailers, out var bytes, out var salts).ShouldBeTrue();
        SignedReceipt.TryParse(bytes, out var receipt).ShouldBe(CoseError.None);
        receipt!.Receipt.Model.Length.ShouldBe(ModelNames.MaxLength);
    }

    [Fact]
    public void An_answer_that_has_begun_gets_none_for_what_is_left_of_it()
    {
        using var writer = Begin(new ArrayBufferWriter<byte>(), out var call);
        using var sealedCall = call;
        writer.KeepAlive();
        using var draft = Draft();
        Should.Throw<InvalidOperationException>(() => writer.Record(draft));
    }

    [Fact]
    public void A_receipt_without_one_of_its_hashes_is_not_signed()
    {
        using var draft = Draft(hashesRequest: false);
        Should.Throw<InvalidOperationException>(() => draft.Finish(200, AnswerEnd.Complete, Closing()));
    }

    [Fact]
    public void Nothing_is_cut_off_that_is_no_stream_has_no_receipt_or_has_ended()
    {
        using (var unrecorded = Begin(new ArrayBufferWriter<byte>(), out var call))
        {
            using var sealedCall = call;
            unrecorded.BeginStream(FieldSection.Empty);
            unrecorded.TryCutOff(Closing()).ShouldBeFalse();
        }

        using (var whole = Begin(new ArrayBufferWriter<byte>(), out var call))
        {
            using var sealedCall = call;
            whole.Record(Draft());
            whole.TryCutOff(Closing()).ShouldBeFalse();
            whole.WriteWhole(200, FieldSection.Empty, "x"u8, Closing());
            whole.TryCutOff(Closing()).ShouldBeFalse();
        }

        using (var ended = Begin(new ArrayBufferWriter<byte>(), out var call))
        {
            using var sealedCall = call;
            ended.Record(Draft());
            ended.BeginStream(FieldSection.Empty);
            ended.EndStream(Closing());
            ended.TryCutOff(Closing()).ShouldBeFalse();
        }
    }

    [Theory]
    [InlineData(10_000, true)]
    [InlineData(1_000, false)]
    public void An_answer_that_is_larger_than_what_is_kept_is_read_all_the_same_and_not_kept(int keptSize, bool isKept)
    {
        var answer = new ArrayBufferWriter<byte>();
        using var writer = Begin(answer, out var call);
        using var sealedCall = call;
        writer.WriteWhole(200, FieldSection.Empty, new byte[5_000]);
        using var reader = call.Open(PipeReader.Create(new ReadOnlySequence<byte>(answer.WrittenMemory)), keptSize);
        Read(reader).ShouldBe(5_000);
        (reader.CopyMessage() is not null).ShouldBe(isKept);
    }

    [Fact]
    public void Salts_have_their_size_and_are_fresh()
    {
        Should.Throw<ArgumentException>(() => new ReceiptSalts(new byte[ReceiptSalts.Size - 1]));
        ReceiptSalts.New().Span.SequenceEqual(ReceiptSalts.New().Span).ShouldBeFalse();
        var salts = ReceiptSalts.New();
        SaltedHash.OfRequest(salts, "x"u8).ShouldNotBe(SaltedHash.OfAnswer(salts, "x"u8));
    }

    private static int Read(SealedAnswerReader reader)
    {
        var size = 0;
        while (reader.ReadContentAsync(default).AsTask().GetAwaiter().GetResult() is { Length: > 0 } piece)
            size += piece.Length;
        return size;
    }

    private static ReceiptDraft Draft(string model = "tiny", bool hashesRequest = true)
    {
        var draft = new ReceiptDraft
        {
            KeySet = new KeySetDigest(new byte[32]),
            Request = new RequestId(Guid.NewGuid()),
            Model = model,
            Weights = null,
            MaxUnits = new ComputeUnits(10),
            Encapsulation = new byte[32],
        };
        if (hashesRequest)
            draft.HashRequest(Encoding.UTF8.GetBytes("a request"));
        return draft;
    }

    private ReceiptClosing Closing() => new(new Usage(1, 2), DateTimeOffset.UnixEpoch, signing);

    private SealedAnswerWriter Begin(IBufferWriter<byte> output, out SealedCall call)
    {
        call = SealedCall.Seal("a message"u8, key.Configuration, SymmetricSuite.Default);
        using var opener = new ChunkedRequestOpener(new ObliviousKeyRing(key), PipeReader.Create(new ReadOnlySequence<byte>(call.Body)), ChunkLimits.Request);
        opener.ReadAsync().AsTask().GetAwaiter().GetResult().IsOpened.ShouldBeTrue();
        return new SealedAnswerWriter(opener.SealAnswer(output));
    }
}
