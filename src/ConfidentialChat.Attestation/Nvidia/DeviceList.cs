// spec/attestation.md section 18, "Lists".
using System.Buffers.Text;
using System.Text.Json;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>Devices as tools store them in JSON: nothing in it is verified, and members that nobody needs are ignored.</summary>
public static class DeviceList
{
    private const int Tokens = 4096;

    /// <summary>Reads a list of <c>{arch, evidence, certificate}</c>, an object with one, or a CMW collection.</summary>
    /// <param name="json">At most 4 MiB.</param>
    /// <param name="devices">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlyMemory<byte> json, out IReadOnlyList<NvidiaEvidence>? devices)
    {
        devices = null;
        if (json.Length > Bounds.DeviceList)
            return Rejection.TooLarge(Bounds.DeviceList, json.Length);
        try
        {
            var reader = new Utf8JsonReader(json.Span, new JsonReaderOptions { MaxDepth = Bounds.JsonDepth });
            for (var count = 0; reader.Read(); count++)
            {
                if (count == Tokens)
                    return Rejection.Malformed($"at most {Tokens} tokens of JSON", "more");
            }

            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = Bounds.JsonDepth, AllowDuplicateProperties = false });
            var read = Items(document.RootElement);
            if (read is null || read.Count is 0 or > Bounds.DeviceCount || read.Contains(null))
                return Rejection.Malformed(
                    $"1 to {Bounds.DeviceCount} devices, each with evidence and certificate", read is null ? "another form" : $"{read.Count}, or others");
            devices = [.. read.OfType<NvidiaEvidence>()];
            return null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or ArgumentException)
        {
            return Rejection.Malformed("a list of devices in JSON", "something else");
        }
    }

    private static List<NvidiaEvidence?>? Items(JsonElement root)
    {
        if (root.ValueKind == JsonValueKind.Array)
            return [.. root.EnumerateArray().Take(Bounds.DeviceCount + 1).Select(item => Item(item, null))];
        if (root.ValueKind != JsonValueKind.Object)
            return null;
        if (root.TryGetProperty("__cmwc_t", out _))
            return
            [
                .. root.EnumerateObject().Where(member => member.Value.ValueKind == JsonValueKind.Object)
                    .Take(Bounds.DeviceCount + 1).Select(member => Collected(member.Value)),
            ];
        foreach (var name in (string[])["evidence_list", "evidences"])
        {
            if (root.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array)
                return [.. list.EnumerateArray().Take(Bounds.DeviceCount + 1).Select(item => Item(item, Text(root, "arch")))];
        }

        return null;
    }

    private static NvidiaEvidence? Item(JsonElement item, string? architecture) =>
        item.ValueKind == JsonValueKind.Object && Bytes(Text(item, "evidence")) is { } report && Bytes(Text(item, "certificate")) is { } certificates
            ? new NvidiaEvidence { Architecture = Text(item, "arch") ?? architecture, Report = report, Certificates = Unpadded(certificates) }
            : null;

    // Of CMW: [media type, value].
    private static NvidiaEvidence? Collected(JsonElement item) =>
        Bytes(Value(item, "evidence", "application/vnd.nvidia.spdm-measurement-transcript")) is { } report
        && Bytes(Value(item, "certificate", "application/vnd.nvidia.pem-cert-chain")) is { } certificates
            ? new NvidiaEvidence { Report = report, Certificates = Unpadded(certificates) }
            : null;

    private static string? Value(JsonElement item, string name, string mediaType) =>
        item.TryGetProperty(name, out var pair) && pair.ValueKind == JsonValueKind.Array && pair.GetArrayLength() == 2
        && pair[0].ValueKind == JsonValueKind.String && pair[0].GetString() == mediaType && pair[1].ValueKind == JsonValueKind.String
            ? pair[1].GetString()
            : null;

    // Either alphabet, with or without padding: tools differ, and what is verified is what it decodes to.
    private static byte[]? Bytes(string? text)
    {
        if (text is null)
            return null;
        var bare = text.TrimEnd('=').Replace('+', '-').Replace('/', '_');
        return Base64Url.IsValid(bare) ? Base64Url.DecodeFromChars(bare) : null;
    }

    // Some write the whole of the buffer that NVML filled.
    private static ReadOnlyMemory<byte> Unpadded(byte[] text) => text.AsMemory(0, text.AsSpan().TrimEnd((byte)0).Length);

    private static string? Text(JsonElement item, string name) =>
        item.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.String ? member.GetString() : null;
}
