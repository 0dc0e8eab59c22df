// spec/receipts.md section 4.
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Client.Receipts;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;

namespace ConfidentialChat.Client;

/// <summary>
/// A receipt with all that verifying it needs, offline and years later: its salts, the node's evidence, and the exact bytes of request and answer.
/// <b>Who has it can read both.</b> Parsed, it is not verified. Immutable.
/// </summary>
public sealed class ReceiptFile
{
    /// <summary>Of all of it, in bytes.</summary>
    public const int MaxSize = 192 << 20;

    /// <summary>Of request and of answer, in bytes.</summary>
    internal const int MaxPartSize = 64 << 20;

    private const int Version = 1;
    private const int DigestLength = 2 * Sha256.Size;
    private const int MaxDocuments = 64;
    private const string Names = "version, receipt, salts, encapsulation, request, answer, bundle, documents, sha256";

    private readonly ReceiptParts parts;
    private readonly ReadOnlyMemory<byte> bundle;
    private readonly IReadOnlyList<ReadOnlyMemory<byte>> documents;

    internal ReceiptFile(ReceiptParts parts, ReadOnlyMemory<byte> bundle, IReadOnlyList<ReadOnlyMemory<byte>> documents)
    {
        this.parts = parts;
        this.bundle = bundle;
        this.documents = documents;
    }

    private static ReadOnlySpan<byte> BeforeDigest => ",\"sha256\":\""u8;

    private static ReadOnlySpan<byte> AfterDigest => "\"}\n"u8;

    /// <summary>Verifies what <see cref="ToBytes"/> gave, whoever had it since. Nothing is fetched.</summary>
    /// <param name="bytes">Not to be changed any more.</param>
    /// <param name="policy">
    /// Which nodes are accepted; null is <see cref="Policy.Default"/>. A challenge that it demands was the caller's, and is not asked for.
    /// </param>
    /// <param name="at">The time for which the evidence is asked; null is the receipt's own, as long as the node's keys lived.</param>
    public static ReceiptVerification Verify(ReadOnlyMemory<byte> bytes, Policy? policy = null, DateTimeOffset? at = null)
    {
        policy = (policy ?? Policy.Default) with { RequireNonce = false };
        if (!TryParse(bytes, out var file, out var fault))
        {
            var none = policy.Begin(at ?? DateTimeOffset.UnixEpoch);
            none.Report(ReceiptFactors.File, fault, "", "");
            return new ReceiptVerification(none.ToVerdict(), null);
        }

        SignedReceipt.TryParse(file.parts.Receipt.Span, out var receipt);
        EvidenceBundle.TryParse(file.bundle, out var parsed);
        var when = at ?? TimeOf(receipt?.Receipt, parsed?.Statement);
        var findings = policy.Begin(when);
        findings.Pass(ReceiptFactors.File, "a file of a receipt", $"{bytes.Length} bytes");

        // 1, 2.
        var signed = ReceiptCheck.Read(file.parts.Receipt.Span, findings);
        var evidence = new BundleVerifier().Verify(file.bundle, policy, when, nonce: null, new DocumentSet(file.documents));
        ReceiptCheck.Add(evidence.Verdict, findings);

        // 3 to 13.
        if (signed is not null && parsed?.Statement is { } statement)
            ReceiptCheck.Check(signed, file.parts, statement, policy.ClockSkew, findings);
        var verdict = findings.ToVerdict();
        return new ReceiptVerification(
            verdict,
            verdict.IsAccepted && signed is not null && evidence.Verified is { } verified
                ? new VerifiedReceipt(signed.Receipt, verified.Statement, verified.Type, verdict, file)
                : null);
    }

