// spec/binary-http.md sections 1 and 5 to 7; RFC 9292 sections 3.1, 3.2, 3.3 and 3.8.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

// offset  name             size
// 0       framing          (i) = 0..3
// …       control data     RequestReader, ResponseReader
// …       header section   FieldSectionReader
// …       content          known length: length (i), bytes; else chunks: length (i) = 1.., bytes; terminator (i) = 0
// …       trailer section  FieldSectionReader
// …       padding          zeros
/// <summary>
/// Reads one message in pieces that are cut anywhere, in constant memory. Content is handed out before the rest of the
/// message is known to be valid. Not safe for two threads at once.
/// </summary>
public abstract class MessageReader
{
    private readonly FieldSectionReader section;
    private VarintReader varint;
    private Step step;
    private bool knownLength;
    private bool contentBegun; // a chunk of indeterminate content has come, so its terminator has to
    private long contentSize; // handed out or about to be
    private long chunkRemaining;
    private long taken; // bytes of all earlier calls

    private protected MessageReader(BinaryHttpLimits limits)
    {
        ArgumentNullException.ThrowIfNull(limits);
        Limits = limits;
        section = new FieldSectionReader(limits);
    }

    private enum Step
    {
        Framing,
        Control,
        HeaderSection,
        ContentLength,
        Content,
        TrailerSection,
        Padding,
        End,
        Invalid,
    }

    /// <summary>Why the bytes are no message, once <see cref="MessagePart.Invalid"/> has been told.</summary>
    public BinaryHttpError Error { get; private set; }

    /// <summary>The trailer section, once <see cref="MessagePart.Trailers"/> has been told; null before.</summary>
    public FieldSection? Trailers { get; private set; }

    /// <summary>The offset after the content and its terminator, as soon as it is known. Receipts hash the answer up to here.</summary>
    public long? EndOfContent { get; private set; }

    /// <summary>The offset after the trailer section, where padding may follow. Receipts hash the request up to here.</summary>
    public long? EndOfMessage { get; private set; }

    private protected BinaryHttpLimits Limits { get; }

    /// <summary>The size that the head declares for the content.</summary>
    private protected long? DeclaredContentLength { get; set; }

    /// <summary>Whether the message is of this reader's kind.</summary>
    private protected abstract bool IsDue(Framing framing);

    /// <summary>Takes bytes until the control data are whole. False: more has to come, or <paramref name="error"/> is set.</summary>
    private protected abstract bool TryReadControl(ref ReadOnlySpan<byte> input, out BinaryHttpError error);

    /// <summary>Whether the message may end after the control data read last.</summary>
    private protected abstract bool MayEndAfterControl { get; }

    /// <summary>Takes the section after the control data. True when the head is whole, false when more control data follow.</summary>
    private protected abstract bool AddHeaderSection(FieldSection fields, out BinaryHttpError error);

    /// <summary>Whether content that is not there may have been declared.</summary>
    private protected abstract bool MayDeclareAbsentContent { get; }

    /// <summary>Goes on to the next part. To be called again with the rest until it tells NeedMore, End or Invalid.</summary>
    /// <param name="input">What has arrived; comes back shorter by what was taken.</param>
    /// <param name="isFinal">Whether nothing follows this input.</param>
    /// <param name="content">Some of the content, a slice of the input, where the answer is <see cref="MessagePart.Content"/>.</param>
    public MessagePart Read(ref ReadOnlySpan<byte> input, bool isFinal, out ReadOnlySpan<byte> content)
    {
        var available = input.Length;
        var part = Advance(ref input, available, isFinal, out content);
        taken += available - input.Length;
        return part;
    }

