using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.IO.Pipelines;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary>
/// Mutates the committed corpus, <c>Oblivious/corpus/TARGET/*.bin</c>, and feeds each parser. Short in the fast run; with
/// <c>CONFIDENTIALCHAT_SLOW=1</c> a minute for each target. A failure names the seed that makes it again and the input.
/// <c>CONFIDENTIALCHAT_FUZZ_SEED</c> chooses the seed, else it is the time's.
/// </summary>
public sealed class FuzzTests
{
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(Tree.Slow ? 60 : 1);

    private static readonly int Seed =
        int.TryParse(Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_FUZZ_SEED"), CultureInfo.InvariantCulture, out var seed)
            ? seed
            : Environment.TickCount;

    public static TheoryData<string> Targets => [.. FuzzTargets.All.Keys];

    [Theory]
    [MemberData(nameof(Targets))]
    public void Mutated_input_is_opened_or_refused_and_breaks_nothing(string name)
    {
        var target = FuzzTargets.All[name];
        var corpus = FuzzTargets.Corpus(name).ToList();
        foreach (var input in corpus)
            target(input);
        var random = new Random(Seed);
        var clock = Stopwatch.StartNew();
        for (var round = 0; clock.Elapsed < Budget; round++)
        {
            var input = Mutate(corpus, random);
            try
            {
                target(input);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {Seed}, round {round}, input {Convert.ToHexStringLower(input)}", e);
            }
        }
    }

    [Fact]
    public void The_corpus_holds_what_opens_and_what_does_not()
    {
        FuzzTargets.Corpus("request").Select(input => FuzzTargets.OpenRequest(input).Outcome).Distinct().Count().ShouldBeGreaterThan(3);
        FuzzTargets.Corpus("answer").Select(input => FuzzTargets.OpenAnswer(input).Outcome).Distinct().Count().ShouldBeGreaterThan(2);
        FuzzTargets.Corpus("keys").Select(input => KeyConfigurationList.TryParse(input, out _)).Distinct().Count().ShouldBe(2);
        FuzzTargets.Corpus("whole").Select(input => FuzzTargets.OpenWhole(input)).ShouldContain(OpenOutcome.Final);
    }

    // One to six edits, among them those that a framing is likely to trip over.
    private static byte[] Mutate(List<byte[]> corpus, Random random)
    {
        var bytes = corpus[random.Next(corpus.Count)].ToList();
        for (var edits = random.Next(1, 7); edits > 0; edits--)
        {
            var at = random.Next(bytes.Count + 1);
            var length = random.Next(Math.Min(40, bytes.Count - at) + 1);
            switch (random.Next(8))
            {
                case 0 when at < bytes.Count: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1 when at < bytes.Count: bytes[at] = (byte)random.Next(256); break;
                case 2: bytes.RemoveRange(at, length); break;
                case 3: bytes.InsertRange(at, bytes.GetRange(at, length)); break;
                case 4: bytes.InsertRange(at, Wire.Varint((ulong)random.NextInt64(1L << (6 << random.Next(4)) >> 2), 8)); break;
                case 5: bytes.InsertRange(at, new byte[random.Next(40)]); break;
                case 6: bytes.RemoveRange(at, bytes.Count - at); break;
                default:
                    var other = corpus[random.Next(corpus.Count)];
                    bytes.InsertRange(at, other.AsSpan(random.Next(other.Length + 1)).ToArray());
                    break;
            }
        }

        return [.. bytes];
    }
}

/// <summary>Each takes any bytes and throws where a promise of the parser is broken.</summary>
internal static class FuzzTargets
{
    private static readonly byte[][] Believed = ["the first chunk"u8.ToArray(), "the second chunk"u8.ToArray(), "the third"u8.ToArray()];

    private static readonly SymmetricSuite[] Suites = [SymmetricSuite.Default, new(KdfId.HkdfSha256, AeadId.ChaCha20Poly1305)];

    // Fixed keys: the corpus is sealed to them.
    private static readonly ObliviousKeyRing Ring = new(
        new ObliviousKey(1, HpkePrivateKey.Import(KemId.MlKem768X25519, [.. Enumerable.Repeat((byte)1, 32)]), Suites),
        new ObliviousKey(2, HpkePrivateKey.Import(KemId.DhkemX25519, [.. Enumerable.Repeat((byte)2, 32)]), Suites));

    private static readonly ChunkLimits Limits = ChunkLimits.Request with { MaxChunks = 64, MaxBytes = 100_000 };

    public static IReadOnlyDictionary<string, Action<byte[]>> All { get; } = new Dictionary<string, Action<byte[]>>(StringComparer.Ordinal)
    {
        ["keys"] = Keys,
        ["request"] = bytes => Check(bytes, OpenRequest(bytes)),
        ["answer"] = bytes => Check(bytes, OpenAnswer(bytes)),
        ["whole"] = bytes => OpenWhole(bytes),
    };