    /// <summary>The file: one line of JSON, in one spelling. It holds prompt and answer: keep it as they are kept.</summary>
    public byte[] ToBytes()
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteNumber("version"u8, Version);
            json.WriteBase64String("receipt"u8, parts.Receipt.Span);
            json.WriteBase64String("salts"u8, parts.Salts.Span);
            json.WriteBase64String("encapsulation"u8, parts.Encapsulation.Span);
            json.WriteBase64String("request"u8, parts.Request.Span);
            json.WriteBase64String("answer"u8, parts.Answer.Span);
            json.WriteBase64String("bundle"u8, bundle.Span);
            json.WriteStartArray("documents"u8);
            foreach (var document in documents)
                json.WriteBase64StringValue(document.Span);
            json.WriteEndArray();
            json.Flush();
            var digest = Sha256.Hash(stream.GetBuffer().AsSpan(0, (int)stream.Length));
            json.WriteString("sha256"u8, Convert.ToHexStringLower(digest));
            json.WriteEndObject();
        }

        stream.WriteByte((byte)'\n');
        return stream.ToArray();
    }

    /// <summary>Writes <see cref="ToBytes"/> into a file that is not there yet, and that its owner alone may read.</summary>
    /// <exception cref="IOException">It is there, or cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be made there.</exception>
    public void Write(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var file = new FileStream(path, options);
        file.Write(ToBytes());
    }

    /// <summary>Shows nothing of what it holds.</summary>
    public override string ToString() => nameof(ReceiptFile);

    // The digest first: what a disk or a hand changed is found wherever it stands.
    private static bool TryParse(ReadOnlyMemory<byte> bytes, [NotNullWhen(true)] out ReceiptFile? file, out Attestation.Rejection? fault)
    {
        file = null;
        fault = null;
        var span = bytes.Span;
        var end = span.Length - AfterDigest.Length - DigestLength - BeforeDigest.Length;
        if (span.Length > MaxSize)
            fault = Attestation.Rejection.TooLarge(MaxSize, span.Length);
        else if (end < 0 || !span[end..].StartsWith(BeforeDigest) || !span.EndsWith(AfterDigest))
            fault = Attestation.Rejection.Malformed($"an object of {Names}", "something else");
        else if (!span.Slice(end + BeforeDigest.Length, DigestLength).SequenceEqual(Encoding.ASCII.GetBytes(Shown.Hex(Sha256.Hash(span[..end])))))
            fault = new(RejectionCode.Mismatch, "the digest of the file", "another: it was changed");
        else if (Read(bytes) is not { } read || !read.ToBytes().AsSpan().SequenceEqual(span))
            fault = Attestation.Rejection.Malformed($"an object of {Names}, in one spelling", "something else");
        else
            file = read;
        return file is not null;
    }

    private static ReceiptFile? Read(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            using var document = JsonDocument.Parse(bytes, new JsonDocumentOptions { MaxDepth = 2, AllowDuplicateProperties = false });
            var root = document.RootElement;
            var salts = root.GetProperty("salts"u8).GetBytesFromBase64();
            if (root.GetProperty("version"u8).GetInt32() != Version || salts.Length != ReceiptSalts.Size
                || root.GetProperty("documents"u8) is var documents && documents.GetArrayLength() > MaxDocuments)
                return null;
            var parts = new ReceiptParts(
                root.GetProperty("receipt"u8).GetBytesFromBase64(), new ReceiptSalts(salts), root.GetProperty("encapsulation"u8).GetBytesFromBase64(),
                root.GetProperty("request"u8).GetBytesFromBase64(), root.GetProperty("answer"u8).GetBytesFromBase64());
            return new ReceiptFile(
                parts, root.GetProperty("bundle"u8).GetBytesFromBase64(),
                [.. documents.EnumerateArray().Select(entry => (ReadOnlyMemory<byte>)entry.GetBytesFromBase64())]);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            return null;
        }
    }

    // An answer may end after the keys to which its request was sealed: until then their evidence is asked.
    private static DateTimeOffset TimeOf(Receipt? receipt, BundleStatement? statement) =>
        receipt is null ? DateTimeOffset.UnixEpoch
        : statement is not null && receipt.Time > statement.NotAfter ? statement.NotAfter
        : receipt.Time;
}
