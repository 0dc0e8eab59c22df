// spec/envelope-v2.md, the client's side.
using ConfidentialChat.Client.Receipts;

namespace ConfidentialChat.Client.Transport.V2;

/// <summary>Envelope v2: seals all of a request to a verified node, and opens its answer.</summary>
internal sealed class EnvelopeV2(GatewayConnection connection, NodeDirectory directory, TimeProvider time) : IEnvelope
{
    public async Task<OpenedAnswer> SendAsync(
        PlainRequest request, Attempts attempts, Action<VerifiedNode>? onNode, ReceiptDemand? receipts, CallClock clock)
    {
        var answer = await BeginAsync(request, attempts, onNode, receipts, clock).ConfigureAwait(false);
        try
        {
            if (answer.IsStream == request.Stream)
                return new InnerOpenedAnswer(answer, request, attempts, receipts, clock);
            throw new InvalidAnswerException("The answer is authentic, but of another kind than was asked for.") { Attempts = attempts.Count };
        }
        catch
        {
            await answer.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Sends, and waits for the head of an inner success, whatever kind of answer it is. The clock is paused then.</summary>
    /// <returns>The answer; the caller disposes of it.</returns>
    public async Task<InnerAnswer> BeginAsync(
        PlainRequest request, Attempts attempts, Action<VerifiedNode>? onNode, ReceiptDemand? receipts, CallClock clock)
    {
        var relayed = new RelayedRequest(connection, directory, time, attempts, clock)
        {
            Request = request,
            OnNode = onNode,
            KeepsReceipt = receipts is not null,
        };
        return await attempts.RunAsync(relayed.AttemptAsync).ConfigureAwait(false);
    }
}
