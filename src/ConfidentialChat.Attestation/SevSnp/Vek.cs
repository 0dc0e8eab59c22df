// spec/attestation.md section 8, "Certificates", as values: whose key signed a report.
using System.Text.Json;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>What AMD says of the key that signed a report. Believed only as far as <c>snp.vek_path</c> goes.</summary>
/// <param name="Product">That of the certificate's issuer.</param>
/// <param name="Kind">Likewise.</param>
/// <param name="ProductName">As the certificate has it, with its stepping; a stranger's text until the path stands.</param>
/// <param name="Hwid">A VCEK's chip: 64 bytes, or 8 of Turin. Null for a VLEK.</param>
/// <param name="CspId">A VLEK's provider, a stranger's text likewise. Null for a VCEK.</param>
public sealed record Vek(SevSnpProduct Product, VekKind Kind, string ProductName, ReadOnlyMemory<byte>? Hwid, string? CspId) : IPlatformFacts
{
    string IPlatformFacts.Name => "vek";

    void IPlatformFacts.WriteMembers(Utf8JsonWriter json)
    {
        json.WriteString("kind", Kind == VekKind.Vcek ? "vcek" : "vlek");
        json.WriteString("product", Product.Name.ToLowerInvariant());
        json.WriteString("product_name", Shown.Text(ProductName));
        json.WriteString("hwid", Hwid is { } hwid ? Shown.Hex(hwid.Span) : null);
        json.WriteString("csp_id", CspId is null ? null : Shown.Text(CspId));
    }
}
