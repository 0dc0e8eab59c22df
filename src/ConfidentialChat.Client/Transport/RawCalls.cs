using ConfidentialChat.Client.Receipts;

namespace ConfidentialChat.Client.Transport;

/// <summary>The calls on which all others stand that are sealed here: JSON bytes in, opened bytes out. Safe for concurrent use.</summary>
internal sealed class RawCalls(IEnvelope envelope, ConfidentialChatOptions options)
{
    public async Task<OpenedAnswer> SendAsync(PlainRequest request, CallOptions? call, CancellationToken cancellation)
    {
        var plain = request.With(call, options);
        var clock = CallClock.Start(options, call, cancellation);
        try
        {
            var attempts = new Attempts(call?.Retries ?? options.Retries, clock, isSealedAnew: true);
            return await envelope.SendAsync(plain, attempts, call?.OnNode, ReceiptDemand.Of(options, call), clock).ConfigureAwait(false);
        }
        catch
        {
            clock.Dispose();
            throw;
        }
    }
}
