using System.Runtime.InteropServices;
using System.Text;

namespace ConfidentialChat.Fixtures;

/// <summary>Writes a GGUF file, version 3, little endian, tensors of F32.</summary>
/// <remarks>
/// <code>
/// "GGUF" | u32 version | u64 tensors | u64 pairs
/// pairs:   string key | u32 type | value
/// tensors: string name | u32 dimensions | u64 each | u32 type | u64 offset from the start of the data
/// padding to 32, then the data, each tensor at a multiple of 32
/// string:  u64 length | UTF-8
/// </code>
/// </remarks>
internal sealed class GgufWriter
{
    private const uint Version = 3;
    private const int Alignment = 32; // the format's default of general.alignment

    // Types of values, and of tensors, by the numbers of the specification.
    private const uint TypeUInt32 = 4;
    private const uint TypeInt32 = 5;
    private const uint TypeFloat32 = 6;
    private const uint TypeBool = 7;
    private const uint TypeString = 8;
    private const uint TypeArray = 9;
    private const uint TensorF32 = 0;

    private readonly List<Action<BinaryWriter>> pairs = [];
    private readonly List<(string Name, int[] Dimensions, float[] Data)> tensors = [];

    public void Add(string key, string value) => AddPair(key, TypeString, writer => WriteString(writer, value));

    public void Add(string key, uint value) => AddPair(key, TypeUInt32, writer => writer.Write(value));

    public void Add(string key, float value) => AddPair(key, TypeFloat32, writer => writer.Write(value));

    public void Add(string key, bool value) => AddPair(key, TypeBool, writer => writer.Write(value));

    public void Add(string key, IReadOnlyList<string> values) => AddPair(key, TypeArray, writer =>
    {
        writer.Write(TypeString);
        writer.Write((ulong)values.Count);
        foreach (var value in values)
            WriteString(writer, value);
    });

    public void Add(string key, IReadOnlyList<int> values) => AddPair(key, TypeArray, writer =>
    {
        writer.Write(TypeInt32);
        writer.Write((ulong)values.Count);
        foreach (var value in values)
            writer.Write(value);
    });

    /// <param name="name">As llama.cpp spells it.</param>
    /// <param name="dimensions">The first varies fastest.</param>
    /// <param name="data">Row after row.</param>
    public void AddTensor(string name, int[] dimensions, float[] data) => tensors.Add((name, dimensions, data));

    public void WriteTo(Stream stream)
    {
        using var header = new MemoryStream();
        using (var writer = new BinaryWriter(header, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write("GGUF"u8);
            writer.Write(Version);
            writer.Write((ulong)tensors.Count);
            writer.Write((ulong)pairs.Count);
            foreach (var pair in pairs)
                pair(writer);
            ulong offset = 0;
            foreach (var (name, dimensions, data) in tensors)
            {
                WriteString(writer, name);
                writer.Write((uint)dimensions.Length);
                foreach (var dimension in dimensions)
                    writer.Write((ulong)dimension);
                writer.Write(TensorF32);
                writer.Write(offset);
                offset += Aligned((ulong)data.Length * sizeof(float));
            }
        }

        var padding = new byte[Alignment];
        header.WriteTo(stream);
        stream.Write(padding, 0, (int)(Aligned((ulong)header.Length) - (ulong)header.Length));
        foreach (var (_, _, data) in tensors)
        {
            if (!BitConverter.IsLittleEndian)
                throw new PlatformNotSupportedException("GGUF is written in the machine's byte order, which must be little endian.");
            var bytes = MemoryMarshal.AsBytes<float>(data);
            stream.Write(bytes);
            stream.Write(padding, 0, (int)(Aligned((ulong)bytes.Length) - (ulong)bytes.Length));
        }
    }

    private void AddPair(string key, uint type, Action<BinaryWriter> value) => pairs.Add(writer =>
    {
        WriteString(writer, key);
        writer.Write(type);
        value(writer);
    });

    private static ulong Aligned(ulong length) => (length + Alignment - 1) / Alignment * Alignment;

    private static void WriteString(BinaryWriter writer, string value)
    {
        var utf8 = Encoding.UTF8.GetBytes(value);
        writer.Write((ulong)utf8.Length);
        writer.Write(utf8);
    }
}
