// spec/attestation.md section 17.
namespace ConfidentialChat.Attestation.Bundles;

/// <summary>
/// The answer to a live challenge: a bundle, and the way from the challenge to its
/// nonce. A stranger's bytes; nothing in it is verified. Immutable.
/// </summary>
public sealed class LiveEvidence
{
    private readonly int index;
    private readonly int size;
    private readonly IReadOnlyList<byte[]> path;

    private LiveEvidence(ReadOnlyMemory<byte> bundle, int index, int size, IReadOnlyList<byte[]> path)
    {
        Bundle = bundle;
        this.index = index;
        this.size = size;
        this.path = path;
    }

    /// <summary>For <see cref="BundleVerifier"/>.</summary>
    public ReadOnlyMemory<byte> Bundle { get; }

    /// <summary>What the bundle's nonce has to be. Null where the path fits no tree: the answer is to be refused.</summary>
    /// <param name="challenge">The caller's own 32 bytes.</param>
    public byte[]? NonceOf(ReadOnlySpan<byte> challenge) => ChallengeTree.RootOf(challenge, index, size, path);

    /// <summary>Reads an answer of at most 6 MiB.</summary>
    /// <param name="json">Not to be changed while it is read.</param>
    /// <param name="live">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlyMemory<byte> json, out LiveEvidence? live) =>
        JsonFields.Read(json, Bounds.LiveEvidence, Bounds.BundleTokens, "live evidence", Read, out live);

    /// <summary>Writes the answer to one of the challenges.</summary>
    public static byte[] Write(ReadOnlySpan<byte> bundle, ChallengeTree tree, int index)
    {
        var answers = new LiveAnswers(bundle, tree);
        return [.. answers.Beginning.Span, .. answers.End(index)];
    }

    private static LiveEvidence Read(JsonFields fields)
    {
        var live = new LiveEvidence(
            fields.Base64("bundle", Bounds.Bundle),
            (int)fields.Number("index", 0, ChallengeTree.MaxSize - 1),
            (int)fields.Number("size", 1, ChallengeTree.MaxSize),
            fields.Digests("path", ChallengeTree.MaxPath));
        fields.End();
        return live;
    }
}
