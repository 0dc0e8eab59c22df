// spec/oblivious-v2.md section 7.
using System.Buffers;
using System.IO.Pipelines;
using ConfidentialChat.Protocol.Hpke;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>Seals the answer to one request: see <see cref="ChunkedRequestOpener.SealAnswer(IBufferWriter{byte})"/>.</summary>
public sealed class ChunkedAnswerSealer : ChunkSealer
{
    public const string MediaType = "message/ohttp-chunked-res";

    internal ChunkedAnswerSealer(AnswerSecret secret, ReadOnlySpan<byte> response_nonce, IBufferWriter<byte> output)
        : base(secret.DeriveKey(response_nonce), output)
    {
        // answer = response_nonce ‖ …
        response_nonce.CopyTo(output.GetSpan(response_nonce.Length));
        output.Advance(response_nonce.Length);
    }
}

/// <summary>Opens the answer to one request: see <see cref="ChunkedRequestSealer.OpenAnswer"/>.</summary>
public sealed class ChunkedAnswerOpener : ChunkOpener
{
    private readonly AnswerSecret secret;

    internal ChunkedAnswerOpener(AnswerSecret secret, PipeReader input, ChunkLimits limits)
        : base(input, limits, secret.NonceSize) => this.secret = secret;

    private protected override OpenOutcome Begin(ReadOnlySpan<byte> beginning, ref int size, ref SequencedAead? messages)
    {
        messages = secret.DeriveKey(beginning);
        secret.Dispose();
        return OpenOutcome.Opened;
    }

    protected override void Dispose(bool disposing)
    {
        secret.Dispose();
        base.Dispose(disposing);
    }
}
