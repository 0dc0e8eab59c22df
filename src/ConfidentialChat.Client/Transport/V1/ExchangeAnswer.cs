// spec/envelope-v1.md sections 7 and 8.
using System.Security.Cryptography;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client.Transport.V1;

/// <summary>Opens an answer under the key of its request. Nothing is parsed, and so nothing can be believed, before it has authenticated.</summary>
internal sealed class ExchangeAnswer(Exchange exchange, SealedRequest request, VerifiedNode node, bool isStream, CallClock clock)
    : OpenedAnswer(isStream), IEventTarget
{
    private const string NoOrder =
        "The node does not say the order of a stream's events: it is older than this client, or of another make, and what is dropped on the way "
        + "could not be seen.\nhint: have the node updated, or ask for the answer whole";

    // One for all events of a stream. Not from a pool: a caller who keeps a piece too long sees zeros or a later event, and nobody else's.
    private byte[] buffer = [];
    private readonly EventOrder order = new();
    private ReadOnlyMemory<byte> opened;
    private bool isAuthentic;
    private EventTurn turn;
    private bool isEnumerated;

    public override VerifiedNode Node => node;

    public override VerifiedReceipt? Receipt => null;

    public override int Attempts => exchange.Attempts.Count;

    /// <summary>Opens the data of one event, where the stream's reader has it.</summary>
    public void Take(string? name, ReadOnlySpan<byte> data)
    {
        var plaintext = Open(data);
        if (!isAuthentic)
            return;
        turn = order.Take(plaintext.Span, out var start);
        opened = opened[start..];
    }

    public override async ValueTask DisposeAsync()
    {
        await exchange.DisposeAsync().ConfigureAwait(false);
        request.Dispose();
        clock.Dispose();
        CryptographicOperations.ZeroMemory(buffer);
    }

    private protected override async Task<ReadOnlyMemory<byte>> OpenWholeAsync()
    {
        var body = await exchange.ReadWholeAsync().ConfigureAwait(false);
        Open(body.Span);
        return Authentic();
    }

    private protected override async IAsyncEnumerable<OpenedEvent> OpenEventsAsync()
    {
        // A second enumeration would go on where the first was left, and know nothing of what it saw.
        if (isEnumerated)
            throw new InvalidOperationException("An answer is read once.");
        isEnumerated = true;
        var ending = new StreamEnding();
        while (await exchange.ReadEventAsync(this).ConfigureAwait(false))
        {
            var data = InTurn();
            ending.Note(data.Span);
            yield return new OpenedEvent(null, data);
        }

        if (!order.IsEnded || !ending.IsReached)
            throw exchange.Truncated();
    }

    private Memory<byte> Open(ReadOnlySpan<byte> sealedJson)
    {
        CryptographicOperations.ZeroMemory(buffer);
        if (buffer.Length < sealedJson.Length)
            buffer = new byte[sealedJson.Length];
        isAuthentic = request.Answer.TryOpen(sealedJson, buffer, out var size);
        opened = buffer.AsMemory(0, size).TrimEnd((byte)' '); // the blanks that padded it
        return buffer.AsMemory(0, opened.Length);
    }

    private ReadOnlyMemory<byte> InTurn()
    {
        var data = Authentic();
        return turn switch
        {
            EventTurn.Next => data,
            EventTurn.Unnumbered => throw new InvalidAnswerException(NoOrder) { Attempts = Attempts },
            _ => throw new AnswerAuthenticationException { Attempts = Attempts },
        };
    }

    private ReadOnlyMemory<byte> Authentic() => isAuthentic ? opened : throw new AnswerAuthenticationException { Attempts = Attempts };
}
