// spec/oblivious-v2.md section 6.
using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Hpke;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>Seals a request to one key of a node, and opens its answer. Disposal clears the keys of the request.</summary>
public sealed class ChunkedRequestSealer : ChunkSealer
{
    public const string MediaType = "message/ohttp-chunked-req";

    private readonly SenderContext context;
    private bool isAnswered;

    private ChunkedRequestSealer(SenderContext context, IBufferWriter<byte> output)
        : base(context.Messages, output) => this.context = context;

    /// <summary>Bytes of <c>hdr ‖ enc</c>, with which the request begins.</summary>
    internal int EncapsulationSize => RequestHeader.Size + context.Enc.Length;

    /// <summary>Encapsulates a fresh key and writes the header. The output is to be flushed as it fills.</summary>
    /// <exception cref="ArgumentException">The key is not offered with <paramref name="suite"/>.</exception>
    public static ChunkedRequestSealer Start(KeyConfiguration key, SymmetricSuite suite, IBufferWriter<byte> output) =>
        Start(key, suite, output, []);

    /// <summary>With given randomness, for vectors.</summary>
    internal static ChunkedRequestSealer Start(
        KeyConfiguration key, SymmetricSuite suite, IBufferWriter<byte> output, ReadOnlySpan<byte> randomness)
    {
        // enc, ctx = SetupBaseS(public_key, "message/bhttp chunked request" ‖ 0x00 ‖ hdr)
        var header = RequestHeader.Of(key, suite);
        var context = SenderContext.SetupBase(key.PublicKey, suite, MessageForm.Chunked.Info(header), randomness);
        // request = hdr ‖ enc ‖ …
        var beginning = output.GetSpan(RequestHeader.Size + context.Enc.Length);
        header.Write(beginning);
        context.Enc.CopyTo(beginning[RequestHeader.Size..]);
        output.Advance(RequestHeader.Size + context.Enc.Length);
        return new ChunkedRequestSealer(context, output);
    }

    /// <summary>Opens the one answer. The opener lives on when this request is disposed of.</summary>
    /// <exception cref="InvalidOperationException">An answer was opened already.</exception>
    public ChunkedAnswerOpener OpenAnswer(PipeReader input, ChunkLimits limits)
    {
        if (isAnswered)
            throw new InvalidOperationException("A request has one answer.");
        isAnswered = true;
        return new ChunkedAnswerOpener(new AnswerSecret(context, context.Enc, MessageForm.Chunked), input, limits);
    }

    protected override void Dispose(bool disposing)
    {
        context.Dispose();
        base.Dispose(disposing);
    }
}

/// <summary>Opens a request with the keys of a node, and seals its answer. Disposal clears the keys of the request.</summary>
public sealed class ChunkedRequestOpener : ChunkOpener
{
    private readonly ObliviousKeyRing keys;
    private ObliviousKey? key;
    private RequestHeader header;
    private byte[] enc = [];
    private RecipientContext? context;
    private bool isAnswered;

    /// <param name="keys">They have to live until the first chunk was read.</param>
    /// <param name="input">The body.</param>
    /// <param name="limits">Of this node.</param>
    public ChunkedRequestOpener(ObliviousKeyRing keys, PipeReader input, ChunkLimits limits)
        : base(input, limits, RequestHeader.Size) => this.keys = keys;

    /// <summary>The encapsulated key: what a replay has in common with its original. Empty until a chunk has opened.</summary>
    public ReadOnlyMemory<byte> Enc => HasOpened ? enc : default;

    /// <summary><c>hdr ‖ enc</c>, with which the request began: it names the request among all others. Empty until a chunk has opened.</summary>
    public ReadOnlyMemory<byte> Encapsulation
    {
        get
        {
            if (!HasOpened)
                return default;
            var bytes = new byte[RequestHeader.Size + enc.Length];
            header.Write(bytes);
            enc.CopyTo(bytes.AsSpan(RequestHeader.Size));
            return bytes;
        }
    }

    /// <summary>The key that the request names; null until a chunk has opened.</summary>
    public KeyConfiguration? Key => HasOpened ? key!.Configuration : null;

    /// <summary>Begins the one answer: writes its nonce. The sealer lives on when this request is disposed of.</summary>
    /// <exception cref="InvalidOperationException">No chunk has opened: there is nobody to answer to. Or there is an answer.</exception>
    public ChunkedAnswerSealer SealAnswer(IBufferWriter<byte> output)
    {
        Span<byte> response_nonce = stackalloc byte[64];
        using var secret = TakeAnswerSecret();
        response_nonce = response_nonce[..secret.NonceSize];
        RandomNumberGenerator.Fill(response_nonce);
        return new ChunkedAnswerSealer(secret, response_nonce, output);
    }

    /// <summary>With a given nonce, for vectors: a repeated one repeats the answer's key.</summary>
    internal ChunkedAnswerSealer SealAnswer(IBufferWriter<byte> output, ReadOnlySpan<byte> response_nonce)
    {
        using var secret = TakeAnswerSecret();
        return new ChunkedAnswerSealer(secret, response_nonce, output);
    }

    private protected override OpenOutcome Begin(ReadOnlySpan<byte> beginning, ref int size, ref SequencedAead? messages)
    {
        // 1 hdr names a key of ours and a suite that it offers: else KeyUnknown
        if (key is null)
        {
            header = RequestHeader.Read(beginning);
            if (!keys.TryFind(header, out key))
                return OpenOutcome.KeyUnknown;
            size += key.PrivateKey.PublicKey.Mechanism.Nenc;
            return OpenOutcome.Opened;
        }

        // 2 ctx = SetupBaseR(enc, private key, "message/bhttp chunked request" ‖ 0x00 ‖ hdr)
        enc = beginning[RequestHeader.Size..].ToArray();
        if (!RecipientContext.TrySetupBase(key.PrivateKey, header.Suite, enc, MessageForm.Chunked.Info(header), out context))
            return OpenOutcome.CannotBeOpened;
        messages = context.Messages;
        return OpenOutcome.Opened;
    }

    protected override void Dispose(bool disposing)
    {
        context?.Dispose();
        base.Dispose(disposing);
    }

    private AnswerSecret TakeAnswerSecret()
    {
        if (!HasOpened)
            throw new InvalidOperationException("No chunk of the request has opened: there is nobody to answer to.");
        if (isAnswered)
            throw new InvalidOperationException("A request has one answer.");
        isAnswered = true;
        return new AnswerSecret(context!, enc, MessageForm.Chunked);
    }
}
