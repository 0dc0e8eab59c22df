using System.Formats.Cbor;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>A voucher of a batch taken apart and put together, by the framework's own CBOR: for those that are bent.</summary>
internal static class Proven
{
    public static (byte[] Entry, byte[] Header, int Size, int Index, byte[][] Path, byte[] Signature) Take(byte[] signed)
    {
        var reader = new CborReader(signed);
        reader.ReadStartArray();
        var entry = reader.ReadByteString();
        reader.ReadTag();
        reader.ReadStartArray();
        var header = reader.ReadByteString();
        reader.ReadStartMap();
        reader.ReadInt32().ShouldBe(396);
        reader.ReadStartMap();
        reader.ReadInt32().ShouldBe(-1);
        reader.ReadStartArray();
        var proof = new CborReader(reader.ReadByteString());
        reader.ReadEndArray();
        reader.ReadEndMap();
        reader.ReadEndMap();
        reader.ReadNull();
        var signature = reader.ReadByteString();
        proof.ReadStartArray();
        var (size, index) = (proof.ReadInt32(), proof.ReadInt32());
        var path = new byte[proof.ReadStartArray()!.Value][];
        for (var i = 0; i < path.Length; i++)
            path[i] = proof.ReadByteString();
        return (entry, header, size, index, path, signature);
    }

    public static byte[] Make(byte[] entry, byte[] header, int size, int index, byte[][] path, byte[] signature)
    {
        var proof = new CborWriter();
        proof.WriteStartArray(3);
        proof.WriteInt32(size);
        proof.WriteInt32(index);
        proof.WriteStartArray(path.Length);
        foreach (var hash in path)
            proof.WriteByteString(hash);
        proof.WriteEndArray();
        proof.WriteEndArray();

        var writer = new CborWriter();
        writer.WriteStartArray(2);
        writer.WriteByteString(entry);
        writer.WriteTag((CborTag)18);
        writer.WriteStartArray(4);
        writer.WriteByteString(header);
        writer.WriteStartMap(1);
        writer.WriteInt32(396);
        writer.WriteStartMap(1);
        writer.WriteInt32(-1);
        writer.WriteStartArray(1);
        writer.WriteByteString(proof.Encode());
        writer.WriteEndArray();
        writer.WriteEndMap();
        writer.WriteEndMap();
        writer.WriteNull();
        writer.WriteByteString(signature);
        writer.WriteEndArray();
        writer.WriteEndArray();
        return writer.Encode();
    }
}
