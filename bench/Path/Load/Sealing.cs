using System.Buffers;
using ConfidentialChat.Bench.WholePath.Servers;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Bench.WholePath.Load;

/// <summary>A sealed request that is ready to be sent, and what opens its answer.</summary>
/// <param name="Bytes">The whole HTTP request.</param>
/// <param name="Request">Opens the answer.</param>
internal sealed record SealedBytes(byte[] Bytes, SealedRequest Request)
{
    public const string Path = "/v1/confidential/chat/completions";

    public static SealedBytes Make(Uri to, X25519PublicKey nodeKey, StackId stack, in Shape shape, byte[] json, string? headers, string model = Engine.Model)
    {
        var outer = new OuterFields { NodeKey = nodeKey, Model = model, Stack = stack, Stream = shape.IsStream };
        if (!SealedRequest.TrySeal(json, outer, out var request))
            throw new LostAnswerException("the node's key is no good");
        var envelope = new ArrayBufferWriter<byte>(4096);
        request.Envelope.Write(envelope);
        return new SealedBytes(RawConnection.Post(to, Path, envelope.WrittenSpan, headers), request);
    }

    /// <summary>Whether every object of a sealed answer opens, and together they are whole.</summary>
    public bool IsWhole(in Shape shape, ReadOnlyMemory<byte> body)
    {
        if (!shape.IsStream)
            return Request.Answer.TryOpen(body, out var whole) && shape.IsWhole(whole);
        var (events, isFinished, order) = (0, false, new EventOrder());
        while (body.Span.IndexOf("\n\n"u8) is >= 0 and var length)
        {
            var line = body[..length];
            body = body[(length + 2)..];
            if (line.Span[0] == ':')
                continue; // keep-alive
            if (!Request.Answer.TryOpen(line["data: ".Length..], out var json) || order.Take(json, out _) != EventTurn.Next)
                return false;
            events++;
            isFinished |= json.AsSpan().IndexOf("\"finish_reason\":\"stop\""u8) > 0;
        }

        return isFinished && order.IsEnded && events >= shape.Chunks + 1;
    }
}
