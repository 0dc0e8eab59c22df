// spec/envelope-v2.md section 4.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.Protocol.V2;

/// <summary>What is asked inside a sealed request, and the words that bind it to the outside. Immutable.</summary>
public sealed record InnerCall
{
    private const string ModelField = "confidential-model";
    private const string RequestIdField = "confidential-request-id";
    private const string MaxUnitsField = "confidential-max-units";
    private const string DateField = "date";
    private const string ContentTypeField = "content-type";
    private const string AcceptField = "accept";
    private const string PacedField = "confidential-paced";
    private const string Paced = "?1"; // RFC 9651 section 3.3.6
    private const string AnthropicVersionField = "anthropic-version";
    private const string AnthropicBetaField = "anthropic-beta";
    private const int AnthropicMax = 1024; // characters: agents name ten betas and more
    private const string Json = "application/json";
    private const string DateFormat = "r"; // IMF-fixdate, RFC 9110 section 5.6.7

    private static readonly HashSet<string> Known = new(StringComparer.Ordinal)
    {
        ModelField, RequestIdField, MaxUnitsField, DateField, ContentTypeField, AcceptField, PacedField, AnthropicVersionField, AnthropicBetaField,
    };

    private static readonly SearchValues<char> AnthropicSigns =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ,.-_:");

    public required string Method { get; init; }

    /// <summary>Path and query.</summary>
    public required string Path { get; init; }

    public required string Model { get; init; }

    public required RequestId Request { get; init; }

    /// <summary>Prompt and completion together.</summary>
    public required ComputeUnits MaxUnits { get; init; }

    /// <summary>The client's clock, to the minute below.</summary>
    public required DateTimeOffset Date { get; init; }

    /// <summary>Null where the caller named none.</summary>
    public string? Accept { get; init; }

    /// <summary>Whether a stream is to be paced; section 12.</summary>
    public bool IsPaced { get; init; }

    /// <summary>The header of Anthropic's API; null where the caller sends none.</summary>
    public string? AnthropicVersion { get; init; }

    /// <inheritdoc cref="AnthropicVersion"/>
    public string? AnthropicBeta { get; init; }

    /// <summary>JSON, or nothing where the method has no body.</summary>
    public ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>The message as it was read, without its padding; empty of a call that was not.</summary>
    public ReadOnlyMemory<byte> Message { get; private init; }

    /// <summary>Whether a header of Anthropic's API is one that the message carries: 1 to 1024 letters, digits, blanks and <c>,.-_:</c>.</summary>
    public static bool IsAnthropicHeader(string value) =>
        value is { Length: > 0 and <= AnthropicMax } && value[0] != ' ' && value[^1] != ' ' && !value.AsSpan().ContainsAnyExcept(AnthropicSigns);

    /// <summary>The minute in which a client says to be.</summary>
    public static DateTimeOffset Minute(DateTimeOffset now) => new(now.UtcTicks - (now.UtcTicks % TimeSpan.TicksPerMinute), TimeSpan.Zero);

    /// <summary>Writes the binary message with its padding; spec/envelope-v2.md section 8.</summary>
    /// <returns>Bytes before the padding.</returns>
    /// <exception cref="ArgumentException">Method, path, model or accept are none that a message carries.</exception>
    public int Write(IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        var fields = new List<Field>
        {
            new(DateField, Date.ToString(DateFormat, CultureInfo.InvariantCulture)),
            new(ModelField, ModelText.Write(Model)),
            new(RequestIdField, Request.ToString()),
            new(MaxUnitsField, MaxUnits.Value.ToString(CultureInfo.InvariantCulture)),
        };
        if (Body.Length > 0)
            fields.Add(new Field(ContentTypeField, Json));
        if (Accept is not null)
            fields.Add(new Field(AcceptField, Accept));
        if (IsPaced)
            fields.Add(new Field(PacedField, Paced));
        if (AnthropicVersion is not null)
            fields.Add(new Field(AnthropicVersionField, AnthropicVersion));
        if (AnthropicBeta is not null)
            fields.Add(new Field(AnthropicBetaField, AnthropicBeta));
        var counted = new CountedWriter(output);
        new BinaryRequest(new RequestHead(Method, "https", "", Path, FieldSection.Create(fields.ToArray())), Body).Write(counted);
        MessagePadding.Write(output, counted.Count);
        return counted.Count;
    }

