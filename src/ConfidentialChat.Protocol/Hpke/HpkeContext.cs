// spec/oblivious-v2.md sections 3.3 and 3.4; RFC 9180 sections 5.1.1, 5.2 and 5.3.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Hpke;

/// <summary>What sender and recipient share once a key was encapsulated. Disposal clears it. Not for concurrent use.</summary>
public abstract class HpkeContext : IDisposable
{
    private readonly KeySchedule schedule;
    private readonly SequencedAead? messages;

    private protected HpkeContext(KeySchedule schedule, SymmetricSuite suite)
    {
        this.schedule = schedule;
        Suite = suite;
        if (suite.Aead == AeadId.ExportOnly)
            return;
        messages = new SequencedAead(suite.Aead, schedule.Key, schedule.BaseNonce);
        schedule.ClearKey();
    }

    public SymmetricSuite Suite { get; }

    /// <exception cref="InvalidOperationException">The AEAD is <see cref="AeadId.ExportOnly"/>.</exception>
    internal SequencedAead Messages => messages ?? throw new InvalidOperationException("An export-only context seals and opens nothing.");

    /// <summary>Fills <paramref name="secret"/>, at most 8160 bytes, with a secret of this context for one purpose.</summary>
    public void Export(ReadOnlySpan<byte> exporterContext, Span<byte> secret) => schedule.Export(exporterContext, secret);

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        messages?.Dispose();
        schedule.Dispose();
    }
}

/// <summary>The sender's context: seals messages in their order.</summary>
public sealed class SenderContext : HpkeContext
{
    private readonly byte[] enc;

    private SenderContext(byte[] enc, KeySchedule schedule, SymmetricSuite suite)
        : base(schedule, suite) => this.enc = enc;

    /// <summary>The encapsulated key, which the recipient needs.</summary>
    public ReadOnlySpan<byte> Enc => enc;

    /// <summary>SetupBaseS: encapsulates a fresh key to <paramref name="pkR"/>.</summary>
    /// <param name="pkR">The recipient's key.</param>
    /// <param name="suite">KDF and AEAD.</param>
    /// <param name="info">What both sides have to agree on; it is authenticated, not sent.</param>
    public static SenderContext SetupBase(HpkePublicKey pkR, SymmetricSuite suite, ReadOnlySpan<byte> info) =>
        SetupBase(pkR, suite, info, []);

    /// <summary>With given randomness, for vectors: two contexts of one randomness share their nonces.</summary>
    internal static SenderContext SetupBase(HpkePublicKey pkR, SymmetricSuite suite, ReadOnlySpan<byte> info, ReadOnlySpan<byte> randomness)
    {
        // shared_secret, enc = Encap(pkR)
        var kem = pkR.Mechanism;
        var enc = new byte[kem.Nenc];
        Span<byte> shared_secret = stackalloc byte[Kem.Nsecret];
        if (randomness.IsEmpty)
            kem.Encap(pkR.Span, enc, shared_secret);
        else
            kem.Encap(pkR.Span, randomness, enc, shared_secret);
        // return enc, KeyScheduleS(mode_base, shared_secret, info, "", "")
        var schedule = new KeySchedule(kem.Id, suite, shared_secret, info);
        CryptographicOperations.ZeroMemory(shared_secret);
        return new SenderContext(enc, schedule, suite);
    }

    /// <summary>Writes ciphertext and tag, <c>plaintext.Length + 16</c> bytes, under the next number.</summary>
    public void Seal(ReadOnlySpan<byte> aad, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext) =>
        Messages.Seal(aad, plaintext, ciphertext);
}

/// <summary>The recipient's context: opens messages in their order.</summary>
public sealed class RecipientContext : HpkeContext
{
    private RecipientContext(KeySchedule schedule, SymmetricSuite suite)
        : base(schedule, suite)
    {
    }

    /// <summary>SetupBaseR.</summary>
    /// <returns>False where <paramref name="enc"/> has another size or low order. A wrong key shows when a message is opened.</returns>
    public static bool TrySetupBase(
        HpkePrivateKey skR,
        SymmetricSuite suite,
        ReadOnlySpan<byte> enc,
        ReadOnlySpan<byte> info,
        [NotNullWhen(true)] out RecipientContext? context)
    {
        // shared_secret = Decap(enc, skR)
        Span<byte> shared_secret = stackalloc byte[Kem.Nsecret];
        context = null;
        if (!skR.TryDecap(enc, shared_secret))
            return false;
        // return KeyScheduleR(mode_base, shared_secret, info, "", "")
        var schedule = new KeySchedule(skR.PublicKey.Kem, suite, shared_secret, info);
        CryptographicOperations.ZeroMemory(shared_secret);
        context = new RecipientContext(schedule, suite);
        return true;
    }

    /// <summary>
    /// Writes the plaintext, <c>ciphertext.Length - 16</c> bytes; false, with zeros written and the number unchanged,
    /// where this is not the next message.
    /// </summary>
    public bool TryOpen(ReadOnlySpan<byte> aad, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext) =>
        Messages.TryOpen(aad, ciphertext, plaintext);
}
