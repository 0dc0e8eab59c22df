// spec/gateway.md section 3.
using System.Text.Json;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>A node joins, or comes back under its old number.</summary>
internal sealed class Enrolment(
    NodeMessages messages, KnownNodes nodes, DroppedKeys dropped, SigningKeys signing, IStateWriter state, ICredentialStatements credentials,
    GatewayKey gatewayKey, GatewayOptions options, TimeProvider time, ILogger<Enrolment> log)
{
    /// <summary>Enrolments whose bodies are read at once: one token may be shown by many before it is spent. Together they have 1 MiB.</summary>
    private const int MaxAtOnce = 16;

    private int atOnce;

    public async Task<IResult> HandleAsync(HttpContext context)
    {
        var now = time.GetUtcNow();
        var headers = context.Request.Headers;

        // 1 the token, without spending it: a node with a fault in its message may mend it
        if (BearerSecret.FromHeader(SecretKind.EnrolmentToken, headers.Authorization) is not { } secret)
            return messages.Refuse(context, NodeRefusal.UnknownToken);
        var token = credentials.FindEnrolmentToken(secret.Prefix); // not by the writer: whoever asks is a stranger
        if (!secret.Matches(token?.Hash) || token is null)
            return messages.Refuse(context, NodeRefusal.UnknownToken);

        // 2 the message: signed by the very key that it enrols
        if (!Ed25519PublicKey.TryParse(headers[NodeSignature.KeyHeaderName], out var identityKey))
            return messages.Refuse(context, NodeRefusal.MalformedHeaders);
        var (message, fault) = await ReadAsync(context, identityKey);
        if (message is null)
            return fault!;
        using var received = message;
        var request = message.Content;
        if (NodeAddress.FaultIn(request.Address, request.TlsPin, options.DangerousPlainHttp, out var address) is { } field)
            return new ErrorAnswer(RequestError.InvalidField, field);
        if (!Announcement.TryParse(request.Status, message.SignedAt, out var announcement, out var rejection))
            return new ErrorAnswer(rejection);

        // 3 the relay key: both halves are for this exchange alone
        using var agreement = new RelayKeyAgreement();
        if (!X25519PublicKey.TryParse(request.AgreementKey, out var nodesHalf)
            || !agreement.TryAgreeAsGateway(nodesHalf, identityKey, gatewayKey.Identity.PublicKey, out var relayKey))
            return new ErrorAnswer(RequestError.InvalidField, "agreement_key");
        byte[] sealedRelayKey;
        using (relayKey)
            sealedRelayKey = gatewayKey.Seal.Seal(relayKey, identityKey.ToString());

        // 4 one conditional UPDATE spends the token; whoever comes second finds it spent. A time that is not new is a recording.
        var card = new NodeCard { IdentityKey = identityKey.ToString(), Address = address, TlsPin = request.TlsPin, RelayKey = sealedRelayKey };
        NodeId id;
        try
        {
            id = await state.RunAsync(
                async rows => !await rows.Nodes.TrySpendTokenAsync(token, now) ? throw new StaleException(null)
                    : await rows.Nodes.TryEnrolAsync(card, announcement, now)
                        ?? throw new StaleException(await rows.Nodes.LastSignedAsync(card.IdentityKey)), // and nothing is spent
                Commit.Durably);
        }
        catch (StaleException e)
        {
            return messages.RefuseStale(context, e.Last, NodeRefusal.SpentToken);
        }

        dropped.Forget(id);
        await nodes.ReloadAsync();
        signing.Look(id);
        log.Enrolled(id);

        var answer = JsonSerializer.SerializeToUtf8Bytes(
            new EnrolmentAnswer
            {
                NodeId = id.Value,
                GatewayKey = gatewayKey.Identity.PublicKey.ToString(),
                AgreementKey = agreement.PublicKey.ToString(),
                HeartbeatSeconds = options.HeartbeatSeconds,
            },
            NodeMessageJson.Default.EnrolmentAnswer);
        context.Response.Headers[EnrolmentSignature.HeaderName] = EnrolmentSignature.Sign(gatewayKey.Identity, message.Body.Span, answer);
        return TypedResults.Bytes(answer, "application/json");
    }

    private async Task<(NodeMessage<EnrolmentRequest>? Message, ErrorAnswer? Fault)> ReadAsync(HttpContext context, Ed25519PublicKey identityKey)
    {
        try
        {
            return Interlocked.Increment(ref atOnce) > MaxAtOnce
                ? (null, new ErrorAnswer(RequestError.TooManyRequests))
                : await messages.ReadAsync(context, identityKey, NodeMessageJson.Default.EnrolmentRequest);
        }
        finally
        {
            Interlocked.Decrement(ref atOnce);
        }
    }

    /// <summary>The token was spent meanwhile, or the message is a recording.</summary>
    private sealed class StaleException(DateTimeOffset? last) : Exception
    {
        /// <summary>What the node signed last, where this is no newer.</summary>
        public DateTimeOffset? Last => last;
    }
}
