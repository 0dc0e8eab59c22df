// spec/attestation.md section 17; RFC 9162 section 2.1.
using System.Security.Cryptography;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>The challenges of all who wait for one quote, whose root the quote carries. Immutable.</summary>
public sealed class ChallengeTree
{
    public const int ChallengeSize = 32;

    /// <summary>How many wait for one quote at the most.</summary>
    public const int MaxSize = 1 << 16;

    /// <summary>Hashes of a path at the most.</summary>
    public const int MaxPath = 16;

    // levels[0] are the leaves; of an odd level the last one moves up as it is, which gives the tree of the RFC.
    private readonly byte[][][] levels;

    /// <param name="challenges">Each of 32 bytes; at least one.</param>
    /// <exception cref="ArgumentException">None, too many, or of another size.</exception>
    public ChallengeTree(IReadOnlyList<ReadOnlyMemory<byte>> challenges)
    {
        ArgumentNullException.ThrowIfNull(challenges);
        if (challenges.Count is 0 or > MaxSize || challenges.Any(challenge => challenge.Length != ChallengeSize))
            throw new ArgumentException($"One to {MaxSize} challenges of {ChallengeSize} bytes make a tree.", nameof(challenges));
        var made = new List<byte[][]> { challenges.Select(challenge => Leaf(challenge.Span)).ToArray() };
        while (made[^1].Length > 1)
            made.Add([.. made[^1].Chunk(2).Select(pair => pair.Length == 2 ? Inner(pair[0], pair[1]) : pair[0])]);
        levels = [.. made];
    }

    public int Size => levels[0].Length;

    /// <summary>32 bytes: the statement's nonce.</summary>
    public ReadOnlyMemory<byte> Root => levels[^1][0];

    /// <summary>The hashes that lead from a challenge to the root, from the bottom up.</summary>
    public IReadOnlyList<byte[]> Path(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Size);
        var path = new List<byte[]>();
        foreach (var level in levels[..^1])
        {
            if ((index ^ 1) < level.Length)
                path.Add(level[index ^ 1]);
            index >>= 1;
        }

        return path;
    }

    /// <summary>The root to which a path leads, whoever sent it: what the nonce has to be, if this challenge was among them.</summary>
    /// <returns>Null where no tree of that size has such a path.</returns>
    public static byte[]? RootOf(ReadOnlySpan<byte> challenge, int index, int size, IReadOnlyList<byte[]> path)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (challenge.Length != ChallengeSize || index < 0 || index >= size || size > MaxSize)
            return null;
        var hash = Leaf(challenge);
        var taken = 0;
        for (var (place, last) = (index, size - 1); last > 0; place >>= 1, last >>= 1)
        {
            if (place == last && (place & 1) == 0)
                continue; // without a neighbour
            if (taken == path.Count || path[taken].Length != SHA256.HashSizeInBytes)
                return null;
            var neighbour = path[taken++];
            hash = (place & 1) == 1 ? Inner(neighbour, hash) : Inner(hash, neighbour);
        }

        return taken == path.Count ? hash : null;
    }

    private static byte[] Leaf(ReadOnlySpan<byte> challenge) => SHA256.HashData([0x00, .. challenge]);

    private static byte[] Inner(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right) => SHA256.HashData([0x01, .. left, .. right]);
}
