// spec/attestation.md section 18, "The report".

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>One measurement of a report.</summary>
/// <param name="Index">1 to 254.</param>
/// <param name="ValueType">DMTFSpecMeasurementValueType: bit 7 says that the value is no digest.</param>
/// <param name="Value">A SHA-384, or what the type says.</param>
public sealed record MeasurementBlock(int Index, byte ValueType, ReadOnlyMemory<byte> Value)
{
    private const byte Raw = 0x80;

    public bool IsDigest => (ValueType & Raw) == 0;
}

/// <summary>
/// A report of a GPU or switch as NVML gives it: the SPDM 1.1 request for all measurements, and the signed response to it. Parsed, not verified.
/// Sizes in bytes.
/// </summary>
public sealed class MeasurementReport
{
    public const int NonceSize = 32;
    internal const int SignatureSize = 96; // r and s of P-384, big endian
    private const int RequestSize = 37;
    private const int ResponseHeaderSize = 8;

    private MeasurementReport(ReadOnlyMemory<byte> bytes, IReadOnlyList<MeasurementBlock> measurements, ReadOnlyMemory<byte> opaqueData)
    {
        Bytes = bytes;
        Measurements = measurements;
        OpaqueBytes = opaqueData;
    }

    /// <summary>All of it.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>32: the requester's, which the signature covers.</summary>
    public ReadOnlyMemory<byte> Nonce => Bytes.Slice(4, NonceSize);

    /// <summary>In the order of their indices, none twice.</summary>
    public IReadOnlyList<MeasurementBlock> Measurements { get; }

    /// <summary>What <see cref="OpaqueData"/> reads.</summary>
    public ReadOnlyMemory<byte> OpaqueBytes { get; }

    internal ReadOnlySpan<byte> Signed => Bytes.Span[..^SignatureSize];

    internal ReadOnlySpan<byte> Signature => Bytes.Span[^SignatureSize..];

    /// <summary>Reads a report; other versions of SPDM and other messages are refused by name.</summary>
    /// <param name="bytes">At most 64 KiB; copied.</param>
    /// <param name="report">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlySpan<byte> bytes, out MeasurementReport? report)
    {
        report = null;
        if (bytes.Length > Bounds.SpdmReport)
            return Rejection.TooLarge(Bounds.SpdmReport, bytes.Length);
        if (bytes.Length < RequestSize + ResponseHeaderSize)
            return Rejection.Malformed($"at least {RequestSize + ResponseHeaderSize} bytes", $"{bytes.Length}");
        var request = bytes;
        var response = bytes[RequestSize..];
        if (request[0] != 0x11 || response[0] != 0x11)
            return new Rejection(RejectionCode.Unsupported, "SPDM 1.1", $"version 0x{request[0]:x2} and 0x{response[0]:x2}");
        if (request[1] != 0xE0 || request[2] != 1 || request[3] != 0xFF)
            return new Rejection(RejectionCode.Unsupported, "e0 01 ff, a request for all measurements, signed", Shown.Hex(request[1..4]));
        if (response[1] != 0x60 || response[2] != 0 || response[3] != 0)
            return new Rejection(RejectionCode.Unsupported, "60 00 00, measurements", Shown.Hex(response[1..4]));
        if (request[RequestSize - 1] != 0)
            return new Rejection(RejectionCode.Unsupported, "certificate slot 0", $"{request[RequestSize - 1]}");

        var copy = bytes.ToArray();
        var reader = new ByteReader(copy.AsMemory(RequestSize + ResponseHeaderSize));
        var count = response[4];
        var record = reader.Take(response[5] | (response[6] << 8) | (response[7] << 16));
        reader.Take(NonceSize); // the responder's
        var opaqueData = reader.Take(reader.UInt16());
        reader.Take(SignatureSize);
        if (reader.HasFailed || reader.Remaining != 0)
            return Rejection.Malformed("sizes that fill the report exactly", reader.HasFailed ? "too few bytes" : $"{reader.Remaining} bytes more");
        if (Read(record, count, out var measurements) is { } rejection)
            return rejection;
        report = new MeasurementReport(copy, measurements!, opaqueData);
        return null;
    }

    /// <summary>The measurement of an index, or null where the report has none.</summary>
    public MeasurementBlock? Measurement(int index) => Measurements.FirstOrDefault(block => block.Index == index);

    private static Rejection? Read(ReadOnlyMemory<byte> record, int count, out List<MeasurementBlock>? measurements)
    {
        measurements = null;
        var blocks = new List<MeasurementBlock>(count);
        var reader = new ByteReader(record);
        while (blocks.Count < count && !reader.HasFailed)
        {
            var (index, specification, size) = (reader.UInt8(), reader.UInt8(), reader.UInt16());
            var (type, valueSize) = (reader.UInt8(), reader.UInt16());
            var value = reader.Take(valueSize);
            if (reader.HasFailed)
                break;
            if (specification != 1 || size != valueSize + 3)
                return Rejection.Malformed(
                    "measurements as DMTF defines them", $"specification {specification}, {size} bytes of which {valueSize} are the value");
            // Ascending: none stands twice, and the first to be found is the only one.
            if (index is 0 or 0xFF || (blocks.Count > 0 && index <= blocks[^1].Index))
                return Rejection.Malformed("measurements in the order of their indices", $"index {index}");
            if ((type & 0x80) == 0 && valueSize != 48)
                return Rejection.Malformed("digests of 48 bytes", $"{valueSize} bytes at index {index}");
            blocks.Add(new MeasurementBlock(index, type, value));
        }

        if (reader.HasFailed || reader.Remaining != 0)
            return Rejection.Malformed($"{count} measurements that fill the record", reader.HasFailed ? "too few bytes" : $"{reader.Remaining} bytes more");
        measurements = blocks;
        return null;
    }
}
