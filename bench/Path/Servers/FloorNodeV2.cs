// spec/envelope-v2.md sections 4 to 6 and 8, spec/receipts.md section 2 where it signs, and nothing of what a node does beside them.
using System.Buffers;
using System.IO.Pipelines;
using System.Net.Http.Headers;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Bench.WholePath.Servers;

/// <summary>
/// What a node cannot leave out: the KEM, the chunks, Binary HTTP, the engine, a padded and sealed answer, with a receipt and a voucher or without.
/// No state, no checks.
/// </summary>
internal sealed class FloorNodeV2
{
    private static readonly KeySetDigest KeySet = new(new byte[KeySetDigest.Size]);
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly ObliviousKey key = ObliviousKey.Generate(1, KemId.MlKem768X25519, [SymmetricSuite.Default]);
    private readonly HttpMessageInvoker invoker = new(Connections.Handler());
    private readonly ObliviousKeyRing ring;
    private readonly Uri chat;
    private readonly Ed25519PrivateKey? signing;
    private readonly FloorVouchers? vouchers;

    public FloorNodeV2(Uri engine, bool signs)
    {
        ring = new ObliviousKeyRing(key);
        signing = signs ? Ed25519PrivateKey.Generate(out _) : null;
        vouchers = signing is null ? null : new FloorVouchers(signing, KeySet, engine);
        chat = new Uri(engine, "v1/chat/completions");
    }

    /// <summary>The list of key configurations.</summary>
    public string PublicKey
    {
        get
        {
            var list = new ArrayBufferWriter<byte>();
            ring.Published.Write(list);
            return Convert.ToBase64String(list.WrittenSpan);
        }
    }

    public async Task ServeAsync(HttpContext http)
    {
        var size = (int)http.Request.ContentLength!.Value;
        var body = ArrayPool<byte>.Shared.Rent(size);
        await http.Request.Body.ReadExactlyAsync(body.AsMemory(0, size), http.RequestAborted);
        using var opener = new ChunkedRequestOpener(ring, PipeReader.Create(new ReadOnlySequence<byte>(body, 0, size)), ChunkLimits.Request);
        var length = 0;
        for (OpenedChunk chunk; (chunk = await opener.ReadAsync()).IsOpened;)
        {
            chunk.Plaintext.CopyTo(body.AsMemory(length)); // what is opened is shorter than what it was sealed to
            length += chunk.Plaintext.Length;
            if (chunk.Outcome == OpenOutcome.Final)
                break;
        }

        if (!BinaryRequest.TryParse(body.AsMemory(0, length), BinaryHttpLimits.Default, out var request, out _))
            throw new InvalidDataException();
        http.Response.ContentType = ChunkedAnswerSealer.MediaType;
        using var sealedAnswer = new SealedAnswerWriter(opener.SealAnswer(http.Response.BodyWriter));
        await http.Response.BodyWriter.FlushAsync(http.RequestAborted); // the answer's nonce: section 5 rule 5
        var id = RequestId.New();
        if (signing is not null)
            sealedAnswer.Record(Draft(id, opener.Encapsulation.Span, body.AsSpan(0, length)));

        using var message = new HttpRequestMessage(HttpMethod.Post, chat) { Content = new ReadOnlyMemoryContent(request.Content) };
        message.Content.Headers.ContentType = Json;
        using var answer = await invoker.SendAsync(message, http.RequestAborted);
        var from = await answer.Content.ReadAsStreamAsync(http.RequestAborted);
        var type = answer.Content.Headers.ContentType!.MediaType!;
        FieldSection fields = [new Field("content-type", type)];
        if (type == "text/event-stream")
            await StreamAsync(http, from, sealedAnswer, fields);
        else
            await WholeAsync(http, from, (int)answer.Content.Headers.ContentLength!.Value, sealedAnswer, fields);
        ArrayPool<byte>.Shared.Return(body, clearArray: true);
        vouchers?.Take(id);
    }

    private static ReceiptDraft Draft(RequestId request, ReadOnlySpan<byte> encapsulation, ReadOnlySpan<byte> message)
    {
        var draft = new ReceiptDraft
        {
            KeySet = KeySet,
            Request = request,
            Model = Engine.Model,
            Weights = null,
            MaxUnits = ComputeUnits.Default,
            Encapsulation = Sha256.Hash(encapsulation),
        };
        draft.HashRequest(message);
        return draft;
    }

    private ReceiptClosing? Closing() => signing is null ? null : new ReceiptClosing(default, DateTimeOffset.UtcNow, signing);

    private async Task WholeAsync(HttpContext http, Stream from, int size, SealedAnswerWriter to, FieldSection fields)
    {
        var content = ArrayPool<byte>.Shared.Rent(size);
        await from.ReadExactlyAsync(content.AsMemory(0, size), http.RequestAborted);
        to.WriteWhole(200, fields, content.AsSpan(0, size), Closing());
        ArrayPool<byte>.Shared.Return(content);
        await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
    }

    // Whatever has come is sealed event by event and goes out in one write.
    private async Task StreamAsync(HttpContext http, Stream from, SealedAnswerWriter to, FieldSection fields)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(64 * 1024);
        to.BeginStream(fields);
        while (await from.ReadAsync(buffer, http.RequestAborted) is > 0 and var read)
        {
            to.WriteEvents(buffer.AsSpan(0, read));
            await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
        }

        to.EndStream(Closing());
        await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
        ArrayPool<byte>.Shared.Return(buffer);
    }
}
