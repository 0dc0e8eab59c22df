// spec/oblivious-v2.md section 3.3; RFC 9180 section 4.
using System.Buffers.Binary;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Hpke;

/// <summary>HKDF-SHA256 whose inputs name the protocol, the suite and the purpose, so that no two derivations meet.</summary>
internal readonly ref struct LabeledHkdf(ReadOnlySpan<byte> suiteId)
{
    private const int OnStack = 512; // bytes; the longest input of an envelope is shorter

    private readonly ReadOnlySpan<byte> suiteId = suiteId;

    // LabeledExtract(salt, label, ikm) = Extract(salt, "HPKE-v1" ‖ suite_id ‖ label ‖ ikm)
    public void Extract(ReadOnlySpan<byte> salt, ReadOnlySpan<byte> label, ReadOnlySpan<byte> ikm, Span<byte> prk)
    {
        var size = Version.Length + suiteId.Length + label.Length + ikm.Length;
        var labeled = size <= OnStack ? stackalloc byte[size] : new byte[size];
        Join(labeled, label, ikm);
        HkdfSha256.Extract(salt, labeled, prk);
        CryptographicOperations.ZeroMemory(labeled);
    }

    // LabeledExpand(prk, label, info, L) = Expand(prk, u16(L) ‖ "HPKE-v1" ‖ suite_id ‖ label ‖ info, L)
    public void Expand(ReadOnlySpan<byte> prk, ReadOnlySpan<byte> label, ReadOnlySpan<byte> info, Span<byte> output)
    {
        var size = sizeof(ushort) + Version.Length + suiteId.Length + label.Length + info.Length;
        var labeled = size <= OnStack ? stackalloc byte[size] : new byte[size];
        if (output.Length > HkdfSha256.MaxOutputSize)
            throw new ArgumentException($"HKDF-SHA256 gives {HkdfSha256.MaxOutputSize} bytes at the most.", nameof(output));
        BinaryPrimitives.WriteUInt16BigEndian(labeled, (ushort)output.Length);
        Join(labeled[sizeof(ushort)..], label, info);
        HkdfSha256.Expand(prk, labeled, output);
    }

    private static ReadOnlySpan<byte> Version => "HPKE-v1"u8;

    private void Join(Span<byte> labeled, ReadOnlySpan<byte> label, ReadOnlySpan<byte> rest)
    {
        Version.CopyTo(labeled);
        labeled = labeled[Version.Length..];
        suiteId.CopyTo(labeled);
        labeled = labeled[suiteId.Length..];
        label.CopyTo(labeled);
        rest.CopyTo(labeled[label.Length..]);
    }
}
