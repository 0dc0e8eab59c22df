// spec/attestation.md section 11.
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>A node's public keys, which the evidence binds.</summary>
public sealed record NodeKeys
{
    /// <summary>A list of key configurations, <c>application/ohttp-keys</c>.</summary>
    public required ReadOnlyMemory<byte> Ohttp { get; init; }

    /// <summary>32 bytes, for envelope v1.</summary>
    public required ReadOnlyMemory<byte> X25519 { get; init; }

    /// <summary>32 bytes of Ed25519, for receipts and usage reports.</summary>
    public required ReadOnlyMemory<byte> Signing { get; init; }

    /// <summary>32 bytes that name exactly these keys.</summary>
    public byte[] Digest()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData("ConfidentialChat attestation v1 key set"u8);
        Span<byte> length = stackalloc byte[4];
        foreach (var key in (ReadOnlySpan<ReadOnlyMemory<byte>>)[Ohttp, X25519, Signing])
        {
            BinaryPrimitives.WriteInt32BigEndian(length, key.Length);
            hash.AppendData(length);
            hash.AppendData(key.Span);
        }

        return hash.GetHashAndReset();
    }
}

/// <summary>What a node's process is, by its own word.</summary>
/// <param name="Name">Of the program.</param>
/// <param name="Version">Of the program.</param>
public sealed record NodeSoftware(string Name, string Version);

/// <summary>A model that a node serves, by its own word.</summary>
/// <param name="Name">As callers ask for it.</param>
/// <param name="Weights">SHA-256 of the file that the process loaded, lower-case hexadecimal; null where an engine outside the process has it.</param>
public sealed record NodeModel(string Name, string? Weights);

/// <summary>How a node's process runs, by its own word.</summary>
/// <param name="Upstreams">The addresses of engines outside the process; none where there are none.</param>
/// <param name="Dangerous">Names of the dangerous options that are on.</param>
/// <param name="LogLevel">One word.</param>
/// <param name="EngineArguments">As the engine was given them.</param>
public sealed record NodeConfiguration(
    IReadOnlyList<string> Upstreams, IReadOnlyList<string> Dangerous, string LogLevel, IReadOnlyList<string> EngineArguments);

/// <summary>What a node states and its evidence binds. Immutable.</summary>
public sealed record BundleStatement
{
    public const int NonceSize = 32;
    public const int ReportDataSize = 64; // SHA-512
    private const int KeySize = 32;
    private const int LargestOhttp = 16 << 10;
    private const int TextCount = 64;
    private const int ModelCount = 64;

    public required long Node { get; init; }

    public required NodeKeys Keys { get; init; }

    /// <summary>To the second.</summary>
    public required DateTimeOffset IssuedAt { get; init; }

    /// <summary>When the keys are erased, to the second.</summary>
    public required DateTimeOffset NotAfter { get; init; }

    /// <summary>32 bytes: the root of the challenges that waited (<see cref="ChallengeTree"/>), or zeros.</summary>
    public required ReadOnlyMemory<byte> Nonce { get; init; }

    public required NodeSoftware Software { get; init; }

    /// <summary>What the node serves; no name stands twice.</summary>
    public required IReadOnlyList<NodeModel> Models { get; init; }

    public required NodeConfiguration Configuration { get; init; }

    /// <summary>SHA-256 of each device's evidence, in the bundle's order.</summary>
    public IReadOnlyList<byte[]> Devices { get; init; } = [];

