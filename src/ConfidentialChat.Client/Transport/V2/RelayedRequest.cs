// spec/envelope-v2.md sections 3, 4, 6 and 10.
using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ConfidentialChat.Client.Receipts;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Shape;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Transport.V2;

/// <summary>One request on its way to verified nodes: every attempt under an id of its own, and sealed anew.</summary>
internal sealed class RelayedRequest(GatewayConnection connection, NodeDirectory directory, TimeProvider time, Attempts attempts, CallClock clock)
{
    private VerifiedNode? lost; // once a call
    private TimeSpan? clockError; // likewise
    private bool isDearer; // likewise

    public required PlainRequest Request { get; init; }

    public Action<VerifiedNode>? OnNode { get; init; }

    /// <summary>Whether the answer has to bring a receipt.</summary>
    public bool KeepsReceipt { get; init; }

    /// <summary>Makes one attempt, with the repetitions that section 10 has of itself.</summary>
    /// <returns>An inner success.</returns>
    public async Task<InnerAnswer> AttemptAsync()
    {
        var node = await directory.ChooseAsync(Request.Model, clock).ConfigureAwait(false);
        while (true)
        {
            UnitPrices? price = null;
            try
            {
                return await SendAsync(node, price = directory.PriceOf(Request.Model, node)).ConfigureAwait(false);
            }
            catch (GatewayApiException e) when ((e.IsKeyUnknown || e.IsNodeGone) && lost is null)
            {
                // Whoever is on the way could say so: what follows is no more than one look, and a verified key again.
                lost = node;
                node = await directory.ChooseAnewAsync(Request.Model, lost, clock).ConfigureAwait(false);
            }
            catch (GatewayApiException e) when (e.IsPriceChanged && !isDearer)
            {
                isDearer = true;
                node = await directory.ChooseAgainAsync(Request.Model, node, price, clock).ConfigureAwait(false);
            }
            catch (NodeApiException e) when (e.Date is not null && clockError is null)
            {
                clockError = e.Date.Value - time.GetUtcNow(); // for this request alone: the next one believes the own clock again
            }

            attempts.CountAnother();
        }
    }

    private async Task<InnerAnswer> SendAsync(VerifiedNode node, UnitPrices? price)
    {
        OnNode?.Invoke(node);
        var call = new InnerCall
        {
            Method = "POST",
            Path = Request.Endpoint.Row().Path,
            Model = Request.Model,
            Request = new RequestId(Guid.NewGuid()), // version 4: it tells no time
            MaxUnits = UnitBound.Of(Request),
            Date = InnerCall.Minute(time.GetUtcNow() + clockError.GetValueOrDefault()),
            IsPaced = Request.IsPaced && Request.Stream,
            AnthropicVersion = Request.AnthropicVersion,
            AnthropicBeta = Request.AnthropicBeta,
            Body = Request.Json,
        };
        using var sealedCall = Seal(call, node, price, out var awaited);
        var response = await connection.RelayAsync(node, price, sealedCall.Body, call, clock).ConfigureAwait(false);
        InnerAnswer? answer = null;
        try
        {
            var body = await response.Content.ReadAsStreamAsync(clock.Token).ConfigureAwait(false);
            answer = new InnerAnswer(node, response, sealedCall.Open(PipeReader.Create(body), awaited is null ? 0 : ReceiptFile.MaxPartSize), clock)
            {
                Request = call.Request,
                Awaited = awaited,
            };
            await answer.ReadHeadAsync().ConfigureAwait(false);
            if (answer.Status != 200)
                throw await answer.ReadErrorAsync().ConfigureAwait(false);
            clock.Pause();
            return answer;
        }
        catch
        {
            if (answer is not null)
                await answer.DisposeAsync().ConfigureAwait(false);
            else
                response.Dispose();
            throw;
        }
    }

    // The exact bytes of a request that gets a receipt are kept until that is there.
    private SealedCall Seal(InnerCall call, VerifiedNode node, UnitPrices? price, out AwaitedReceipt? awaited)
    {
        awaited = null;
        if (!KeepsReceipt)
            return SealedCall.Seal(call, node.Key, node.Suite);
        var message = new ArrayBufferWriter<byte>(MessagePadding.PaddedSize(call.Body.Length + 8192)); // grown, it would leave a copy behind
        var size = call.Write(message);
        var sealedCall = SealedCall.Seal(message.WrittenSpan, node.Key, node.Suite);
        awaited = new AwaitedReceipt(node, sealedCall.Encapsulation.ToArray(), message.WrittenSpan[..size].ToArray(), price);
        CryptographicOperations.ZeroMemory(MemoryMarshal.AsMemory(message.WrittenMemory).Span);
        return sealedCall;
    }
}
