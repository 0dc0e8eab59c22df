// spec/oblivious-v2.md section 5; RFC 9458 section 4.1.
using System.Buffers.Binary;
using ConfidentialChat.Protocol.Hpke;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary><c>hdr</c>: which key and which algorithms. From the wire, its ids may be of nothing that exists.</summary>
internal readonly record struct RequestHeader(byte KeyId, KemId Kem, SymmetricSuite Suite)
{
    // offset  size  name
    // 0       1     key_id
    // 1       2     kem_id
    // 3       2     kdf_id
    // 5       2     aead_id
    public const int Size = 7;

    public static RequestHeader Of(KeyConfiguration configuration, SymmetricSuite suite) =>
        configuration.Suites.Contains(suite)
            ? new(configuration.KeyId, configuration.PublicKey.Kem, suite)
            : throw new ArgumentException("The key is not offered with this suite.", nameof(suite));

    public static RequestHeader Read(ReadOnlySpan<byte> hdr) => new(
        hdr[0],
        (KemId)BinaryPrimitives.ReadUInt16BigEndian(hdr[1..]),
        new((KdfId)BinaryPrimitives.ReadUInt16BigEndian(hdr[3..]), (AeadId)BinaryPrimitives.ReadUInt16BigEndian(hdr[5..])));

    public void Write(Span<byte> hdr)
    {
        hdr[0] = KeyId;
        BinaryPrimitives.WriteUInt16BigEndian(hdr[1..], (ushort)Kem);
        BinaryPrimitives.WriteUInt16BigEndian(hdr[3..], (ushort)Suite.Kdf);
        BinaryPrimitives.WriteUInt16BigEndian(hdr[5..], (ushort)Suite.Aead);
    }
}
