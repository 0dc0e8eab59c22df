// spec/attestation.md section 11: documents that a bundle names by digest.
using System.Security.Cryptography;
using System.Text;

namespace ConfidentialChat.Attestation;

/// <summary>Documents that whoever verifies has at hand, by their SHA-256: what is found is what was named. Immutable.</summary>
public sealed class DocumentSet
{
    private readonly Dictionary<string, ReadOnlyMemory<byte>> documents = new(StringComparer.Ordinal);

    /// <param name="documents">A stranger's bytes, which nobody changes any more.</param>
    public DocumentSet(params IEnumerable<ReadOnlyMemory<byte>> documents)
    {
        ArgumentNullException.ThrowIfNull(documents);
        foreach (var document in documents)
            this.documents[Shown.Hex(SHA256.HashData(document.Span))] = document;
        Digest = Digest32.Of(Encoding.ASCII.GetBytes(string.Concat(this.documents.Keys.Order(StringComparer.Ordinal))));
    }

    /// <summary>Each once, in no order.</summary>
    public IReadOnlyCollection<ReadOnlyMemory<byte>> Documents => documents.Values;

    /// <summary>None.</summary>
    public static DocumentSet Empty { get; } = new();

    /// <summary>Two sets of the same documents have the same.</summary>
    internal Digest32 Digest { get; }

    /// <summary>The document of this SHA-256, or null where it is not at hand.</summary>
    public ReadOnlyMemory<byte>? Find(ReadOnlySpan<byte> sha256) =>
        documents.TryGetValue(Shown.Hex(sha256), out var document) ? (ReadOnlyMemory<byte>?)document : null;
}
