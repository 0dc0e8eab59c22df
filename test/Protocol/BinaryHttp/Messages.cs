using System.Buffers;
using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>Messages to send, to break and to make up.</summary>
internal static class Messages
{
    public static BinaryHttpLimits Limits => BinaryHttpLimits.Default;

    /// <summary>Is set where the long runs are wanted.</summary>
    public static BinaryRequest Chat { get; } = new(
        new RequestHead(
            "POST", "https", "api.example.net", "/v1/chat/completions", [new("content-type", "application/json"), new("accept", "*/*")]),
        """{"model":"tiny","messages":[{"role":"user","content":"Hello!"}]}"""u8.ToArray(),
        [new("digest", "none")]);

    public static BinaryResponse Answer { get; } = new(
        new ResponseHead(200, [new("content-type", "application/json")], new InformationalResponse(103, [new("link", "</a>")])),
        """{"choices":[]}"""u8.ToArray(),
        [new("confidential-receipt", "c2lnbmF0dXJl")]);

    public static Gen<Field> Fields { get; } = Gen.Select(
        Gen.OneOf("a", "content-type", "x-stainless-os", "!#$%&'*+-.^_`|~", "0", "cookie", new string('n', 300)),
        Gen.OneOf(
            Gen.OneOf("", "v", "application/json", "\u00e9\u00ff\u0080", "a b\tc", new string('v', 70)),
            Gen.Char['!', '\u00FF'].Array[0, 20].Select(chars => new string(chars))),
        (name, value) => new Field(name, value));

    public static Gen<FieldSection> Sections { get; } = Fields.Array[0, 5].Select(fields => FieldSection.Create(fields));

    public static Gen<RequestHead> RequestHeads { get; } = Gen.Select(
        Gen.OneOf("GET", "POST", "OPTIONS", "x"),
        Gen.OneOf("https", "http", "a+-.9"),
        Gen.OneOf("", "example.com", "[::1]:443"),
        Gen.OneOf("/", "/v1/models", "/a?b=%20&c", "/" + new string('p', 200)),
        Sections,
        (method, scheme, authority, path, fields) => new RequestHead(method, scheme, authority, path, fields));

    public static Gen<ResponseHead> ResponseHeads { get; } = Gen.Select(
        Gen.Int[200, 599],
        Sections,
        Gen.Select(Gen.Int[100, 199], Sections, (status, fields) => new InformationalResponse(status, fields)).Array[0, 3],
        (status, fields, informational) => new ResponseHead(status, fields, informational));

    public static Gen<byte[]> Contents { get; } = Gen.OneOf(Gen.Byte.Array[0, 80], Gen.Byte.Array[16_380, 16_390]);

    public static Gen<BinaryRequest> Requests { get; } =
        Gen.Select(RequestHeads, Contents, Sections, (head, content, trailers) => new BinaryRequest(head, content, trailers));

    public static Gen<BinaryResponse> Responses { get; } =
        Gen.Select(ResponseHeads, Contents, Sections, (head, content, trailers) => new BinaryResponse(head, content, trailers));

    public static byte[] Write(Action<IBufferWriter<byte>> write)
    {
        var output = new ArrayBufferWriter<byte>();
        write(output);
        return output.WrittenSpan.ToArray();
    }

    public static byte[] Hex(string hex) => Convert.FromHexString(string.Concat(hex.Where(c => !char.IsWhiteSpace(c))));

    /// <summary>Bytes from parts: text, numbers as one byte each, or bytes.</summary>
    public static byte[] Bytes(params object[] parts) =>
    [
        .. parts.SelectMany(part => part switch
        {
            string text => Encoding.Latin1.GetBytes(text),
            int number => [checked((byte)number)],
            byte[] bytes => bytes,
            _ => throw new ArgumentException("Neither text nor number nor bytes.", nameof(parts)),
        }),
    ];

    /// <summary>A string with its length before it.</summary>
    public static byte[] Text(string text) => Write(output => ControlData.Write(output, text));

    /// <summary>GET https://example.com/ up to the end of its control data.</summary>
    public static byte[] Get(Framing framing = Framing.KnownLengthRequest) =>
        Bytes((int)framing, Text("GET"), Text("https"), Text("example.com"), Text("/"));

    /// <summary>GET with these field lines as its known-length header section.</summary>
    public static byte[] GetWith(params byte[][] lines)
    {
        var section = lines.SelectMany(line => line).ToArray();
        return Bytes(Get(), Integer(section.Length), section);
    }

    public static byte[] Integer(long value) => Write(output => Varint.Write(output, value));

    public static byte[] Integer(long value, int size)
    {
        var bytes = new byte[size];
        Varint.Write(bytes, value);
        return bytes;
    }

    public static BinaryHttpError RequestError(byte[] message, BinaryHttpLimits? limits = null)
    {
        BinaryRequest.TryParse(message, limits ?? Limits, out var request, out var error).ShouldBe(error == BinaryHttpError.None);
        (request is null).ShouldBe(error != BinaryHttpError.None);
        return error;
    }

    public static BinaryHttpError ResponseError(byte[] message, BinaryHttpLimits? limits = null)
    {
        BinaryResponse.TryParse(message, limits ?? Limits, out var response, out var error).ShouldBe(error == BinaryHttpError.None);
        (response is null).ShouldBe(error != BinaryHttpError.None);
        return error;
    }

    public static BinaryRequest Request(byte[] message)
    {
        _ = BinaryRequest.TryParse(message, Limits, out var request, out var error);
        error.ShouldBe(BinaryHttpError.None);
        return request!;
    }

    public static BinaryResponse Response(byte[] message)
    {
        _ = BinaryResponse.TryParse(message, Limits, out var response, out var error);
        error.ShouldBe(BinaryHttpError.None);
        return response!;
    }

    /// <summary>What a reader tells of a message that arrives cut at these places.</summary>
    public static Reading Read(MessageReader reader, ReadOnlySpan<byte> message, params ReadOnlySpan<int> cuts)
    {
        var content = new ArrayBufferWriter<byte>();
        var order = "";
        var start = 0;
        for (var i = 0; i <= cuts.Length; i++)
        {
            var end = i < cuts.Length ? cuts[i] : message.Length;
            var input = message[start..end];
            start = end;
            while (true)
            {
                var part = reader.Read(ref input, isFinal: i == cuts.Length, out var piece);
                content.Write(piece);
                if (part == MessagePart.NeedMore)
                    break;
                if (part != MessagePart.Content)
                    order += part.ToString()[0];
                if (part is MessagePart.End or MessagePart.Invalid)
                    return Told(part);
            }

            input.IsEmpty.ShouldBeTrue("NeedMore leaves nothing over");
        }

        return Told(MessagePart.NeedMore);

        Reading Told(MessagePart last) => new(
            order,
            last == MessagePart.Invalid ? "" : Convert.ToHexString(content.WrittenSpan),
            reader.Error,
            last == MessagePart.Invalid ? null : (reader as RequestReader)?.Head,
            last == MessagePart.Invalid ? null : (reader as ResponseReader)?.Head,
            last == MessagePart.Invalid ? null : reader.Trailers,
            last == MessagePart.Invalid ? null : reader.EndOfContent,
            last == MessagePart.Invalid ? null : reader.EndOfMessage);
    }
}

/// <summary>All that a reader tells, to compare: the order of the parts by their first letters, and what is in them.</summary>
internal sealed record Reading(
    string Order,
    string Content,
    BinaryHttpError Error,
    RequestHead? Request,
    ResponseHead? Response,
    FieldSection? Trailers,
    long? EndOfContent,
    long? EndOfMessage);
