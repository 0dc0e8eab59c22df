// spec/vouchers.md section 1.
using System.Formats.Cbor;
using ConfidentialChat.Protocol.Cose;

namespace ConfidentialChat.Protocol.Vouchers;

// label  value
// 1      version: 1
// 2      request id, 16 bytes
// 3      model, text
// 4      [prompt, completion, pixels]
// 5      the multiple to which they are rounded up
/// <summary>What a node says that one request used. No prompt, no answer and no hash of either. Immutable.</summary>
public sealed record Voucher
{
    /// <summary>What is signed is this, and no receipt.</summary>
    public const string ContentType = "application/vnd.confidentialchat.usage+cbor";

    /// <summary>Parts are rounded up to a multiple of no more.</summary>
    public const int MaxMultiple = 1 << 16;

    private const int Version = 1;
    private const int VersionLabel = 1, RequestLabel = 2, ModelLabel = 3, UsageLabel = 4, MultipleLabel = 5;
    private const int Labels = 5, UsageParts = 3;
    private const int RequestSize = 16;

    public required RequestId Request { get; init; }

    /// <summary>Of the relay token.</summary>
    public required string Model { get; init; }

    public required Usage Usage { get; init; }

    /// <summary>To a multiple of which each part of the usage is rounded up, unless it was cut; 1: they are exact.</summary>
    public required int Multiple { get; init; }

    /// <summary>Rounds what a request used, and cuts it to what it may use.</summary>
    /// <param name="used">Exactly.</param>
    /// <param name="multiple">1 to <see cref="MaxMultiple"/>.</param>
    /// <param name="units">The relay token's. What was above them before it was rounded stays above.</param>
    public static Usage Round(Usage used, int multiple, ComputeUnits units)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(multiple, 1);
        var rounded = new Usage(Up(used.PromptTokens), Up(used.CompletionTokens)) { Pixels = Up(used.Pixels) };
        return used.Units.CompareTo(units) > 0 ? rounded : rounded.CappedAt(units);

        long Up(long part) => part > long.MaxValue - multiple ? part : (part + multiple - 1) / multiple * multiple;
    }

    /// <summary>The map, in the one spelling that <see cref="TryRead"/> takes.</summary>
    internal byte[] Write()
    {
        var writer = new CborWriter(CborConformanceMode.Canonical);
        Span<byte> request = stackalloc byte[RequestSize];
        Request.Value.TryWriteBytes(request, bigEndian: true, out _);
        writer.WriteStartMap(Labels);
        writer.WriteInt32(VersionLabel);
        writer.WriteInt32(Version);
        writer.WriteInt32(RequestLabel);
        writer.WriteByteString(request);
        writer.WriteInt32(ModelLabel);
        writer.WriteTextString(Model);
        writer.WriteInt32(UsageLabel);
        writer.WriteStartArray(UsageParts);
        writer.WriteInt64(Usage.PromptTokens);
        writer.WriteInt64(Usage.CompletionTokens);
        writer.WriteInt64(Usage.Pixels);
        writer.WriteEndArray();
        writer.WriteInt32(MultipleLabel);
        writer.WriteInt32(Multiple);
        writer.WriteEndMap();
        return writer.Encode();
    }

    internal static CoseError TryRead(ReadOnlySpan<byte> bytes, out Voucher? voucher)
    {
        voucher = null;
        var items = new CborItems(bytes);
        if (!items.TryReadMap(out var pairs))
            return items.Fault;
        long? label = null, version = null, multiple = null;
        RequestId? request = null;
        string? model = null;
        Usage? usage = null;
        for (; pairs > 0; pairs--)
        {
            if (!items.TryReadLabel(ref label))
                return items.Fault;
            switch (label)
            {
                case VersionLabel when items.TryReadInteger(out var read):
                    version = read;
                    break;
                case RequestLabel when items.TryReadBytes(RequestSize, out var id):
                    request = new RequestId(new Guid(id, bigEndian: true));
                    break;
                case ModelLabel when items.TryReadText(out var text):
                    model = text;
                    break;
                case UsageLabel when TryReadUsage(ref items, out var parts):
                    usage = parts;
                    break;
                case MultipleLabel when items.TryReadInteger(out var read):
                    multiple = read;
                    break;
                default:
                    return items.Fault == CoseError.None ? CoseError.UnknownLabel : items.Fault;
            }
        }

        if (!items.TryEnd())
            return items.Fault;
        if (version is null || request is null || model is null || usage is null || multiple is null)
            return CoseError.MissingLabel;
        if (version != Version || !ModelNames.IsValid(model) || multiple is < 1 or > MaxMultiple)
            return CoseError.WrongValue;
        voucher = new Voucher { Request = request.Value, Model = model, Usage = usage.Value, Multiple = (int)multiple };
        return CoseError.None;
    }

    private static bool TryReadUsage(ref CborItems items, out Usage usage)
    {
        usage = default;
        if (!items.TryReadArray(UsageParts) || !items.TryReadInteger(out var prompt) || !items.TryReadInteger(out var completion)
            || !items.TryReadInteger(out var pixels))
            return false;
        if (prompt < 0 || completion < 0 || pixels < 0 || completion > long.MaxValue - prompt || pixels > long.MaxValue - prompt - completion)
            return items.Fail(CoseError.WrongValue);
        usage = new Usage(prompt, completion) { Pixels = pixels };
        return true;
    }
}
