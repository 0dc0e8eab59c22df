// RFC 9162 section 2.1. Compiled into ConfidentialChat.Attestation too, which knows nobody and needs the same tree.
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>The tree over entries of any bytes, with SHA-256: a leaf is SHA-256(0x00 ‖ entry), an inner node SHA-256(0x01 ‖ left ‖ right). Immutable.</summary>
internal sealed class MerkleTree
{
    /// <summary>Entries at the most.</summary>
    public const int MaxSize = 1 << 16;

    /// <summary>Hashes of a path at the most.</summary>
    public const int MaxPath = 16;

    private static readonly byte[] LeafPrefix = [0x00];
    private static readonly byte[] InnerPrefix = [0x01];

    // levels[0] are the leaves; of an odd level the last one moves up as it is, which gives the tree of the RFC.
    private readonly byte[][][] levels;

    /// <param name="entries">One at least, <see cref="MaxSize"/> at the most.</param>
    /// <exception cref="ArgumentException">None, or too many.</exception>
    public MerkleTree(IReadOnlyList<ReadOnlyMemory<byte>> entries)
    {
        ArgumentNullException.ThrowIfNull(entries);
        if (entries.Count is 0 or > MaxSize)
            throw new ArgumentException($"One to {MaxSize} entries make a tree.", nameof(entries));
        var leaves = new byte[entries.Count][];
        for (var i = 0; i < leaves.Length; i++)
            leaves[i] = Leaf(entries[i].Span);
        var made = new List<byte[][]> { leaves };
        while (made[^1] is { Length: > 1 } below)
        {
            var level = new byte[(below.Length + 1) / 2][];
            for (var i = 0; i < level.Length; i++)
                level[i] = (2 * i) + 1 < below.Length ? Inner(below[2 * i], below[(2 * i) + 1]) : below[2 * i];
            made.Add(level);
        }

        levels = [.. made];
    }

    public int Size => levels[0].Length;

    /// <summary>32 bytes.</summary>
    public ReadOnlyMemory<byte> Root => levels[^1][0];

    /// <summary>The hashes that lead from an entry to the root, from the bottom up; RFC 9162 section 2.1.3.1.</summary>
    public IReadOnlyList<byte[]> Path(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Size);
        var path = new List<byte[]>(MaxPath);
        foreach (var level in levels.AsSpan(0, levels.Length - 1))
        {
            if ((index ^ 1) < level.Length)
                path.Add(level[index ^ 1]);
            index >>= 1;
        }

        return path;
    }

    /// <summary>The root to which a path leads from an entry, whoever sent it; RFC 9162 section 2.1.3.2.</summary>
    /// <returns>Null where no tree of that size has such a path.</returns>
    public static byte[]? RootOf(ReadOnlySpan<byte> entry, int index, int size, IReadOnlyList<byte[]> path)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (index < 0 || index >= size || size > MaxSize || path.Count > MaxPath)
            return null;
        var hash = Leaf(entry);
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

    private static byte[] Leaf(ReadOnlySpan<byte> entry) => Hash(LeafPrefix, entry, []);

    private static byte[] Inner(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right) => Hash(InnerPrefix, left, right);

    private static byte[] Hash(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        const int most = 512;
        var size = prefix.Length + first.Length + second.Length;
        var input = size <= most ? stackalloc byte[most] : new byte[size];
        input = input[..size];
        prefix.CopyTo(input);
        first.CopyTo(input[prefix.Length..]);
        second.CopyTo(input[(prefix.Length + first.Length)..]);
        return SHA256.HashData(input);
    }
}
