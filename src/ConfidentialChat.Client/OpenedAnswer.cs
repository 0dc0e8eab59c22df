using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>
/// An answer that has begun, opened here as it is read: either whole or in events, and once. Disposal erases what was opened, and closes the
/// connection of an answer that was not read to its end, which stops the node. Not safe for concurrent use.
/// </summary>
/// <remarks>
/// The cancellation and the timeouts of the call hold for reading too. The time that the caller takes between two reads does not count.
/// </remarks>
public abstract class OpenedAnswer : IAsyncDisposable
{
    private readonly bool isStream;
    private bool isRead;

    private protected OpenedAnswer(bool isStream) => this.isStream = isStream;

    /// <summary><c>text/event-stream</c>, to be read in events, or the media type of a whole answer.</summary>
    public string ContentType => isStream ? "text/event-stream" : "application/json";

    /// <summary>Whether it comes in events.</summary>
    public bool IsStream => isStream;

    /// <summary>Who answers.</summary>
    public abstract VerifiedNode Node { get; }

    /// <summary>How gateway, node and receipt call the request that it answers; null in envelope v1.</summary>
    public virtual RequestId? Request => null;

    /// <summary>How many attempts were made until it began.</summary>
    public abstract int Attempts { get; }

    /// <summary>The answer's receipt, once it was read to its end and where one was demanded; null else.</summary>
    public abstract VerifiedReceipt? Receipt { get; }

    /// <summary>Reads all of a whole answer.</summary>
    /// <returns>What the node's engine wrote, byte for byte, without the blanks that padded it; valid until disposal.</returns>
    /// <exception cref="InvalidOperationException">It is a stream, or was read before.</exception>
    /// <exception cref="ConfidentialChatException">Anything but an authentic answer.</exception>
    public Task<ReadOnlyMemory<byte>> ReadWholeAsync()
    {
        Begin(asStream: false);
        return OpenWholeAsync();
    }

    /// <summary>Reads a stream, event by event.</summary>
    /// <returns>
    /// Enumerated once. It ends without an exception only if the answer is whole: a stream never ends silently short.
    /// </returns>
    /// <exception cref="InvalidOperationException">It is no stream, or was read before.</exception>
    /// <exception cref="ConfidentialChatException">Thrown by the enumeration. What was handed out before is authentic.</exception>
    public IAsyncEnumerable<OpenedEvent> ReadEventsAsync()
    {
        Begin(asStream: true);
        return OpenEventsAsync();
    }

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();

    private protected abstract Task<ReadOnlyMemory<byte>> OpenWholeAsync();

    private protected abstract IAsyncEnumerable<OpenedEvent> OpenEventsAsync();

    private void Begin(bool asStream)
    {
        if (asStream != isStream)
            throw new InvalidOperationException(
                isStream ? "The answer is a stream: ReadEventsAsync reads it." : "The answer is whole: ReadWholeAsync reads it.");
        if (isRead)
            throw new InvalidOperationException("An answer is read once.");
        isRead = true;
    }
}

/// <summary>One event of a stream, opened.</summary>
/// <param name="Name">The event's name, of responses and messages its type; null where it has none.</param>
/// <param name="Data">
/// What the node's engine wrote, byte for byte, without its place in the stream and the blanks
/// that padded it. Valid until the next event is asked for; erased when that is opened, and when the answer is disposed of.
/// </param>
public readonly record struct OpenedEvent(string? Name, ReadOnlyMemory<byte> Data);
