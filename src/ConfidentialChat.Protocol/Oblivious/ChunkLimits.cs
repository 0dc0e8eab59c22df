// spec/oblivious-v2.md section 9.
namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>How much of a message is opened before it is refused.</summary>
public sealed record ChunkLimits
{
    /// <summary>Bytes of plaintext of a chunk that every receiver takes and every sender of ours keeps to; the draft's section 3.</summary>
    public const int ChunkSize = 16_384;

    /// <summary>Of a request to a node.</summary>
    public static ChunkLimits Request { get; } = new() { MaxChunkSize = ChunkSize, MaxChunks = 4_096, MaxBytes = 32L << 20 };

    /// <summary>Of an answer.</summary>
    public static ChunkLimits Answer { get; } = new() { MaxChunkSize = ChunkSize, MaxChunks = 1L << 20, MaxBytes = 1L << 30 };

    /// <summary>Bytes of plaintext of one chunk, from <see cref="ChunkSize"/> to 16 MiB. An opener holds twice as much.</summary>
    public required int MaxChunkSize
    {
        get;
        init
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, ChunkSize);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, 1 << 24);
            field = value;
        }
    }

    /// <summary>Chunks, the final one included.</summary>
    public required long MaxChunks { get; init; }

    /// <summary>Sealed bytes, tags included, lengths between them not.</summary>
    public required long MaxBytes { get; init; }
}