    /// <summary>The 64 bytes that the processor's evidence of these exact bytes has to carry.</summary>
    public static byte[] ReportData(ReadOnlySpan<byte> statement)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA512);
        hash.AppendData("ConfidentialChat attestation v1 report data"u8);
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(length, statement.Length);
        hash.AppendData(length);
        hash.AppendData(statement);
        return hash.GetHashAndReset();
    }

    /// <summary>The 32-byte nonce that every device's evidence has to carry.</summary>
    public static byte[] DeviceNonce(NodeKeys keys, DateTimeOffset issuedAt, ReadOnlySpan<byte> nonce)
    {
        ArgumentNullException.ThrowIfNull(keys);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData("ConfidentialChat attestation v1 device nonce"u8);
        hash.AppendData(keys.Digest());
        Span<byte> seconds = stackalloc byte[8];
        BinaryPrimitives.WriteInt64BigEndian(seconds, issuedAt.ToUnixTimeSeconds());
        hash.AppendData(seconds);
        hash.AppendData(nonce);
        return hash.GetHashAndReset();
    }

    /// <summary>Reads a statement's bytes.</summary>
    /// <param name="json">At most 64 KiB.</param>
    /// <param name="statement">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlyMemory<byte> json, out BundleStatement? statement) =>
        JsonFields.Read(json, Bounds.Statement, Bounds.BundleTokens, "statement", Read, out statement);

    /// <summary>One spelling of the statement. Whoever issues it keeps these bytes: the evidence binds them.</summary>
    public byte[] ToBytes()
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteNumber("version", 1);
            json.WriteNumber("node", Node);
            json.WriteStartObject("keys");
            json.WriteBase64String("ohttp", Keys.Ohttp.Span);
            json.WriteBase64String("x25519", Keys.X25519.Span);
            json.WriteBase64String("signing", Keys.Signing.Span);
            json.WriteEndObject();
            json.WriteNumber("issued_at", IssuedAt.ToUnixTimeSeconds());
            json.WriteNumber("not_after", NotAfter.ToUnixTimeSeconds());
            json.WriteBase64String("nonce", Nonce.Span);
            json.WriteStartObject("software");
            json.WriteString("name", Software.Name);
            json.WriteString("version", Software.Version);
            json.WriteEndObject();
            json.WriteStartArray("models");
            foreach (var model in Models)
            {
                json.WriteStartObject();
                json.WriteString("name", model.Name);
                json.WriteString("weights", model.Weights);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteStartObject("config");
            WriteTexts(json, "upstreams", Configuration.Upstreams);
            WriteTexts(json, "dangerous", Configuration.Dangerous);
            json.WriteString("log_level", Configuration.LogLevel);
            WriteTexts(json, "engine_arguments", Configuration.EngineArguments);
            json.WriteEndObject();
            WriteTexts(json, "devices", Devices.Select(digest => Shown.Hex(digest)));
            json.WriteEndObject();
        }

        return stream.ToArray();
    }

    private static BundleStatement Read(JsonFields fields)
    {
        fields.Number("version", 1, 1);
        var (keys, software, config) = (fields.Object("keys"), fields.Object("software"), fields.Object("config"));
        var statement = new BundleStatement
        {
            Node = fields.Number("node", 0, long.MaxValue),
            Keys = new NodeKeys
            {
                Ohttp = keys.Base64("ohttp", LargestOhttp),
                X25519 = Fixed(keys, "x25519", KeySize),
                Signing = Fixed(keys, "signing", KeySize),
            },
            IssuedAt = Time(fields, "issued_at"),
            NotAfter = Time(fields, "not_after"),
            Nonce = Fixed(fields, "nonce", NonceSize),
            Software = new NodeSoftware(software.Text("name"), software.Text("version")),
            Models = [.. fields.List("models", ModelCount).Select(Model)],
            Configuration = new NodeConfiguration(
                config.Texts("upstreams", TextCount), config.Texts("dangerous", TextCount), config.Text("log_level"),
                config.Texts("engine_arguments", TextCount, 1024)),
            Devices = fields.Digests("devices", Bounds.DeviceCount),
        };
        if (statement.Models.DistinctBy(model => model.Name, StringComparer.Ordinal).Count() != statement.Models.Count)
            fields.Wrong("models", "names of which none stands twice");
        foreach (var table in (JsonFields[])[fields, keys, software, config])
            table.End();
        return statement;
    }

    private static NodeModel Model(JsonFields fields)
    {
        var model = new NodeModel(fields.Text("name"), fields.NullableText("weights", 64));
        if (model.Weights is { } weights && (weights.Length != 64 || weights.Any(c => !char.IsAsciiHexDigitLower(c))))
            fields.Wrong("weights", "SHA-256 in lower-case hexadecimal, or null");
        fields.End();
        return model;
    }

    // Up to the year 9999.
    private static DateTimeOffset Time(JsonFields fields, string name) => DateTimeOffset.FromUnixTimeSeconds(fields.Number(name, 0, 253_402_300_799));

    private static byte[] Fixed(JsonFields fields, string name, int size)
    {
        var bytes = fields.Base64(name, size);
        if (bytes.Length != size)
            fields.Wrong(name, $"{size} bytes in base64");
        return bytes;
    }

    private static void WriteTexts(Utf8JsonWriter json, string name, IEnumerable<string> texts)
    {
        json.WriteStartArray(name);
        foreach (var text in texts)
            json.WriteStringValue(text);
        json.WriteEndArray();
    }
}
