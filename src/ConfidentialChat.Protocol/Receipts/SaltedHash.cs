// spec/receipts.md section 2.
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Receipts;

/// <summary>
/// SHA-256(salt ‖ label ‖ bytes), of bytes that come one after the other: without the salt nobody tries texts against it. Not for concurrent use.
/// </summary>
public sealed class SaltedHash : IDisposable
{
    private readonly RunningSha256 hash = new();

    private SaltedHash(ReadOnlySpan<byte> salt, ReadOnlySpan<byte> label)
    {
        hash.Add(salt);
        hash.Add(label);
    }

    private static ReadOnlySpan<byte> RequestLabel => "ConfidentialChat receipt v1 request"u8;

    private static ReadOnlySpan<byte> AnswerLabel => "ConfidentialChat receipt v1 answer"u8;

    /// <summary>Of an answer in the making.</summary>
    /// <param name="salts">Its receipt's.</param>
    public static SaltedHash OfAnswer(ReceiptSalts salts)
    {
        ArgumentNullException.ThrowIfNull(salts);
        return new(salts.Answer, AnswerLabel);
    }

    /// <summary>Of a whole answer, from its framing to the end of its content.</summary>
    public static byte[] OfAnswer(ReceiptSalts salts, ReadOnlySpan<byte> answer)
    {
        using var hash = OfAnswer(salts);
        hash.Add(answer);
        return hash.Finish();
    }

    /// <summary>Of a whole request, without its padding.</summary>
    public static byte[] OfRequest(ReceiptSalts salts, ReadOnlySpan<byte> request)
    {
        ArgumentNullException.ThrowIfNull(salts);
        using var hash = new SaltedHash(salts.Request, RequestLabel);
        hash.Add(request);
        return hash.Finish();
    }

    public void Add(ReadOnlySpan<byte> bytes) => hash.Add(bytes);

    /// <summary>32 bytes.</summary>
    public byte[] Finish() => hash.Finish();

    public void Dispose() => hash.Dispose();
}

/// <summary>The two salts of a receipt. Whoever has them can try texts against its hashes: they go to the client alone. Immutable.</summary>
public sealed class ReceiptSalts
{
    /// <summary>Of one, in bytes.</summary>
    public const int SaltSize = 32;

    /// <summary>Of both.</summary>
    public const int Size = 2 * SaltSize;

    private readonly byte[] salts;

    /// <param name="bytes">The request's, the answer's.</param>
    /// <exception cref="ArgumentException">They are not <see cref="Size"/> bytes.</exception>
    public ReceiptSalts(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size)
            throw new ArgumentException($"Salts have {Size} bytes, not {bytes.Length}.", nameof(bytes));
        salts = bytes.ToArray();
    }

    public ReadOnlySpan<byte> Request => salts.AsSpan(0, SaltSize);

    public ReadOnlySpan<byte> Answer => salts.AsSpan(SaltSize);

    /// <summary>Both, in the order of the constructor.</summary>
    public ReadOnlySpan<byte> Span => salts;

    public static ReceiptSalts New() => new(RandomNumberGenerator.GetBytes(Size));
}
