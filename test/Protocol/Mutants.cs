using CsCheck;

namespace ConfidentialChat.Protocol.Tests;

/// <summary>What parsers must survive: bytes that were valid once.</summary>
internal static class Mutants
{
    // What means something to Binary HTTP and in streams of events: lengths of each size, and ends.
    private static readonly byte[] Framing = [0, 1, 0x3F, 0x40, 0x80, 0xC0, 0xFF, (byte)':', 0x0A];

    private static readonly byte[] Punctuation = [.. "\"\\{}[],:0"u8];

    public static Gen<byte[]> Framed(byte[] valid) => Of(valid, Framing);

    public static Gen<byte[]> Json(byte[] valid) => Of(valid, Punctuation);

    // One to four edits: a byte is changed, removed, doubled or put in; a stretch is repeated or cut out.
    private static Gen<byte[]> Of(byte[] valid, byte[] telling) =>
        Gen.Select(Gen.Int[0, 5], Gen.Int[0, int.MaxValue], Gen.Int[0, int.MaxValue], Gen.Byte).Array[1, 4].Select(edits =>
        {
            var bytes = valid.ToList();
            foreach (var (kind, first, second, value) in edits)
            {
                if (bytes.Count == 0)
                    break;
                var at = first % bytes.Count;
                var length = 1 + (second % (bytes.Count - at));
                switch (kind)
                {
                    case 0: bytes[at] = value; break;
                    case 1: bytes.RemoveAt(at); break;
                    case 2: bytes.Insert(at, bytes[at]); break;
                    case 3: bytes.Insert(at, telling[second % telling.Length]); break;
                    case 4: bytes.InsertRange(at, bytes.GetRange(at, length)); break;
                    default: bytes.RemoveRange(at, length); break;
                }
            }

            return bytes.ToArray();
        });
}
