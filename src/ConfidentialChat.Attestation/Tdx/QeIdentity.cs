// spec/attestation.md section 6, checks 14 to 16.
namespace ConfidentialChat.Attestation.Tdx;

/// <summary>Which quoting enclave Intel signs for, and its levels.</summary>
internal sealed record QeIdentity
{
    public required DateTimeOffset IssueDate { get; init; }

    public required DateTimeOffset NextUpdate { get; init; }

    public required int EvaluationNumber { get; init; }

    public required byte[] MiscSelect { get; init; }

    public required byte[] MiscSelectMask { get; init; }

    public required byte[] Attributes { get; init; }

    public required byte[] AttributesMask { get; init; }

    public required byte[] MrSigner { get; init; }

    public required int IsvProdId { get; init; }

    public required IReadOnlyList<IsvLevel> Levels { get; init; }

    public static QeIdentity? Read(JsonFields fields)
    {
        var id = fields.Text("id");
        var version = (int)fields.Number("version", 0, int.MaxValue);
        if (fields.Fault is null && (id != "TD_QE" || version != 2))
        {
            fields.Wrong(new Rejection(RejectionCode.Mismatch, "QE identity of TD_QE, version 2", $"of {Shown.Text(id)}, version {version}"));
            return null;
        }

        return new QeIdentity
        {
            IssueDate = fields.Date("issueDate"),
            NextUpdate = fields.Date("nextUpdate"),
            EvaluationNumber = (int)fields.Number("tcbEvaluationDataNumber", 0, int.MaxValue),
            MiscSelect = fields.Hex("miscselect", 4),
            MiscSelectMask = fields.Hex("miscselectMask", 4),
            Attributes = fields.Hex("attributes", 16),
            AttributesMask = fields.Hex("attributesMask", 16),
            MrSigner = fields.Hex("mrsigner", 32),
            IsvProdId = (int)fields.Number("isvprodid", 0, ushort.MaxValue),
            Levels = IsvLevel.ReadList(fields),
        };
    }

    /// <summary>Null where the report is this enclave's.</summary>
    public Rejection? Fault(QeReport report)
    {
        if (!report.MrSigner.SequenceEqual(MrSigner))
            return Mismatch("mrsigner", MrSigner, report.MrSigner);
        if (report.IsvProdId != IsvProdId)
            return new Rejection(RejectionCode.Mismatch, $"isvprodid {IsvProdId}", $"{report.IsvProdId}");
        if (!Masked.Equal(report.MiscSelect, MiscSelect, MiscSelectMask))
            return Mismatch("miscselect", MiscSelect, report.MiscSelect);
        return Masked.Equal(report.Attributes, Attributes, AttributesMask) ? null : Mismatch("attributes", Attributes, report.Attributes);
    }

    private static Rejection Mismatch(string name, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> found) =>
        new(RejectionCode.Mismatch, $"{name} {Shown.Hex(expected)}", Shown.Hex(found));
}

/// <summary>Equality of the bits that a mask names.</summary>
internal static class Masked
{
    public static bool Equal(ReadOnlySpan<byte> found, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> mask)
    {
        for (var i = 0; i < mask.Length; i++)
        {
            if ((found[i] & mask[i]) != (expected[i] & mask[i]))
                return false;
        }

        return found.Length == mask.Length && expected.Length == mask.Length;
    }
}
