// spec/oblivious-v2.md section 10.
namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>What came of opening a chunk or a whole message.</summary>
public enum OpenOutcome
{
    /// <summary>A chunk opened, and it is not the last.</summary>
    Opened,

    /// <summary>The last chunk opened, or the whole message: nothing is missing.</summary>
    Final,

    /// <summary>The request names a key, or a suite of it, that is not held.</summary>
    KeyUnknown,

    /// <summary>It does not authenticate. Which part of it does not is not said.</summary>
    CannotBeOpened,

    /// <summary>It ends before its final chunk: whatever was opened so far is unfinished.</summary>
    Truncated,

    /// <summary>A chunk is longer than the limit.</summary>
    ChunkTooLarge,

    /// <summary>It has more chunks than the limit.</summary>
    TooManyChunks,

    /// <summary>It has more bytes than the limit.</summary>
    TooLarge,
}

/// <summary>One read of a <see cref="ChunkOpener"/>.</summary>
/// <param name="Outcome">Whether it opened.</param>
/// <param name="Plaintext">The chunk, valid until the next read or disposal; empty where nothing opened.</param>
public readonly record struct OpenedChunk(OpenOutcome Outcome, ReadOnlyMemory<byte> Plaintext)
{
    public bool IsOpened => Outcome is OpenOutcome.Opened or OpenOutcome.Final;
}

/// <summary>Thrown by streams, which have no other way to say that a message is not to be believed.</summary>
public sealed class MessageNotOpenedException(OpenOutcome outcome) : IOException($"The message did not open: {outcome}.")
{
    public OpenOutcome Outcome { get; } = outcome;
}