    /// <summary>With <c>CONFIDENTIALCHAT_WRITE_CORPUS=1</c> it is written anew first.</summary>
    public static IEnumerable<byte[]> Corpus(string target)
    {
        if (Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_WRITE_CORPUS") == "1")
            WriteCorpus();
        return Directory.GetFiles(Path.Combine(Tree.Root, "test", "Protocol", "Oblivious", "corpus", target), "*.bin")
            .Order(StringComparer.Ordinal).Select(File.ReadAllBytes);
    }

    public static Reading OpenRequest(byte[] bytes)
    {
        using var opener = new ChunkedRequestOpener(Ring, Input(bytes), Limits);
        return Wire.Read(opener);
    }

    public static Reading OpenAnswer(byte[] bytes)
    {
        using var sealer = Client(new ArrayBufferWriter<byte>());
        using var opener = sealer.OpenAnswer(Input(bytes), Limits);
        return Wire.Read(opener);
    }

    public static OpenOutcome OpenWhole(byte[] bytes)
    {
        var outcome = OpenedWholeRequest.TryOpen(Ring, bytes, out var request);
        using (request)
        {
            var isOurs = request is not null && request.Plaintext.Span.SequenceEqual("the whole"u8);
            if ((outcome == OpenOutcome.Final) != isOurs)
                throw new InvalidOperationException($"{outcome}: forged");
        }

        return outcome;
    }

    private static void Keys(byte[] bytes)
    {
        if (!KeyConfigurationList.TryParse(bytes, out var list))
            return;
        var output = new ArrayBufferWriter<byte>();
        list.Write(output);
        if (list.Configurations.Count == 0)
            return;
        if (!KeyConfigurationList.TryParse(output.WrittenSpan, out var again) || again.Configurations.Count != list.Configurations.Count)
            throw new InvalidOperationException("what was read does not read again");
    }

    // Whatever opens was sealed: the beginning of the one text, and all of it where the message is whole.
    private static void Check(byte[] bytes, Reading reading)
    {
        if (reading.Chunks.Count > Believed.Length
            || reading.Chunks.Zip(Believed).Any(pair => !pair.First.AsSpan().SequenceEqual(pair.Second)))
            throw new InvalidOperationException($"{reading.Outcome}: forged");
        if (reading.Outcome == OpenOutcome.Final && reading.Chunks.Count != Believed.Length)
            throw new InvalidOperationException("an end in the middle");
        if (reading.Outcome == OpenOutcome.Opened || (bytes.Length == 0 && reading.Outcome != OpenOutcome.Truncated))
            throw new InvalidOperationException($"{reading.Outcome}: no end");
    }

    private static ChunkedRequestSealer Client(IBufferWriter<byte> output) =>
        ChunkedRequestSealer.Start(Ring.Published.Configurations[1], Suites[0], output, [.. Enumerable.Repeat((byte)3, 32)]);

    private static PipeReader Input(byte[] bytes) => Wire.Pieces(bytes, 1, 7, 100);

    private static void WriteCorpus()
    {
        var output = new ArrayBufferWriter<byte>();
        using (var sealer = Client(output))
            Wire.Seal(sealer, Believed);
        var classicRequest = output.WrittenSpan.ToArray();
        using (var opener = new ChunkedRequestOpener(Ring, Input(classicRequest), Limits))
        {
            Wire.Read(opener);
            output.ResetWrittenCount();
            using var answer = opener.SealAnswer(output);
            Wire.Seal(answer, Believed);
            var bytes = output.WrittenSpan.ToArray();
            Write(
                "answer",
                ("valid", bytes),
                ("truncated", bytes[..60]),
                ("damaged", [.. bytes[..40], .. new byte[40]]),
                ("giant", [.. bytes[..32], 255, 255]));
        }

        output.ResetWrittenCount();
        using (var sealer = ChunkedRequestSealer.Start(Ring.Published.Configurations[0], Suites[0], output))
            Wire.Seal(sealer, Believed);
        var hybridRequest = output.WrittenSpan.ToArray();
        byte[][] chunks = [.. Wire.Split(classicRequest, 39)];
        var beginning = classicRequest[..39];
        byte[] overLong = [.. beginning, .. chunks.SkipLast(1).SelectMany(chunk => Wire.Frame(chunk, 8)), 0x40, 0, .. chunks[^1]];
        Write(
            "request",
            ("classic", classicRequest),
            ("hybrid", hybridRequest),
            ("over-long", overLong),
            ("unknown", [9, .. classicRequest[1..]]),
            ("truncated", classicRequest[..60]),
            ("damaged", [.. classicRequest[..50], .. new byte[60]]),
            ("giant", [.. beginning, .. Wire.Varint(1UL << 40, 8)]));

        using var whole = WholeRequest.Seal(Ring.Published.Configurations[1], Suites[0], "the whole"u8);
        Write("whole", ("valid", whole.Encapsulated.ToArray()), ("truncated", whole.Encapsulated[..50].ToArray()));

        output.ResetWrittenCount();
        Ring.Published.Write(output);
        var list = output.WrittenSpan.ToArray();
        output.ResetWrittenCount();
        new KeyConfigurationList([Ring.Published.Configurations[1]]).Write(output);
        var classicList = output.WrittenSpan.ToArray();
        byte[] unknown = [0, 5, 9, 0, 0x41, 1, 2, .. classicList];
        Write("keys", ("both", list), ("classic", classicList), ("unknown", unknown), ("cut", classicList[..^1]));

        static void Write(string target, params (string Name, byte[] Bytes)[] inputs)
        {
            var folder = Path.Combine(Tree.Root, "test", "Protocol", "Oblivious", "corpus", target);
            Directory.CreateDirectory(folder);
            foreach (var (name, bytes) in inputs)
                File.WriteAllBytes(Path.Combine(folder, $"{name}.bin"), bytes);
        }
    }
}
