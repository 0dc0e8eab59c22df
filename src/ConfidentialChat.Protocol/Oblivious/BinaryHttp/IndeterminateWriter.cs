// spec/binary-http.md sections 1 and 2; RFC 9292 section 3.2.
using System.Buffers;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>How the length of a content chunk is written.</summary>
public enum ChunkLengthForm
{
    /// <summary>In 1, 2, 4 or 8 bytes.</summary>
    Shortest,

    /// <summary>Always in 4 bytes, so that the prefix tells nothing and its size is known beforehand.</summary>
    FourBytes,
}

/// <summary>Writes a message whose content is still arriving: head, chunks, trailers. Leaves nothing out, adds no padding.</summary>
public sealed class IndeterminateWriter
{
    private readonly IBufferWriter<byte> output;
    private readonly ChunkLengthForm form;
    private long? declared;
    private bool mayBeAbsent; // a response to HEAD, or 304, declares what it would have sent
    private long written;
    private Step step;

    public IndeterminateWriter(IBufferWriter<byte> output, ChunkLengthForm form = ChunkLengthForm.Shortest)
    {
        ArgumentNullException.ThrowIfNull(output);
        this.output = output;
        this.form = form;
    }

    private enum Step
    {
        Head,
        Content,
        Done,
    }

    /// <exception cref="InvalidOperationException">There is a head already.</exception>
    public void WriteHead(RequestHead head)
    {
        ArgumentNullException.ThrowIfNull(head);
        Demand(Step.Head);
        Varint.Write(output, (long)Framing.IndeterminateLengthRequest);
        head.WriteControl(output);
        head.Fields.WriteIndeterminateLength(output);
        _ = head.Fields.TryGetContentLength(out declared);
        step = Step.Content;
    }

    /// <exception cref="InvalidOperationException">There is a head already.</exception>
    public void WriteHead(ResponseHead head)
    {
        ArgumentNullException.ThrowIfNull(head);
        Demand(Step.Head);
        Varint.Write(output, (long)Framing.IndeterminateLengthResponse);
        head.Write(output, knownLength: false);
        mayBeAbsent = true;
        _ = head.Fields.TryGetContentLength(out declared);
        step = Step.Content;
    }

    /// <summary>Writes one chunk; nothing where it is empty, since that would be the terminator.</summary>
    /// <exception cref="InvalidOperationException">There is no head, or the message is complete.</exception>
    public void WriteContent(ReadOnlySpan<byte> chunk)
    {
        Demand(Step.Content);
        if (chunk.IsEmpty)
            return;
        written += chunk.Length;
        if (form == ChunkLengthForm.FourBytes)
        {
            if (chunk.Length > Varint.MaxFourByteValue)
                throw new ArgumentException("Too long for a length of 4 bytes.", nameof(chunk));
            Varint.Write(output.GetSpan(sizeof(uint))[..sizeof(uint)], chunk.Length);
            output.Advance(sizeof(uint));
        }
        else
        {
            Varint.Write(output, chunk.Length);
        }

        output.Write(chunk);
    }

    /// <summary>Ends the content and writes the trailers. Padding may follow.</summary>
    /// <exception cref="ArgumentException">A content-length is no trailer.</exception>
    /// <exception cref="InvalidOperationException">There is no head, the message is complete, or its content-length was wrong.</exception>
    public void Complete(FieldSection trailers)
    {
        ArgumentNullException.ThrowIfNull(trailers);
        Demand(Step.Content);
        if (trailers.Contains(FieldSection.ContentLength))
            throw new ArgumentException("A content-length is no trailer.", nameof(trailers));
        if (declared is not null && declared != written && !(written == 0 && mayBeAbsent))
            throw new InvalidOperationException("The content is not as long as its content-length.");
        Varint.Write(output, 0);
        trailers.WriteIndeterminateLength(output);
        step = Step.Done;
    }

    private void Demand(Step due)
    {
        if (step != due)
            throw new InvalidOperationException($"{due} is not due: {step} is.");
    }
}
