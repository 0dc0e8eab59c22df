// spec/envelope-v2.md section 6.
using System.Globalization;
using System.Text;
using ConfidentialChat.Client.Receipts;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Transport.V2;

/// <summary>
/// An answer as it is opened: its head, and its content as a stream that ends only where all of it has authenticated. Not for concurrent use.
/// </summary>
internal sealed class InnerAnswer(VerifiedNode node, HttpResponseMessage response, SealedAnswerReader reader, CallClock clock) : ForwardStream
{
    private const string EventStream = "text/event-stream";

    private ResponseHead? head;
    private ReadOnlyMemory<byte> rest;

    public VerifiedNode Node => node;

    public required RequestId Request { get; init; }

    /// <summary>The receipt that this answer has to bring; null where none is demanded.</summary>
    public AwaitedReceipt? Awaited { get; init; }

    /// <summary>Once the answer has ended.</summary>
    public VerifiedReceipt? Receipt { get; private set; }

    public int Status => head!.Status;

    /// <summary>Null where the node names none.</summary>
    public string? ContentTypeField => head!.Fields.TryGetSingle("content-type", out var type) ? type : null;

    public bool IsStream => string.Equals(ContentTypeField?.Split(';')[0].Trim(), EventStream, StringComparison.OrdinalIgnoreCase);

    private bool IsSuccess => Status == 200;

    /// <summary>Waits for the head, past every sign of life.</summary>
    public async Task ReadHeadAsync()
    {
        try
        {
            head = await reader.ReadHeadAsync(clock.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            throw Explain(e, broken => new GatewayConnectionException(broken, response.RequestMessage?.RequestUri));
        }
    }

    /// <summary>The node's refusal. What it says beyond 64 KiB is left.</summary>
    public async Task<NodeApiException> ReadErrorAsync()
    {
        var body = new byte[GatewayConnection.MaxErrorSize];
        var size = 0;
        try
        {
            while (size < body.Length && await ReadAsync(body.AsMemory(size), clock.Token).ConfigureAwait(false) is > 0 and var read)
                size += read;
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            throw clock.Explain(e, broken => new GatewayConnectionException(broken, response.RequestMessage?.RequestUri));
        }

        var headers = head!.Fields.GroupBy(field => field.Name, StringComparer.OrdinalIgnoreCase)
            .ToDictionary(group => group.Key, IReadOnlyList<string> (group) => [.. group.Select(field => field.Value)], StringComparer.OrdinalIgnoreCase);
        var retryAfter = head.Fields.TryGetSingle("retry-after", out var wait)
            && int.TryParse(wait, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            ? TimeSpan.FromSeconds(seconds)
            : (TimeSpan?)null;
        var date = head.Fields.TryGetSingle("date", out var text)
            && DateTimeOffset.TryParseExact(text, "r", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at)
            ? at
            : (DateTimeOffset?)null;
        return new NodeApiException(new ApiAnswer(Status, Encoding.UTF8.GetString(body, 0, size), headers, retryAfter), date);
    }

    /// <exception cref="StreamTruncatedException">It ends without its final chunk.</exception>
    /// <exception cref="AnswerAuthenticationException">What comes is not this answer.</exception>
    /// <exception cref="ReceiptException">The receipt that was demanded is absent or refused.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty)
            return 0;
        if (rest.IsEmpty)
        {
            try
            {
                rest = await reader.ReadContentAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (MessageNotOpenedException e)
            {
                // A node whose engine broke off says so, and what it had used, before it lets the message end too early.
                if (e.Outcome == OpenOutcome.Truncated && IsSuccess && reader.Trailers is not null)
                    Receipt ??= Awaited?.Take(reader, isFinal: false);
                throw Explain(e, broken => broken);
            }

            if (rest.IsEmpty && IsSuccess)
                Receipt ??= Awaited?.Take(reader, isFinal: true);
        }

        var taken = Math.Min(buffer.Length, rest.Length);
        rest[..taken].CopyTo(buffer);
        rest = rest[taken..];
        return taken;
    }

    // Closes the connection of an answer that was not read to its end, which stops the node.
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            rest = default;
            response.Dispose();
            reader.Dispose();
        }

        base.Dispose(disposing);
    }

    private Exception Explain(Exception failure, Func<Exception, Exception> broken) => failure switch
    {
        MessageNotOpenedException { Outcome: OpenOutcome.Truncated } => new StreamTruncatedException(failure),
        MessageNotOpenedException { Outcome: OpenOutcome.CannotBeOpened } => new AnswerAuthenticationException(),
        MessageNotOpenedException => new InvalidAnswerException($"The answer is beyond what is opened: {failure.Message}"),
        _ => clock.Explain(failure, broken),
    };
}
