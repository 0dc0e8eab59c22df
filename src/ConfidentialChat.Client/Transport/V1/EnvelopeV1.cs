// spec/envelope-v1.md sections 1 to 3 and 13, the client's side.
using System.Security.Cryptography;
using ConfidentialChat.Client.Receipts;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client.Transport.V1;

/// <summary>Envelope v1: locks a node, seals to its verified key, and opens what comes back under the key of the request.</summary>
internal sealed class EnvelopeV1(GatewayConnection connection, NodeDirectory directory, TimeProvider time) : IEnvelope
{
    private readonly LockDesk desk = new(connection, directory);

    public async Task<OpenedAnswer> SendAsync(PlainRequest request, Attempts attempts, Action<VerifiedNode>? onNode, ReceiptDemand? receipts, CallClock clock)
    {
        if (receipts is not null)
            throw new ConfigurationException("Envelope v1 has no receipts.\nhint: leave the envelope at v2, or ask for no receipt.");
        var endpoint = EnvelopeEndpoint.Of(request.Endpoint);
        if (request.IsPaced)
            throw new ArgumentException("Envelope v1 has no paced streams.", nameof(request));
        var added = endpoint.StreamRequired && !request.SaysStream ? StreamMember.Add(request.Json.Span) : null;
        try
        {
            var dispatch = new Dispatch(connection, desk, time, clock)
            {
                Path = PathOf(endpoint),
                OnNode = onNode,
                Request = added is null ? request : request with { Json = added },
            };
            var (response, sealedRequest) = await attempts.RunAsync(dispatch.AttemptAsync).ConfigureAwait(false);
            clock.Pause();
            return new ExchangeAnswer(new Exchange(response, clock, attempts), sealedRequest, dispatch.Node!, request.Stream, clock);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(added);
        }
    }

    /// <summary>Where an endpoint is, below the server's own path.</summary>
    public static string PathOf(EnvelopeEndpoint endpoint) => endpoint.Path[1..];
}
