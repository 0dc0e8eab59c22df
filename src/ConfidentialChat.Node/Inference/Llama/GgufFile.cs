using System.Buffers.Binary;
using System.Text;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The head of a GGUF file, read and found whole. What is here may be given to native code.</summary>
/// <remarks>
/// Native code aborts the process on some files that are wrong. This reads each length before it believes it and refuses those.
/// <code>
/// "GGUF" | u32 version | u64 tensors | u64 pairs
/// pairs:   string key | u32 type | value          string: u64 length | UTF-8
/// tensors: string name | u32 dimensions | u64 each | u32 type | u64 offset from the start of the data
/// </code>
/// </remarks>
internal sealed class GgufFile
{
    private const int KeyMax = 65_535;          // bytes; the format's limit
    private const int TensorNameMax = 64;       // bytes; the format's limit
    private const int DimensionsMax = 4;        // GGML_MAX_DIMS
    private const long PairsMax = 1 << 16;      // real files have dozens
    private const long TensorsMax = 1 << 20;    // real files have hundreds
    private const long KeptStringMax = 1 << 20; // bytes; chat templates are some thousands
    private const ulong DefaultAlignment = 32;  // bytes; the format's default
    private const ulong AlignmentMax = 1 << 20; // bytes; real files have 32, a page at most

    // Outside of these llama.cpp aborts or asks for memory without end. The most are far above what models have; 512 is LLAMA_MAX_LAYERS.
    private static readonly (string Size, ulong Min, ulong Max)[] Sizes =
    [
        ("context_length", 1, 1 << 28),
        ("embedding_length", 1, 1 << 20),
        ("block_count", 1, 512),
        ("vocab_size", 1, 1 << 24),
        ("attention.head_count", 0, 1 << 16), // none in models without attention
        ("attention.head_count_kv", 0, 1 << 16),
        ("attention.key_length", 1, 1 << 16),
        ("attention.value_length", 1, 1 << 16),
    ];

    private GgufFile(string architecture, string? name, bool hasChatTemplate, long contextLength)
    {
        Architecture = architecture;
        Name = name;
        HasChatTemplate = hasChatTemplate;
        ContextLength = contextLength;
    }

    public string Architecture { get; }

    /// <summary><c>general.name</c>, where it is there and not blank.</summary>
    public string? Name { get; }

    public bool HasChatTemplate { get; }

    /// <summary>Tokens.</summary>
    public long ContextLength { get; }

