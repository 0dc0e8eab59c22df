// The functions of libsodium 1.0.22 that NSec does not show: the KEMs, SHAKE256 and guarded memory.
using System.Runtime.InteropServices;

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
    public static partial int crypto_kem_xwing_seed_keypair(Span<byte> pk, GuardedSecret sk, ReadOnlySpan<byte> seed);

    [LibraryImport(Library)]
    public static partial int crypto_kem_xwing_keypair(Span<byte> pk, GuardedSecret sk);

    [LibraryImport(Library)]
    public static partial int crypto_kem_xwing_enc(Span<byte> ct, Span<byte> ss, ReadOnlySpan<byte> pk);

    [LibraryImport(Library)]
    public static partial int crypto_kem_xwing_enc_deterministic(
        Span<byte> ct, Span<byte> ss, ReadOnlySpan<byte> pk, ReadOnlySpan<byte> seed);

    [LibraryImport(Library)]
    public static partial int crypto_kem_xwing_dec(Span<byte> ss, ReadOnlySpan<byte> ct, GuardedSecret sk);

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
    public static partial int crypto_xof_shake256(Span<byte> output, nuint outlen, ReadOnlySpan<byte> input, ulong inlen);

    [LibraryImport(Library)]
    public static partial nint sodium_malloc(nuint size);

    [LibraryImport(Library)]
    public static partial void sodium_free(nint pointer);

    [LibraryImport(Library)]
    private static partial int sodium_init();
}

/// <summary>Secret bytes between guard pages, locked into memory where the system allows it, erased when freed.</summary>
internal sealed class GuardedSecret : SafeHandle
{
    public GuardedSecret(int size)
        : base(0, ownsHandle: true)
    {
        Size = size;
        SetHandle(Sodium.sodium_malloc((nuint)size));
        if (IsInvalid)
            throw new InvalidOperationException("libsodium has no more guarded memory: a limit on memory maps is reached.");
    }

    public int Size { get; }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        Sodium.sodium_free(handle);
        return true;
    }
}
