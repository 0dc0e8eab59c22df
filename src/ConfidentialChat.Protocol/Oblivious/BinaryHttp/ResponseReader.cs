// spec/binary-http.md section 1; RFC 9292 section 3.5.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

// offset  name            size
// 0       status          (i) = 100..199  } any number of times
// …       header section                  }
// …       status          (i) = 200..599
/// <summary>Reads a response of either length in pieces.</summary>
public sealed class ResponseReader(BinaryHttpLimits limits) : MessageReader(limits)
{
    private readonly List<InformationalResponse> informational = [];
    private VarintReader varint;
    private int status;

    /// <summary>The head, once <see cref="MessagePart.Head"/> has been told; null before.</summary>
    public ResponseHead? Head { get; private set; }

    private protected override bool MayEndAfterControl => ResponseHead.IsFinal(status);

    // A response to HEAD, or 304, declares what it would have sent.
    private protected override bool MayDeclareAbsentContent => true;

    private protected override bool IsDue(Framing framing) => framing is Framing.KnownLengthResponse or Framing.IndeterminateLengthResponse;

    private protected override bool TryReadControl(ref ReadOnlySpan<byte> input, out BinaryHttpError error)
    {
        error = BinaryHttpError.None;
        if (!varint.TryRead(ref input, out var code))
            return false;
        if (!InformationalResponse.IsInformational(code) && !ResponseHead.IsFinal(code))
            error = BinaryHttpError.InvalidStatus;
        else if (InformationalResponse.IsInformational(code) && informational.Count == Limits.MaxInformationalResponses)
            error = BinaryHttpError.TooManyInformationalResponses;
        else
            status = (int)code;
        return error == BinaryHttpError.None;
    }

    private protected override bool AddHeaderSection(FieldSection fields, out BinaryHttpError error)
    {
        var isInformational = InformationalResponse.IsInformational(status);
        if (!fields.TryGetContentLength(out var declared) || (isInformational && declared is not null))
        {
            error = BinaryHttpError.InvalidContentLength;
            return false;
        }

        error = BinaryHttpError.None;
        if (isInformational)
        {
            informational.Add(new InformationalResponse(status, fields));
            return false;
        }

        DeclaredContentLength = declared;
        Head = new ResponseHead(status, fields, [.. informational]);
        return true;
    }
}
