// spec/envelope-v2.md sections 6 and 10.
using System.Security.Cryptography;
using ConfidentialChat.Client.Receipts;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport.V2;

/// <summary>A success from inside, whole or in events. Nothing is handed out that has not authenticated.</summary>
internal sealed class InnerOpenedAnswer : OpenedAnswer, IEventTarget
{
    private readonly InnerAnswer answer;
    private readonly Exchange exchange;
    private readonly ReceiptDemand? receipts;
    private readonly CallClock clock;
    private readonly InferenceApi api;

    // One for all events of a stream: a caller who keeps a piece too long sees zeros or a later event, and nobody else's.
    private byte[] buffer = [];
    private int size;
    private string? eventName;
    private bool isEnumerated;

    /// <summary>Takes the answer and the clock, and disposes of them.</summary>
    public InnerOpenedAnswer(InnerAnswer answer, PlainRequest request, Attempts attempts, ReceiptDemand? receipts, CallClock clock)
        : base(answer.IsStream)
    {
        this.receipts = receipts;
        api = request.Endpoint.Row().Api;
        this.answer = answer;
        this.clock = clock;
        exchange = new Exchange(request.IsPaced ? new UnpaddedStream(answer) : answer, api is not InferenceApi.OpenAI, clock, attempts);
    }

    public override VerifiedNode Node => answer.Node;

    public override RequestId? Request => answer.Request;

    public override VerifiedReceipt? Receipt => answer.Receipt;

    public override int Attempts => exchange.Attempts.Count;

    public void Take(string? name, ReadOnlySpan<byte> data)
    {
        CryptographicOperations.ZeroMemory(buffer);
        if (buffer.Length < data.Length)
            buffer = new byte[data.Length];
        data.CopyTo(buffer);
        size = data.Length;
        eventName = name;
    }

    public override async ValueTask DisposeAsync()
    {
        await exchange.DisposeAsync().ConfigureAwait(false);
        clock.Dispose();
        CryptographicOperations.ZeroMemory(buffer);
    }

    private protected override async Task<ReadOnlyMemory<byte>> OpenWholeAsync()
    {
        buffer = new byte[4 << 10];
        while (await exchange.ReadPieceAsync(Room()).ConfigureAwait(false) is > 0 and var read)
        {
            size += read;
            if (size > GatewayConnection.MaxBodySize)
                throw new InvalidAnswerException($"The answer is larger than {GatewayConnection.MaxBodySize} bytes.") { Attempts = Attempts };
        }

        TellOfReceipt();
        return buffer.AsMemory(0, size);
    }

    private protected override async IAsyncEnumerable<OpenedEvent> OpenEventsAsync()
    {
        // A second enumeration would go on where the first was left, and know nothing of what it saw.
        if (isEnumerated)
            throw new InvalidOperationException("An answer is read once.");
        isEnumerated = true;
        var ending = new StreamEnding(api);
        while (await ReadEventAsync().ConfigureAwait(false))
        {
            var data = buffer.AsMemory(0, size);
            ending.Note(data.Span);
            yield return new OpenedEvent(eventName, data);
        }

        // The engine's own end is not the message's: the final chunk has to have come too.
        await exchange.ReadEndAsync().ConfigureAwait(false);
        TellOfReceipt();
        if (!ending.IsReached)
            throw exchange.Truncated();
    }

    private async ValueTask<bool> ReadEventAsync()
    {
        try
        {
            return await exchange.ReadEventAsync(this).ConfigureAwait(false);
        }
        catch (StreamTruncatedException)
        {
            TellOfReceipt(); // there is one where the node said that its engine broke off
            throw;
        }
    }

    private void TellOfReceipt()
    {
        if (answer.Receipt is { } receipt)
            receipts?.OnReceipt?.Invoke(receipt);
    }

    private Memory<byte> Room()
    {
        if (size == buffer.Length)
        {
            var larger = new byte[buffer.Length * 2];
            buffer.CopyTo(larger, 0);
            CryptographicOperations.ZeroMemory(buffer);
            buffer = larger;
        }

        return buffer.AsMemory(size);
    }
}
