// spec/attestation.md section 5, last paragraph. Source: Intel PCS API version 4.
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>A body that Intel signed as it stands: <c>{"name": body, "signature": hex}</c>.</summary>
internal sealed record IntelDocument<T>(T Body, byte[] Signed, byte[] Signature)
    where T : class
{
    public static Rejection? TryParse(ReadOnlyMemory<byte> json, string name, Func<JsonFields, T> parse, out IntelDocument<T>? document) =>
        JsonFields.Read(
            json,
            Bounds.IntelJson,
            Bounds.IntelTokens,
            "Intel's document",
            outer =>
            {
                var body = outer.Raw(name, out var signed);
                var signature = outer.Hex("signature", 64);
                outer.End();
                // An absent or foreign body is one fault, not twenty.
                return outer.Fault is null ? new IntelDocument<T>(parse(body), signed, signature) : new IntelDocument<T>(null!, signed, signature);
            },
            out document);

    public bool IsSignedBy(VerificationKey key) => key.Verify(Signed, Signature);
}

/// <summary>A level of an enclave's or a module's TCB.</summary>
internal sealed record IsvLevel(int IsvSvn, TcbStatus Status, IReadOnlyList<string> Advisories, DateTimeOffset Date)
{
    /// <summary>Where no identity judges.</summary>
    public static IsvLevel UpToDate { get; } = new(0, TcbStatus.UpToDate, [], DateTimeOffset.MaxValue);

    public static IReadOnlyList<IsvLevel> ReadList(JsonFields fields) =>
        [.. fields.List("tcbLevels", Bounds.TcbLevelCount).Select(level => new IsvLevel(
            (int)level.Object("tcb").Number("isvsvn", 0, ushort.MaxValue), ReadStatus(level), level.OptionalTexts("advisoryIDs", Bounds.TcbLevelCount),
            level.Date("tcbDate")))];

    public static TcbStatus ReadStatus(JsonFields level)
    {
        var text = level.Text("tcbStatus");
        if (!TcbStatusNames.TryRead(text, out var status))
            level.Wrong(new Rejection(RejectionCode.Unsupported, "a TCB status that is known", Shown.Text(text)));
        return status;
    }

    /// <summary>The first level that is at most the given version, in the order of the list.</summary>
    public static IsvLevel Match(IReadOnlyList<IsvLevel> levels, int isvSvn) =>
        levels.FirstOrDefault(level => level.IsvSvn <= isvSvn) ?? new IsvLevel(0, TcbStatus.NoMatchingTcbLevel, [], DateTimeOffset.MinValue);
}
