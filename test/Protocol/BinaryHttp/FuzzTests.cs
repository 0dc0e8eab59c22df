using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using CsCheck;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>
/// The fuzz targets of Binary HTTP over the messages in <c>corpus/</c>: short in the fast run, long where
/// CONFIDENTIALCHAT_SLOW is 1. A file is one message in hexadecimal; its name says which reader it is for and what is in it.
/// </summary>
public sealed class FuzzTests
{
    // Far above what any small message needs, far below what an announced giant would take.
    private const long MemoryOf = 64 << 10;

    private static readonly int Rounds = Tree.Slow ? 400_000 : 2_000;

    public static TheoryData<string> Corpus =>
        [.. Directory.GetFiles(Folder, "*.hex").Order(StringComparer.Ordinal).Select(file => Path.GetFileName(file))];

    private static string Folder => Path.Combine(Tree.Root, "test", "Protocol", "BinaryHttp", "corpus");

    [Theory]
    [MemberData(nameof(Corpus))]
    public void Every_message_of_the_corpus_is_what_its_name_says(string file)
    {
        var message = Load(file);
        var error = file.StartsWith("request", StringComparison.Ordinal) ? RequestError(message) : ResponseError(message);
        (error == BinaryHttpError.None).ShouldBe(!file.Contains("-bad-", StringComparison.Ordinal), error.ToString());
    }

    [Theory]
    [MemberData(nameof(Corpus))]
    public void A_mutated_message_breaks_no_reader(string file) =>
        Gen.Select(Mutants.Framed(Load(file)), Gen.Int[0, int.MaxValue].Array[0, 4]).Sample(Survives, iter: Rounds);

    [Fact]
    public void Arbitrary_bytes_break_no_reader() =>
        Gen.Select(Gen.Byte.Array[0, 200], Gen.Int[0, int.MaxValue].Array[0, 4]).Sample(Survives, iter: Rounds * 4);

    [Fact]
    public void Arbitrary_small_numbers_break_no_reader() =>
        Gen.Select(
            Gen.OneOf(Gen.Byte[0, 8], Gen.OneOf<byte>(0x40, 0x64, 0xC8, 0x80, (byte)'a', (byte)'/')).Array[0, 60],
            Gen.Int[0, int.MaxValue].Array[0, 4]).Sample(Survives, iter: Rounds * 4);

    [Fact]
    public void Every_byte_of_a_message_replaced_by_every_other_breaks_no_reader()
    {
        foreach (var message in new[] { Write(Chat.Write), Write(Answer.Write), RoundTripTests.Indeterminate(Answer, 5, four: true) })
        {
            for (var at = 0; at < message.Length; at++)
            {
                for (var value = 0; value < 256; value += Tree.Slow ? 1 : 5)
                {
                    var mutant = (byte[])message.Clone();
                    mutant[at] = (byte)value;
                    Survives(mutant, [at]);
                }
            }
        }
    }

    // Either a message or an error; the same however it is cut; written anew and read again the same message.
    private static void Survives(byte[] message, int[] places)
    {
        var cuts = places.Select(place => place % (message.Length + 1)).Order().ToArray();
        var before = GC.GetAllocatedBytesForCurrentThread();
        _ = BinaryRequest.TryParse(message, Limits, out var request, out var requestError);
        _ = BinaryResponse.TryParse(message, Limits, out var response, out var responseError);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Demand(allocated < MemoryOf + (16 * message.Length), "memory out of proportion");
        Demand(Enum.IsDefined(requestError) && Enum.IsDefined(responseError), "an error of another kind");
        Demand((request is null) == (requestError != BinaryHttpError.None), "a request is either read or refused");
        Demand((response is null) == (responseError != BinaryHttpError.None), "a response is either read or refused");
        Demand(request is null || response is null, "a message of both kinds");
        Demand(Read(new RequestReader(Limits), message, cuts) == Read(new RequestReader(Limits), message), "cuts change a request");
        Demand(Read(new ResponseReader(Limits), message, cuts) == Read(new ResponseReader(Limits), message), "cuts change a response");
        if (request is not null)
            Demand(Request(Write(request.Write)).Equals(request), "a request changes when written anew");
        if (response is not null)
            Demand(Response(Write(response.Write)).Equals(response), "a response changes when written anew");
    }

    private static void Demand(bool holds, string what)
    {
        if (!holds)
            throw new InvalidOperationException(what);
    }

    private static byte[] Load(string file) => Hex(File.ReadAllText(Path.Combine(Folder, file)));
}
