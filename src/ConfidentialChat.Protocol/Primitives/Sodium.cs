// The functions of libsodium 1.0.22 that NSec does not show: the KEMs, SHAKE256, SHA3-256, guarded memory, and X25519 and AEADs without it.
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>libsodium's own names; 0 is success. The callers check every size, since nothing here does.</summary>
internal static partial class Sodium
{
    private const string Library = "libsodium";

    // Before anything else: without it the random generator and the choice of code for this processor are not there.
    // It may be called again, also by NSec, from any thread.
    static Sodium()
    {
        if (sodium_init() < 0)
            throw new InvalidOperationException("libsodium did not start.");
    }

    [LibraryImport(Library)]
    public static partial int crypto_kem_xwing_enc(Span<byte> ct, Span<byte> ss, ReadOnlySpan<byte> pk);

    [LibraryImport(Library)]
    public static partial int crypto_kem_xwing_enc_deterministic(
        Span<byte> ct, Span<byte> ss, ReadOnlySpan<byte> pk, ReadOnlySpan<byte> seed);

    [LibraryImport(Library)]
    public static partial int crypto_kem_mlkem768_seed_keypair(Span<byte> pk, GuardedSecret sk, ReadOnlySpan<byte> seed);

    [LibraryImport(Library)]
    public static partial int crypto_kem_mlkem768_enc(Span<byte> ct, Span<byte> ss, ReadOnlySpan<byte> pk);

    [LibraryImport(Library)]
    public static partial int crypto_kem_mlkem768_enc_deterministic(
        Span<byte> ct, Span<byte> ss, ReadOnlySpan<byte> pk, ReadOnlySpan<byte> seed);

    [LibraryImport(Library)]
    public static partial int crypto_kem_mlkem768_dec(Span<byte> ss, ReadOnlySpan<byte> ct, GuardedSecret sk);

    [LibraryImport(Library)]
    public static partial int crypto_scalarmult_base(Span<byte> q, NativeSecret n);

    [LibraryImport(Library)]
    public static partial int crypto_scalarmult(Span<byte> q, NativeSecret n, ReadOnlySpan<byte> p);

    [LibraryImport(Library)]
    public static partial int crypto_aead_aes256gcm_is_available();

    [LibraryImport(Library)]
    public static partial nuint crypto_aead_aes256gcm_statebytes();

    [LibraryImport(Library)]
    public static partial int crypto_aead_aes256gcm_beforenm(AesSchedule ctx, ReadOnlySpan<byte> k);

    [LibraryImport(Library)]
    public static partial int crypto_aead_aes256gcm_encrypt_afternm(
        Span<byte> c, nint clen_p, ReadOnlySpan<byte> m, ulong mlen, ReadOnlySpan<byte> ad, ulong adlen,
        nint nsec, ReadOnlySpan<byte> npub, AesSchedule ctx);

    [LibraryImport(Library)]
    public static partial int crypto_aead_aes256gcm_decrypt_afternm(
        Span<byte> m, nint mlen_p, nint nsec, ReadOnlySpan<byte> c, ulong clen,
        ReadOnlySpan<byte> ad, ulong adlen, ReadOnlySpan<byte> npub, AesSchedule ctx);

    [LibraryImport(Library)]
    public static partial int crypto_aead_chacha20poly1305_ietf_encrypt(
        Span<byte> c, nint clen_p, ReadOnlySpan<byte> m, ulong mlen, ReadOnlySpan<byte> ad, ulong adlen,
        nint nsec, ReadOnlySpan<byte> npub, ReadOnlySpan<byte> k);

    [LibraryImport(Library)]
    public static partial int crypto_aead_chacha20poly1305_ietf_decrypt(
        Span<byte> m, nint mlen_p, nint nsec, ReadOnlySpan<byte> c, ulong clen,
        ReadOnlySpan<byte> ad, ulong adlen, ReadOnlySpan<byte> npub, ReadOnlySpan<byte> k);

    [LibraryImport(Library)]
    public static partial int crypto_hash_sha3256(Span<byte> output, ReadOnlySpan<byte> input, ulong inlen);

    [LibraryImport(Library)]
    public static partial int crypto_xof_shake256(Span<byte> output, nuint outlen, ReadOnlySpan<byte> input, ulong inlen);

    /// <summary>Fills <paramref name="buf"/> with random bytes.</summary>
    [LibraryImport(Library)]
    public static partial void randombytes_buf(NativeSecret buf, nuint size);

    [LibraryImport(Library)]
    public static partial nint sodium_malloc(nuint size);

    [LibraryImport(Library)]
    public static partial void sodium_free(nint pointer);

    [LibraryImport(Library)]
    private static partial int sodium_init();
}

/// <summary>Secret bytes where the garbage collector neither moves nor copies them; erased when freed.</summary>
internal abstract class NativeSecret : SafeHandle
{
    protected NativeSecret()
        : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == 0;
}

/// <summary>Between guard pages, locked into memory where the system allows it: for keys that stay.</summary>
internal sealed unsafe class GuardedSecret : NativeSecret
{
    private readonly int size;

    public GuardedSecret(int size)
    {
        this.size = size;
        SetHandle(Sodium.sodium_malloc((nuint)size));
        if (IsInvalid)
            throw new InvalidOperationException("libsodium has no more guarded memory: a limit on memory maps is reached.");
    }

    /// <summary>Copies so many bytes into it.</summary>
    public void Fill(ReadOnlySpan<byte> secret)
    {
        secret.CopyTo(new Span<byte>((void*)handle, size));
        GC.KeepAlive(this);
    }

    protected override bool ReleaseHandle()
    {
        Sodium.sodium_free(handle);
        return true;
    }
}

/// <summary>
/// Plain native memory, for keys of one message or stream. Guard pages are eight system calls for each, and would cost more than all the
/// sealing of a short answer (bench/Micro, AnswerBenchmarks and SealedRequestBenchmarks).
/// </summary>
internal unsafe class BriefSecret : NativeSecret
{
    private const int Alignment = 16; // crypto_aead_aes256gcm_state

    private readonly nuint size;

    public BriefSecret(nuint size)
    {
        this.size = size;
        SetHandle((nint)NativeMemory.AlignedAlloc(size, Alignment));
    }

    protected override bool ReleaseHandle()
    {
        CryptographicOperations.ZeroMemory(new Span<byte>((void*)handle, (int)size));
        NativeMemory.AlignedFree((void*)handle);
        return true;
    }
}

/// <summary>The expanded key of AES-256-GCM, for as long as one message or stream.</summary>
internal sealed class AesSchedule : BriefSecret
{
    private static readonly nuint Size = Sodium.crypto_aead_aes256gcm_statebytes();

    public AesSchedule(ReadOnlySpan<byte> key)
        : base(Size) => _ = Sodium.crypto_aead_aes256gcm_beforenm(this, key);
}
