// spec/oblivious-v2.md section 3.3; RFC 9180 section 5.1, mode_base.
using System.Buffers.Binary;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Hpke;

/// <summary>What a shared secret becomes: the secrets of one context. Disposal clears them.</summary>
internal sealed class KeySchedule : IDisposable
{
    private const byte ModeBase = 0x00;

    private bool isDisposed;

    /// <summary>Derives everything from <paramref name="shared_secret"/>, which the caller clears.</summary>
    public KeySchedule(KemId kem, SymmetricSuite suite, ReadOnlySpan<byte> shared_secret, ReadOnlySpan<byte> info)
    {
        if (suite.Kdf != KdfId.HkdfSha256)
            throw new ArgumentOutOfRangeException(nameof(suite), suite.Kdf, "No such KDF.");
        SuiteId = WriteSuiteId(kem, suite);
        Key = new byte[suite.Aead.KeySize()];
        BaseNonce = new byte[suite.Aead == AeadId.ExportOnly ? 0 : IAead.NonceSize];
        var kdf = new LabeledHkdf(SuiteId);

        // psk_id_hash = LabeledExtract("", "psk_id_hash", "")
        // info_hash = LabeledExtract("", "info_hash", info)
        // key_schedule_context = mode ‖ psk_id_hash ‖ info_hash
        Span<byte> key_schedule_context = stackalloc byte[1 + (2 * HkdfSha256.PrkSize)];
        key_schedule_context[0] = ModeBase;
        kdf.Extract([], "psk_id_hash"u8, [], key_schedule_context.Slice(1, HkdfSha256.PrkSize));
        kdf.Extract([], "info_hash"u8, info, key_schedule_context[(1 + HkdfSha256.PrkSize)..]);

        // secret = LabeledExtract(shared_secret, "secret", "")
        Span<byte> secret = stackalloc byte[HkdfSha256.PrkSize];
        kdf.Extract(shared_secret, "secret"u8, [], secret);

        // key = LabeledExpand(secret, "key", key_schedule_context, Nk), and so on
        if (suite.Aead != AeadId.ExportOnly)
        {
            kdf.Expand(secret, "key"u8, key_schedule_context, Key);
            kdf.Expand(secret, "base_nonce"u8, key_schedule_context, BaseNonce);
        }

        kdf.Expand(secret, "exp"u8, key_schedule_context, ExporterSecret);
        CryptographicOperations.ZeroMemory(secret);
    }

    public byte[] SuiteId { get; }

    public byte[] Key { get; }

    public byte[] BaseNonce { get; }

    public byte[] ExporterSecret { get; } = new byte[HkdfSha256.PrkSize];

    // Export(exporter_context, L) = LabeledExpand(exporter_secret, "sec", exporter_context, L)
    public void Export(ReadOnlySpan<byte> exporter_context, Span<byte> output)
    {
        // A cleared secret would give secrets that everyone can derive.
        ObjectDisposedException.ThrowIf(isDisposed, this);
        new LabeledHkdf(SuiteId).Expand(ExporterSecret, "sec"u8, exporter_context, output);
    }

    /// <summary>Clears what the AEAD has copied.</summary>
    public void ClearKey()
    {
        CryptographicOperations.ZeroMemory(Key);
        CryptographicOperations.ZeroMemory(BaseNonce);
    }

    public void Dispose()
    {
        isDisposed = true;
        ClearKey();
        CryptographicOperations.ZeroMemory(ExporterSecret);
    }

    // suite_id = "HPKE" ‖ u16(kem_id) ‖ u16(kdf_id) ‖ u16(aead_id)
    private static byte[] WriteSuiteId(KemId kem, SymmetricSuite suite)
    {
        byte[] id = [.. "HPKE"u8, 0, 0, 0, 0, 0, 0];
        BinaryPrimitives.WriteUInt16BigEndian(id.AsSpan(4), (ushort)kem);
        BinaryPrimitives.WriteUInt16BigEndian(id.AsSpan(6), (ushort)suite.Kdf);
        BinaryPrimitives.WriteUInt16BigEndian(id.AsSpan(8), (ushort)suite.Aead);
        return id;
    }
}
