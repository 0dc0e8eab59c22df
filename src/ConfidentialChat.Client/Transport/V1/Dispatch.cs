// spec/envelope-v1.md sections 2, 3 and 13.
using System.Buffers;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client.Transport.V1;

/// <summary>One request on its way to a node: locked, sealed and sent, and all of it anew for every attempt.</summary>
internal sealed class Dispatch
{
    // The gateway keeps a lock that it gave back for 30 s: spec/envelope-v1.md section 12. The rest is for the way.
    private static readonly TimeSpan ReturnedLockLifetime = TimeSpan.FromSeconds(20);

    // Of an envelope over the base64 of its request, usually: the other members, blanks and tag.
    private const int Overhead = 1_024;

    private readonly GatewayConnection connection;
    private readonly LockDesk desk;
    private readonly TimeProvider time;
    private readonly CallClock clock;
    private (LockedNode Node, long Since)? returned;

    public Dispatch(GatewayConnection connection, LockDesk desk, TimeProvider time, CallClock clock)
    {
        this.connection = connection;
        this.desk = desk;
        this.time = time;
        this.clock = clock;
    }

    public required string Path { get; init; }

    public required PlainRequest Request { get; init; }

    public Action<VerifiedNode>? OnNode { get; init; }

    /// <summary>Whom the attempt that was answered was sealed to.</summary>
    public VerifiedNode? Node { get; private set; }

    /// <summary>Makes one attempt: the answer's head, and the request that opens it.</summary>
    public async Task<(HttpResponseMessage Response, SealedRequest Request)> AttemptAsync()
    {
        // A lock that the last attempt's refusal gave back still holds its units: it is used up first, or a caller who waits for room
        // would hold more and more of it. Sealed anew all the same: no ciphertext is ever sent twice.
        if (TakeReturned() is { } kept)
        {
            try
            {
                return await SendAsync(kept).ConfigureAwait(false);
            }
            catch (ApiException e) when (e.Retry is Retry.WithNewKey)
            {
                // It was not given back, or is gone by now, as others' are: a new one mends that.
            }
        }

        // 1 whom to seal to: the key of a lock
        var node = await desk.LockAsync(Request.Model, Request.Units, clock).ConfigureAwait(false);
        return await SendAsync(node).ConfigureAwait(false);
    }

    private async Task<(HttpResponseMessage Response, SealedRequest Request)> SendAsync(LockedNode node)
    {
        OnNode?.Invoke(node.Node);
        var outer = new OuterFields { NodeKey = node.Node.X25519, Model = Request.Model, Stack = node.Stack, Stream = Request.Stream, Units = Request.Units };
        // 2 seal
        if (!SealedRequest.TrySeal(Request.Json.Span, outer, out var request))
            throw new NodeKeyException();
        try
        {
            var body = new ArrayBufferWriter<byte>((Request.Json.Length / 3 * 4) + Overhead);
            request.Envelope.Write(body);
            var expected = Request.Stream ? "text/event-stream" : "application/json";
            var response = await connection.SendAsync(HttpMethod.Post, Path, body.WrittenMemory, expected, clock).ConfigureAwait(false);
            Node = node.Node;
            return (response, request);
        }
        catch (Exception e)
        {
            request.Dispose();
            if (e is ApiException refusal && RequestErrors.FromCode(refusal.Code) is { ReturnsLock: true })
                returned = (node, time.GetTimestamp());
            throw;
        }
    }

    private LockedNode? TakeReturned()
    {
        var taken = returned;
        returned = null;
        return taken is var (node, since) && time.GetElapsedTime(since) < ReturnedLockLifetime && node.Node.MayBeSealedTo(time) ? node : null;
    }
}
