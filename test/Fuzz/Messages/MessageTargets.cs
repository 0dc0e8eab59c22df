// spec/binary-http.md, and spec/oblivious-v2.md section 10: a message, or one of their outcomes.
using System.Buffers;
using System.IO.Pipelines;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;

namespace ConfidentialChat.Fuzz.Messages;

/// <summary>Each takes any bytes, and throws where a promise of the parser is broken. Nothing of what is fuzzed may run before the first input.</summary>
internal static class MessageTargets
{
    // A fixed key, so that an input does the same again.
    private static readonly Lazy<ObliviousKeyRing> Ring = new(() => new(
        new ObliviousKey(1, HpkePrivateKey.Import(KemId.DhkemX25519, [.. Enumerable.Repeat((byte)2, 32)]), [SymmetricSuite.Default])));

    public static IReadOnlyDictionary<string, Action<byte[]>> All { get; } = new Dictionary<string, Action<byte[]>>(StringComparer.Ordinal)
    {
        ["binary-http"] = BinaryHttp,
        ["chunks"] = Chunks,
    };

    // Byte 0 is where the message behind it is cut in two: however it arrives, it is the same message or the same fault.
    private static void BinaryHttp(byte[] bytes)
    {
        if (bytes is not [var cut, .. var message])
            return;
        _ = BinaryRequest.TryParse(message, BinaryHttpLimits.Default, out var request, out var requestError);
        _ = BinaryResponse.TryParse(message, BinaryHttpLimits.Default, out var response, out var responseError);
        Demand((request is null) == (requestError != BinaryHttpError.None), "a request is either read or refused");
        Demand((response is null) == (responseError != BinaryHttpError.None), "a response is either read or refused");
        Demand(request is null || response is null, "a message of both kinds");
        Demand(Read(new RequestReader(BinaryHttpLimits.Default), message, cut) == requestError, "a cut changes a request");
        Demand(Read(new ResponseReader(BinaryHttpLimits.Default), message, cut) == responseError, "a cut changes a response");
        var written = new ArrayBufferWriter<byte>();
        if (request is not null)
        {
            request.Write(written);
            _ = BinaryRequest.TryParse(written.WrittenMemory, BinaryHttpLimits.Default, out var again, out _);
            Demand(request.Equals(again), "a request changes when written anew");
        }
        else if (response is not null)
        {
            response.Write(written);
            _ = BinaryResponse.TryParse(written.WrittenMemory, BinaryHttpLimits.Default, out var again, out _);
            Demand(response.Equals(again), "a response changes when written anew");
        }
    }

    private static BinaryHttpError Read(MessageReader reader, byte[] message, int cut)
    {
        cut = Math.Min(cut, message.Length);
        foreach (var (from, to) in (ReadOnlySpan<(int, int)>)[(0, cut), (cut, message.Length)])
        {
            var input = message.AsSpan(from, to - from);
            ReadOnlySpan<byte> rest = input;
            while (true)
            {
                var part = reader.Read(ref rest, isFinal: to == message.Length, out _);
                if (part == MessagePart.NeedMore)
                    break;
                if (part is MessagePart.End or MessagePart.Invalid)
                    return reader.Error;
            }

            Demand(rest.IsEmpty, "NeedMore leaves nothing over");
        }

        return BinaryHttpError.Truncated;
    }

    /// <summary>
    /// Of a key that an input cannot know, it says what to seal: byte 0 is the size of the pieces in which the stream arrives (0: the rest is the
    /// stream as it stands), then operations of two bytes, kind and size, with the bytes that they are about.
    /// </summary>
    private static void Chunks(byte[] bytes)
    {
        if (bytes is not [var size, .. var script])
            return;
        var limits = ChunkLimits.Request with { MaxChunks = 16, MaxBytes = 2_000 };
        var stream = new ArrayBufferWriter<byte>();
        var (chunks, isFinished) = size == 0 ? ([], false) : Write(script, stream);
        if (size == 0)
            stream.Write(script);
        using var opener = new ChunkedRequestOpener(Ring.Value, Pieces(stream.WrittenMemory, Math.Max(1, (int)size)), limits);
        var opened = 0;
        while (true)
        {
            var read = opener.ReadAsync().AsTask();
            Demand(read.IsCompleted, "a read waits for what cannot come");
            var (outcome, plaintext) = read.GetAwaiter().GetResult();
            if (outcome is not (OpenOutcome.Opened or OpenOutcome.Final))
            {
                Demand(plaintext.IsEmpty, "plaintext of a chunk that did not open");
                break;
            }

            Demand(opened < chunks.Count && plaintext.Span.SequenceEqual(chunks[opened]), "what opened was not sealed, or not here");
            opened++;
            if (outcome == OpenOutcome.Opened)
                continue;
            Demand(isFinished && opened == chunks.Count, "an end in the middle");
            break;
        }
    }

    private static (List<byte[]> Chunks, bool IsFinished) Write(ReadOnlySpan<byte> script, ArrayBufferWriter<byte> stream)
    {
        var chunks = new List<byte[]>();
        var key = Ring.Value.Published.Configurations[0];
        using var sealer = ChunkedRequestSealer.Start(key, SymmetricSuite.Default, stream, [.. Enumerable.Repeat((byte)3, 32)]);
        while (script is [var kind, var size, .. var rest])
        {
            var content = rest[..Math.Min(size, rest.Length)];
            script = rest[content.Length..];
            if (kind % 3 == 0 && !content.IsEmpty && !sealer.IsFinished)
            {
                sealer.Seal(content);
                chunks.Add(content.ToArray());
            }
            else if (kind % 3 == 1 && !sealer.IsFinished)
            {
                sealer.SealFinal(content);
                chunks.Add(content.ToArray());
            }
            else
            {
                stream.Write(content);
            }
        }

        return (chunks, sealer.IsFinished);
    }

    private static PipeReader Pieces(ReadOnlyMemory<byte> bytes, int size)
    {
        if (bytes.IsEmpty)
            return PipeReader.Create(ReadOnlySequence<byte>.Empty);
        Piece? first = null, last = null;
        for (var at = 0; at < bytes.Length; at += size)
        {
            last = new Piece(bytes.Slice(at, Math.Min(size, bytes.Length - at)), last);
            first ??= last;
        }

        return PipeReader.Create(new ReadOnlySequence<byte>(first!, 0, last!, last!.Memory.Length));
    }

    private static void Demand(bool holds, string what)
    {
        if (!holds)
            throw new InvalidOperationException(what);
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> memory, Piece? before)
        {
            Memory = memory;
            if (before is null)
                return;
            RunningIndex = before.RunningIndex + before.Memory.Length;
            before.Next = this;
        }
    }
}
