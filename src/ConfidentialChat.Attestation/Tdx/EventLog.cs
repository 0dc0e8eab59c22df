// spec/attestation.md section 7.
using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>One event of a log.</summary>
/// <param name="Register">0 to 3.</param>
/// <param name="Digest">48 bytes, what extended the register.</param>
/// <param name="Name">The name of a runtime event, bound by its digest; null for others.</param>
/// <param name="Payload">The payload of a runtime event; empty for others.</param>
public sealed record MeasuredEvent(int Register, ReadOnlyMemory<byte> Digest, string? Name, ReadOnlyMemory<byte> Payload);

/// <summary>What extended the registers, in order. Believed only where its replay gives the quote's registers.</summary>
public sealed class EventLog
{
    private const uint NoAction = 3; // EV_NO_ACTION
    private const ushort Sha384 = 0x000C; // TPM_ALG_SHA384
    private const uint RuntimeEvent = 0x0800_0001; // DSTACK_RUNTIME_EVENT_TYPE
    private const int DigestSize = 48;

    private EventLog(IReadOnlyList<MeasuredEvent> events, bool isCcel)
    {
        Events = events;
        IsRtmr3Recorded = !isCcel || events.Any(measured => measured.Register == 3);
    }

    public IReadOnlyList<MeasuredEvent> Events { get; }

    /// <summary>
    /// Whether the log says anything of RTMR3. A CCEL is the firmware's: what the running system extends, it does not record, and RTMR3 is the
    /// policy's alone.
    /// </summary>
    public bool IsRtmr3Recorded { get; }

    /// <summary>Reads a CCEL or a log in JSON: the first byte that is no white space says which.</summary>
    public static Rejection? TryParse(ReadOnlyMemory<byte> bytes, out EventLog? log)
    {
        log = null;
        if (bytes.Length > Bounds.EventLog)
            return Rejection.TooLarge(Bounds.EventLog, bytes.Length);
        var first = bytes.Span.TrimStart(" \t\r\n"u8);
        var isCcel = first.IsEmpty || first[0] != '[';
        var rejection = isCcel ? ParseCcel(bytes, out var events) : ParseJson(bytes, out events);
        if (rejection is null)
            log = new EventLog(events!, isCcel);
        return rejection;
    }

    /// <summary>What the register holds after these events. 48 bytes.</summary>
    /// <param name="register">0 to 3.</param>
    public byte[] Replay(int register)
    {
        var value = new byte[DigestSize];
        Span<byte> extended = stackalloc byte[2 * DigestSize];
        foreach (var measured in Events)
        {
            if (measured.Register != register)
                continue;
            value.CopyTo(extended);
            measured.Digest.Span.CopyTo(extended[DigestSize..]);
            SHA384.HashData(extended, value);
        }

        return value;
    }

    /// <summary>Null where the replay gives the registers of the report: all four, or those that the log records.</summary>
    public Rejection? Fault(TdReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        for (var register = 0; register < (IsRtmr3Recorded ? 4 : 3); register++)
        {
            var replayed = Replay(register);
            if (!report.Rtmr(register).Span.SequenceEqual(replayed))
                return new Rejection(RejectionCode.Mismatch, $"rtmr{register} {Shown.Hex(report.Rtmr(register).Span)}", $"{Shown.Hex(replayed)} by replay");
        }

        return null;
    }

    // JSON documents here are objects: the array is wrapped in one.
    private static Rejection? ParseJson(ReadOnlyMemory<byte> bytes, out IReadOnlyList<MeasuredEvent>? events)
    {
        var wrapped = new byte[bytes.Length + 11];
        "{\"events\":"u8.CopyTo(wrapped);
        bytes.Span.CopyTo(wrapped.AsSpan(10));
        wrapped[^1] = (byte)'}';
        return JsonFields.Read(
            wrapped,
            wrapped.Length,
            Bounds.EventLogTokens,
            "event log",
            log =>
            {
                var list = log.List("events", Bounds.EventCount);
                log.End();
                return (IReadOnlyList<MeasuredEvent>)[.. list.Select(Read)];
            },
            out events);

        static MeasuredEvent Read(JsonFields fields)
        {
            var register = (int)fields.Number("imr", 0, 3);
            var type = (uint)fields.Number("event_type", 0, uint.MaxValue);
            if (type != RuntimeEvent)
                return new MeasuredEvent(register, fields.Hex("digest", DigestSize), null, default);
            var name = fields.Text("event", 1024);
            var version = fields.Has("version") ? (int)fields.Number("version", 1, 2) : 1;
            // The digest of version 1 joins name and payload with a colon: "a:b" with "c" and "a" with "b:c" have the same.
            if (version == 1 && name.Contains(':', StringComparison.Ordinal))
                fields.Wrong("event", "a name without a colon");
            var payloadText = fields.Text("event_payload", Bounds.EventLog);
            var payload = new byte[payloadText.Length / 2];
            if (payloadText.Length % 2 != 0 || Convert.FromHexString(payloadText, payload, out _, out _) != System.Buffers.OperationStatus.Done)
                fields.Wrong("event_payload", "hexadecimal");
            var digest = version == 1 ? RuntimeDigest(name, payload) : CanonicalDigest(name, payload);
            // dstack 0.6 writes no digest where name and payload give it. Whether they are true, the replay says.
            if (fields.Text("digest", 2 * DigestSize).Length > 0 && !fields.Hex("digest", DigestSize).AsSpan().SequenceEqual(digest))
                fields.Wrong(new Rejection(RejectionCode.Mismatch, "a runtime event whose digest names it", Shown.Text(name)));
            return new MeasuredEvent(register, digest, name, payload);
        }
    }