    private MessagePart Advance(ref ReadOnlySpan<byte> input, int available, bool isFinal, out ReadOnlySpan<byte> content)
    {
        content = default;
        while (true)
        {
            BinaryHttpError error;
            switch (step)
            {
                case Step.Framing:
                    if (!varint.TryRead(ref input, out var indicator))
                        return Starve(isFinal);
                    if (indicator > (long)Framing.IndeterminateLengthResponse)
                        return Fail(BinaryHttpError.UnknownFraming);
                    if (!IsDue((Framing)indicator))
                        return Fail(BinaryHttpError.UnexpectedFraming);
                    knownLength = (Framing)indicator is Framing.KnownLengthRequest or Framing.KnownLengthResponse;
                    step = Step.Control;
                    break;

                case Step.Control:
                    if (!TryReadControl(ref input, out error))
                        return error == BinaryHttpError.None ? Starve(isFinal) : Fail(error);
                    section.Start(knownLength);
                    step = Step.HeaderSection;
                    break;

                case Step.HeaderSection:
                    if (!TryReadSection(ref input, isFinal, MayEndAfterControl, out var starved))
                        return starved;
                    step = Step.ContentLength;
                    if (AddHeaderSection(section.Take(), out error))
                        return MessagePart.Head;
                    if (error != BinaryHttpError.None)
                        return Fail(error);
                    step = Step.Control;
                    break;

                case Step.ContentLength:
                    if (!TryReadContentLength(ref input, isFinal, out var length, out starved))
                        return starved;
                    if (length > Limits.MaxContentSize - contentSize)
                        return Fail(BinaryHttpError.ContentTooLarge);
                    contentSize += length;
                    chunkRemaining = length;
                    if (!IsAsDeclared(isWhole: knownLength || length == 0))
                        return Fail(BinaryHttpError.InvalidContentLength);
                    if (length == 0)
                    {
                        EndContent(taken + available - input.Length);
                        break;
                    }

                    contentBegun = true;
                    step = Step.Content;
                    break;

                case Step.Content:
                    if (input.IsEmpty)
                        return Starve(isFinal);
                    content = input[..(int)Math.Min(input.Length, chunkRemaining)];
                    input = input[content.Length..];
                    chunkRemaining -= content.Length;
                    if (chunkRemaining == 0 && knownLength)
                        EndContent(taken + available - input.Length);
                    else if (chunkRemaining == 0)
                        step = Step.ContentLength;
                    return MessagePart.Content;

                case Step.TrailerSection:
                    if (!TryReadSection(ref input, isFinal, mayBeAbsent: true, out starved))
                        return starved;
                    Trailers = section.Take();
                    if (Trailers.Contains(FieldSection.ContentLength))
                        return Fail(BinaryHttpError.InvalidContentLength);
                    EndOfMessage = taken + available - input.Length;
                    step = Step.Padding;
                    return MessagePart.Trailers;

                case Step.Padding:
                    if (input.ContainsAnyExcept((byte)0))
                        return Fail(BinaryHttpError.NonZeroPadding);
                    input = default;
                    if (!isFinal)
                        return MessagePart.NeedMore;
                    step = Step.End;
                    return MessagePart.End;

                case Step.End:
                    return MessagePart.End;

                default:
                    return MessagePart.Invalid;
            }
        }
    }

    private bool TryReadSection(ref ReadOnlySpan<byte> input, bool isFinal, bool mayBeAbsent, out MessagePart starved)
    {
        starved = MessagePart.NeedMore;
        if (section.TryRead(ref input, out var error) || (error == BinaryHttpError.None && isFinal && mayBeAbsent && section.IsUntouched))
            return true;
        starved = error == BinaryHttpError.None ? Starve(isFinal) : Fail(error);
        return false;
    }

    // Absent content has the length 0.
    private bool TryReadContentLength(ref ReadOnlySpan<byte> input, bool isFinal, out long length, out MessagePart starved)
    {
        starved = MessagePart.NeedMore;
        if (varint.TryRead(ref input, out length) || (isFinal && !varint.IsPending && !contentBegun))
            return true;
        starved = Starve(isFinal);
        return false;
    }

    private bool IsAsDeclared(bool isWhole) =>
        DeclaredContentLength is not { } declared
        || contentSize == declared
        || (isWhole ? contentSize == 0 && MayDeclareAbsentContent : contentSize < declared);

    private void EndContent(long position)
    {
        EndOfContent = position;
        section.Start(knownLength);
        step = Step.TrailerSection;
    }

    private MessagePart Starve(bool isFinal) => isFinal ? Fail(BinaryHttpError.Truncated) : MessagePart.NeedMore;

    private MessagePart Fail(BinaryHttpError error)
    {
        Error = error;
        step = Step.Invalid;
        return MessagePart.Invalid;
    }
}
