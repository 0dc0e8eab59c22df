using ConfidentialChat.Client.Receipts;

namespace ConfidentialChat.Client.Transport;

/// <summary>
/// One version of the envelope, the client's side: takes a request to a node that it may be sealed to, and gives its answer back opened.
/// What stands above it knows no version.
/// </summary>
internal interface IEnvelope
{
    /// <summary>Sends, and waits until the answer begins.</summary>
    /// <param name="request">Its bytes stay as they are until this returns.</param>
    /// <param name="attempts">Makes the attempts, each sealed anew, within the call's time.</param>
    /// <param name="onNode">Told whom an attempt seals to.</param>
    /// <param name="receipts">What the answer has to bring; null where nothing.</param>
    /// <param name="clock">The call's clock; the answer's from then on, to dispose of with it.</param>
    /// <returns>The answer; the caller disposes of it.</returns>
    /// <exception cref="ConfidentialChatException">What the last attempt met.</exception>
    Task<OpenedAnswer> SendAsync(PlainRequest request, Attempts attempts, Action<VerifiedNode>? onNode, ReceiptDemand? receipts, CallClock clock);
}