    /// <exception cref="ModelLoadException">The file cannot be read, or is no whole GGUF file.</exception>
    public static GgufFile Read(string path)
    {
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 16);
            using var reader = new Reader(stream, path);
            return reader.Read();
        }
        catch (EndOfStreamException failure)
        {
            throw new ModelLoadException($"The model file {path} ends in the middle: it is not all there.", "fetch it again and compare its size", failure);
        }
        catch (Exception failure) when (failure is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ModelLoadException($"There is no model file {path}.", "name a GGUF file that is there", failure);
        }
        catch (Exception failure) when (failure is UnauthorizedAccessException or IOException)
        {
            throw new ModelLoadException($"The model file {path} cannot be read: {failure.Message}", "name a GGUF file that this user may read", failure);
        }
    }

    private sealed class Reader(FileStream stream, string path) : IDisposable
    {
        private readonly BinaryReader reader = new(stream, Encoding.UTF8, leaveOpen: true);
        private readonly long length = stream.Length;
        private readonly Dictionary<string, string> strings = new(StringComparer.Ordinal);
        private readonly Dictionary<string, ulong> numbers = new(StringComparer.Ordinal);
        private bool hasTokens;

        public GgufFile Read()
        {
            if (length < 4 || !reader.ReadBytes(4).AsSpan().SequenceEqual("GGUF"u8))
                throw new ModelLoadException($"The file {path} is not a GGUF model: it does not begin with GGUF.", "name a file in GGUF format");
            var version = reader.ReadUInt32();
            if (version is not (2 or 3))
            {
                throw BinaryPrimitives.ReverseEndianness(version) is 2 or 3
                    ? new ModelLoadException($"The model file {path} is for big-endian machines.", "use the little-endian file")
                    : new ModelLoadException(
                        $"The model file {path} is of GGUF version {version}; 2 and 3 are known.", "convert it with the tools of llama.cpp");
            }

            var tensors = Bounded(reader.ReadUInt64(), TensorsMax, "count of tensors");
            var pairs = Bounded(reader.ReadUInt64(), PairsMax, "count of metadata");
            for (long i = 0; i < pairs; i++)
                ReadPair();
            if (!strings.TryGetValue("general.architecture", out var architecture))
                throw Corrupt("it names no architecture");
            foreach (var (size, min, max) in Sizes)
            {
                if (numbers.TryGetValue($"{architecture}.{size}", out var value) && (value < min || value > max))
                    throw Corrupt($"its {size} is {value}");
            }

            if (!hasTokens)
                throw new ModelLoadException($"The model file {path} has no vocabulary.", "use a whole language model, not a part or an adapter");
            if (tensors == 0)
                throw new ModelLoadException($"The model file {path} has no weights.", "use a whole language model, not only its vocabulary");
            UInt128 end = 1; // of the data, from its start
            for (long i = 0; i < tensors; i++)
                end = UInt128.Max(end, ReadTensor());
            var alignment = numbers.GetValueOrDefault("general.alignment", DefaultAlignment);
            if (alignment is 0 or > AlignmentMax || !ulong.IsPow2(alignment))
                throw Corrupt($"its alignment is {alignment}");
            var whole = (((UInt128)stream.Position + alignment - 1) / alignment * alignment) + end;
            if (whole > (UInt128)length)
            {
                throw new ModelLoadException(
                    $"The model file {path} is not all there: it has {length} bytes of {whole}.", "fetch it again and compare its size");
            }

            return new GgufFile(
                architecture,
                strings.TryGetValue("general.name", out var name) && Utf8(name).Trim() is { Length: > 0 } shown ? shown : null,
                strings.ContainsKey("tokenizer.chat_template"),
                (long)numbers.GetValueOrDefault($"{architecture}.context_length"));
        }

        public void Dispose() => reader.Dispose();

        private static string Utf8(string latin1) => Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(latin1));

        private void ReadPair()
        {
            var key = ReadString(KeyMax) ?? throw Corrupt("the name of an entry is too long");
            var type = reader.ReadUInt32();
            switch (type)
            {
                case 8:
                    if (ReadString(KeptStringMax) is { } text)
                        strings[key] = text;
                    break;
                case 9:
                    ReadArray(key);
                    break;
                default:
                    var value = reader.ReadBytes(SizeOf(type));
                    if (value.Length != SizeOf(type))
                        throw new EndOfStreamException();
                    if (type is 4 or 5)
                        numbers[key] = BinaryPrimitives.ReadUInt32LittleEndian(value);
                    else if (type is 10 or 11)
                        numbers[key] = BinaryPrimitives.ReadUInt64LittleEndian(value);
                    break;
            }
        }

        private void ReadArray(string key)
        {
            var type = reader.ReadUInt32();
            var count = Bounded(reader.ReadUInt64(), length, "length of an array");
            if (type != 8)
            {
                Skip(checked(count * SizeOf(type)));
                return;
            }

            // llama.cpp aborts where two tokens have one text.
            var tokens = string.Equals(key, "tokenizer.ggml.tokens", StringComparison.Ordinal) ? new HashSet<string>(StringComparer.Ordinal) : null;
            for (long i = 0; i < count; i++)
            {
                if (tokens is null)
                    Skip(Bounded(reader.ReadUInt64(), length, "length of a string"));
                else if (!tokens.Add(TextAsNative(ReadString(KeyMax)) is { Length: > 0 } token ? token : $"[EMPTY_{i}]"))
                    throw Corrupt("its vocabulary has one token twice");
            }

            hasTokens |= tokens is { Count: > 0 };
        }

        // Returns where the tensor's data ends, from the start of the data.
        private UInt128 ReadTensor()
        {
            if (ReadString(TensorNameMax) is null)
                throw Corrupt("the name of a tensor is too long");
            var dimensions = reader.ReadUInt32();
            if (dimensions > DimensionsMax)
                throw Corrupt("a tensor has too many dimensions");
            UInt128 elements = 1;
            for (var i = 0; i < dimensions; i++)
            {
                elements *= Bounded128(reader.ReadUInt64());
                if (elements > long.MaxValue)
                    throw Corrupt("a tensor is too large");
            }

            var (values, bytes) = BlockOf(reader.ReadUInt32());
            var offset = (UInt128)reader.ReadUInt64();
            return offset + ((elements + values - 1) / values * bytes);
        }

        // Values of a block and its bytes, by the numbers of ggml_type. Of a type that is not here one byte is known to be there.
        private static (UInt128 Values, UInt128 Bytes) BlockOf(uint type) => type switch
        {
            0 or 26 => (1, 4),        // F32, I32
            1 or 25 or 30 => (1, 2),  // F16, I16, BF16
            24 => (1, 1),             // I8
            27 or 28 => (1, 8),       // I64, F64
            2 or 20 => (32, 18),      // Q4_0, IQ4_NL
            3 => (32, 20),            // Q4_1
            6 => (32, 22),            // Q5_0
            7 => (32, 24),            // Q5_1
            8 => (32, 34),            // Q8_0
            10 => (256, 84),          // Q2_K
            11 or 21 => (256, 110),   // Q3_K, IQ3_S
            12 => (256, 144),         // Q4_K
            13 => (256, 176),         // Q5_K
            14 => (256, 210),         // Q6_K
            16 => (256, 66),          // IQ2_XXS
            17 => (256, 74),          // IQ2_XS
            18 => (256, 98),          // IQ3_XXS
            19 => (256, 50),          // IQ1_S
            22 => (256, 82),          // IQ2_S
            23 => (256, 136),         // IQ4_XS
            29 => (256, 56),          // IQ1_M
            _ => (UInt128.MaxValue >> 1, 1),
        };

        // Native code reads a text up to its first zero.
        private static string? TextAsNative(string? text) => text?.IndexOf('\0') is >= 0 and var zero ? text[..zero] : text;

        // Latin-1, so that every string of bytes is its own text; null where it is longer than wanted, which is skipped.
        private string? ReadString(long max)
        {
            var length = Bounded(reader.ReadUInt64(), this.length, "length of a string");
            if (length > max)
            {
                Skip(length);
                return null;
            }

            var bytes = reader.ReadBytes((int)length);
            return bytes.Length == length ? Encoding.Latin1.GetString(bytes) : throw new EndOfStreamException();
        }

        private void Skip(long bytes)
        {
            if (bytes > length - stream.Position)
                throw new EndOfStreamException();
            stream.Seek(bytes, SeekOrigin.Current);
        }

        // uint8 int8 uint16 int16 uint32 int32 float32 bool, string and array apart, uint64 int64 float64.
        private int SizeOf(uint type) => type switch
        {
            0 or 1 or 7 => 1,
            2 or 3 => 2,
            4 or 5 or 6 => 4,
            10 or 11 or 12 => 8,
            _ => throw Corrupt($"an entry is of the unknown type {type}"),
        };

        private long Bounded(ulong value, long max, string what) => value <= (ulong)max ? (long)value : throw Corrupt($"the {what} is {value}");

        private UInt128 Bounded128(ulong value) => value is > 0 and <= long.MaxValue ? value : throw Corrupt("a tensor has no size");

        private ModelLoadException Corrupt(string how) => new($"The model file {path} is damaged: {how}.", "fetch it again and compare its hash");
    }
}
