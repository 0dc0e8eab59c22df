// spec/attestation.md section 4.
using System.Security.Cryptography;

namespace ConfidentialChat.Attestation.Certificates;

/// <summary>A vendor's root as it is carried in this assembly.</summary>
internal static class PinnedRoot
{
    /// <summary>Reads an embedded root and holds it against its published fingerprint.</summary>
    /// <param name="resource">The file's name.</param>
    /// <param name="sha256">Of its DER, lower case.</param>
    public static Certificate Load(string resource, string sha256)
    {
        using var stream = typeof(PinnedRoot).Assembly.GetManifestResourceStream(resource)
            ?? throw new InvalidOperationException($"{resource} is not in the assembly.");
        using var copy = new MemoryStream();
        stream.CopyTo(copy);
        if (CertificateList.TryParse(copy.ToArray(), out var list) is not null || list!.Items.Count != 1
            || Shown.Hex(SHA256.HashData(list.Items[0].Der.Span)) != sha256)
            throw new InvalidOperationException($"{resource} is not the pinned root.");
        return list.Items[0];
    }
}