    /// <summary>Reads the binary message. Whether it fits the outside is <see cref="Fits"/>.</summary>
    /// <param name="message">Whole, with its padding; not to be changed while the call is in use.</param>
    /// <param name="call">The call.</param>
    /// <param name="rejection">Which field is at fault.</param>
    public static bool TryRead(ReadOnlyMemory<byte> message, [NotNullWhen(true)] out InnerCall? call, [NotNullWhen(false)] out Rejection? rejection)
    {
        call = null;
        rejection = null;
        // Of known length: its content lies in the message, and is copied nowhere.
        if (message.IsEmpty || message.Span[0] != (byte)Framing.KnownLengthRequest
            || !BinaryRequest.TryParse(message, BinaryHttpLimits.Default, out var request, out _, out var end))
            rejection = new Rejection(RequestError.InvalidField, "message");
        else if (request.Head.Authority.Length > 0 || request.Head.Scheme != "https" || request.Trailers.Count > 0)
            rejection = new Rejection(RequestError.InvalidField, "message");
        else if (request.Head.Fields.Any(field => !Known.Contains(field.Name)))
            rejection = new Rejection(RequestError.InvalidField, "header");
        else if (!TryRead(request, out call, out var field))
            rejection = new Rejection(RequestError.InvalidField, field);
        else
            call = call with { Message = message[..(int)end] };
        return rejection is null;
    }

    /// <summary>Whether the gateway was told of this call, and of no other.</summary>
    public Rejection? Fits(RequestId request, string model, ComputeUnits units) =>
        Request != request ? new Rejection(RequestError.InvalidField, "request_id")
        : !string.Equals(Model, model, StringComparison.Ordinal) ? new Rejection(RequestError.ModelMismatch)
        : MaxUnits != units ? new Rejection(RequestError.InvalidField, "max_units")
        : null;

    private static bool TryRead(BinaryRequest request, [NotNullWhen(true)] out InnerCall? call, out string fault)
    {
        call = null;
        var fields = request.Head.Fields;
        fault = "model";
        if (!fields.TryGetSingle(ModelField, out var encoded) || !ModelText.TryRead(encoded, out var model))
            return false;
        fault = "request_id";
        if (!fields.TryGetSingle(RequestIdField, out var id) || !RequestId.TryParse(id, out var requestId))
            return false;
        fault = "max_units";
        if (!fields.TryGetSingle(MaxUnitsField, out var text)
            || !long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var units) || units > ComputeUnits.MaxValue)
            return false;
        fault = "date";
        if (!fields.TryGetSingle(DateField, out var date)
            || !DateTimeOffset.TryParseExact(date, DateFormat, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at))
            return false;
        fault = "content_type";
        if (request.Content.Length > 0
            && !(fields.TryGetSingle(ContentTypeField, out var type) && string.Equals(type, Json, StringComparison.OrdinalIgnoreCase)))
            return false;
        fault = "accept";
        var hasAccept = fields.TryGetSingle(AcceptField, out var accept);
        if (!hasAccept && fields.Contains(AcceptField))
            return false;
        fault = "paced";
        if (fields.Contains(PacedField) && !(fields.TryGetSingle(PacedField, out var paced) && paced == Paced))
            return false;
        fault = "anthropic_version";
        if (!TryReadAnthropic(fields, AnthropicVersionField, out var version))
            return false;
        fault = "anthropic_beta";
        if (!TryReadAnthropic(fields, AnthropicBetaField, out var beta))
            return false;
        call = new InnerCall
        {
            Method = request.Head.Method,
            Path = request.Head.Path,
            Model = model,
            Request = requestId,
            MaxUnits = new ComputeUnits(units),
            Date = at,
            Accept = hasAccept ? accept : null,
            IsPaced = fields.Contains(PacedField),
            AnthropicVersion = version,
            AnthropicBeta = beta,
            Body = request.Content,
        };
        return true;
    }

    private static bool TryReadAnthropic(FieldSection fields, string name, out string? value)
    {
        value = null;
        return !fields.Contains(name) || (fields.TryGetSingle(name, out value) && IsAnthropicHeader(value!));
    }

    private sealed class CountedWriter(IBufferWriter<byte> output) : IBufferWriter<byte>
    {
        public int Count { get; private set; }

        public void Advance(int count)
        {
            output.Advance(count);
            Count += count;
        }

        public Memory<byte> GetMemory(int sizeHint = 0) => output.GetMemory(sizeHint);

        public Span<byte> GetSpan(int sizeHint = 0) => output.GetSpan(sizeHint);
    }
}
