// spec/binary-http.md section 3; RFC 9292 section 3.4.
using System.Text;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>Reads a request of either length in pieces.</summary>
public sealed class RequestReader(BinaryHttpLimits limits) : MessageReader(limits)
{
    private readonly string[] strings = new string[4]; // method, scheme, authority, path
    private VarintReader varint;
    private ByteCollector bytes;
    private int index;
    private int length = -1; // of the string that comes now; -1 before it is known
    private int kept;

    /// <summary>The head, once <see cref="MessagePart.Head"/> has been told; null before.</summary>
    public RequestHead? Head { get; private set; }

    private protected override bool MayEndAfterControl => true;

    private protected override bool MayDeclareAbsentContent => false;

    private protected override bool IsDue(Framing framing) => framing is Framing.KnownLengthRequest or Framing.IndeterminateLengthRequest;

    private protected override bool TryReadControl(ref ReadOnlySpan<byte> input, out BinaryHttpError error)
    {
        error = BinaryHttpError.None;
        for (; index < strings.Length; index++, length = -1)
        {
            if (length < 0)
            {
                if (!varint.TryRead(ref input, out var announced))
                    return false;
                if (announced > Limits.MaxControlDataSize - kept)
                {
                    error = BinaryHttpError.ControlDataTooLarge;
                    return false;
                }

                length = (int)announced;
                kept += length;
            }

            if (!bytes.TryRead(ref input, length, out var text))
                return false;
            error = index switch
            {
                0 => ControlData.CheckMethod(text),
                1 => ControlData.CheckScheme(text),
                2 => ControlData.CheckAuthority(text),
                _ => ControlData.CheckPath(text, strings[0]),
            };
            if (error != BinaryHttpError.None)
                return false;
            strings[index] = Encoding.Latin1.GetString(text);
        }

        return true;
    }

    private protected override bool AddHeaderSection(FieldSection fields, out BinaryHttpError error)
    {
        var control = new RequestHead.CheckedControl(strings[0], strings[1], strings[2], strings[3]);
        error = ControlData.CheckHost(control.Authority, fields);
        if (error != BinaryHttpError.None)
            return false;
        if (!fields.TryGetContentLength(out var declared))
        {
            error = BinaryHttpError.InvalidContentLength;
            return false;
        }

        DeclaredContentLength = declared;
        Head = new RequestHead(control, fields);
        return true;
    }
}