    // SHA-384(u32le(event_type) ‖ ":" ‖ event ‖ ":" ‖ payload)
    private static byte[] RuntimeDigest(string name, ReadOnlySpan<byte> payload)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA384);
        Span<byte> type = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(type, RuntimeEvent);
        hash.AppendData(type);
        hash.AppendData(":"u8);
        hash.AppendData(Encoding.UTF8.GetBytes(name));
        hash.AppendData(":"u8);
        hash.AppendData(payload);
        return hash.GetHashAndReset();
    }

    // SHA-384 of {"event":name,"event_type":type,"payload":hex,"version":2} in the canonical form of RFC 8785: names in this order, no white space.
    private static byte[] CanonicalDigest(string name, ReadOnlySpan<byte> payload)
    {
        var text = new StringBuilder("{\"event\":\"");
        foreach (var c in name)
        {
            text.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\b' => "\\b",
                '\t' => "\\t",
                '\n' => "\\n",
                '\f' => "\\f",
                '\r' => "\\r",
                < ' ' => $"\\u{(int)c:x4}",
                _ => $"{c}",
            });
        }

        text.Append(CultureInfo.InvariantCulture, $"\",\"event_type\":{RuntimeEvent},\"payload\":\"{Shown.Hex(payload)}\",\"version\":2}}");
        return SHA384.HashData(Encoding.UTF8.GetBytes(text.ToString()));
    }

    private static Rejection? ParseCcel(ReadOnlyMemory<byte> bytes, out IReadOnlyList<MeasuredEvent>? events)
    {
        events = null;
        var reader = new ByteReader(bytes);
        // The legacy event: u32 index, u32 type, SHA-1 digest, u32 size, then "Spec ID Event03".
        reader.UInt32();
        var type = reader.UInt32();
        reader.Take(20);
        var specification = new ByteReader(reader.Take(reader.UInt32()));
        if (reader.HasFailed || type != NoAction || !specification.Take(16).Span.SequenceEqual("Spec ID Event03\0"u8))
            return Rejection.Malformed("an event log that begins with Spec ID Event03", "another beginning");
        specification.Take(8); // platform class, versions, size of a word
        var count = specification.UInt32();
        var sizes = new Dictionary<ushort, int>();
        for (var i = 0; i < count && !specification.HasFailed; i++)
        {
            if (i == 8 || !sizes.TryAdd(specification.UInt16(), specification.UInt16()))
                return Rejection.Malformed("at most 8 different algorithms", "others");
        }

        if (specification.HasFailed || sizes.GetValueOrDefault(Sha384) != DigestSize)
            return new Rejection(RejectionCode.Unsupported, "an event log with SHA-384", "one without");

        var list = new List<MeasuredEvent>();
        count = 0;
        while (reader.Remaining >= 4)
        {
            var index = reader.UInt32();
            if (index == uint.MaxValue)
                break; // the rest of the table is unused
            type = reader.UInt32();
            if (index == 0 && type != NoAction)
                break; // zeros: it is unused as well, and nothing extends register 0, which is MRTD
            var digests = reader.UInt32();
            var digest = ReadDigests(ref reader, digests, sizes);
            reader.Take(reader.UInt32());
            if (reader.HasFailed || digest is null)
                return Rejection.Malformed("an event with one digest for each algorithm", "a size that does not fit, or another algorithm");
            if (index > 4)
                return Rejection.Malformed("register index 0 to 4", $"{index}");
            if (count++ == Bounds.EventCount)
                return new Rejection(RejectionCode.TooLarge, $"at most {Bounds.EventCount} events", "more");
            if (type != NoAction)
                list.Add(new MeasuredEvent((int)index - 1, digest.Value, null, default));
        }

        events = list;
        return null;
    }

    // The SHA-384 among them; null where one is missing, doubled or of an algorithm that the log did not list.
    private static ReadOnlyMemory<byte>? ReadDigests(ref ByteReader reader, uint count, Dictionary<ushort, int> sizes)
    {
        ReadOnlyMemory<byte>? found = null;
        if (count > sizes.Count)
            return null;
        for (var i = 0; i < count; i++)
        {
            var algorithm = reader.UInt16();
            if (!sizes.TryGetValue(algorithm, out var size) || (algorithm == Sha384 && found is not null))
                return null;
            var digest = reader.Take(size);
            if (algorithm == Sha384)
                found = digest;
        }

        return found;
    }
}
