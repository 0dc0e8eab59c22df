// spec/attestation.md section 17.
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>The challenges of all who wait for one quote, whose root the quote carries. Immutable.</summary>
public sealed class ChallengeTree
{
    public const int ChallengeSize = 32;

    /// <summary>How many wait for one quote at the most.</summary>
    public const int MaxSize = MerkleTree.MaxSize;

    /// <summary>Hashes of a path at the most.</summary>
    public const int MaxPath = MerkleTree.MaxPath;

    private readonly MerkleTree tree;

    /// <param name="challenges">Each of 32 bytes; at least one.</param>
    /// <exception cref="ArgumentException">None, too many, or of another size.</exception>
    public ChallengeTree(IReadOnlyList<ReadOnlyMemory<byte>> challenges)
    {
        ArgumentNullException.ThrowIfNull(challenges);
        if (challenges.Count is 0 or > MaxSize || challenges.Any(challenge => challenge.Length != ChallengeSize))
            throw new ArgumentException($"One to {MaxSize} challenges of {ChallengeSize} bytes make a tree.", nameof(challenges));
        tree = new MerkleTree(challenges);
    }

    public int Size => tree.Size;

    /// <summary>32 bytes: the statement's nonce.</summary>
    public ReadOnlyMemory<byte> Root => tree.Root;

    /// <summary>The hashes that lead from a challenge to the root, from the bottom up.</summary>
    public IReadOnlyList<byte[]> Path(int index) => tree.Path(index);

    /// <summary>The root to which a path leads, whoever sent it: what the nonce has to be, if this challenge was among them.</summary>
    /// <returns>Null where no tree of that size has such a path.</returns>
    public static byte[]? RootOf(ReadOnlySpan<byte> challenge, int index, int size, IReadOnlyList<byte[]> path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return challenge.Length == ChallengeSize ? MerkleTree.RootOf(challenge, index, size, path) : null;
    }
}
