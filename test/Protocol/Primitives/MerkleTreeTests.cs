using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Tests.Primitives;

/// <summary>Also what other implementations got wrong: a path that is too long, a place that the tree does not have, a root as a leaf.</summary>
public sealed class MerkleTreeTests
{
    private const int Largest = 20;

    // The trees of the reference implementation's own tests (certificate-transparency, merkle_tree_test).
    [Theory]
    [InlineData(1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")]
    [InlineData(8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328")]
    public void The_root_is_that_of_the_reference_implementation(int size, string root)
    {
        ReadOnlyMemory<byte>[] entries =
            [.. ((string[])["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"])
                .Select(hex => (ReadOnlyMemory<byte>)Convert.FromHexString(hex))];

        Convert.ToHexStringLower(new MerkleTree(entries[..size]).Root.Span).ShouldBe(root);
    }

    [Fact]
    public void A_path_leads_to_the_root_from_its_own_place_in_a_tree_of_its_own_size_and_from_no_other()
    {
        for (var size = 1; size <= Largest; size++)
        {
            var tree = Tree(size);
            for (var index = 0; index < size; index++)
            {
                var path = tree.Path(index);
                for (var place = -1; place <= Largest + 1; place++)
                    IsRoot(tree, MerkleTree.RootOf(Entry(index), place, size, path)).ShouldBe(place == index, $"{index} of {size} at {place}");
                IsRoot(tree, MerkleTree.RootOf(Entry(index + 1), index, size, path)).ShouldBeFalse();
            }
        }
    }

    // Two sizes may share a path's shape: then the root tells them apart, which is signed. A shape that a size does not have leads nowhere.
    [Fact]
    public void A_path_that_is_longer_or_shorter_than_its_place_has_leads_nowhere()
    {
        for (var size = 1; size <= Largest; size++)
        {
            var tree = Tree(size);
            for (var index = 0; index < size; index++)
            {
                var path = tree.Path(index);
                MerkleTree.RootOf(Entry(index), index, size, [.. path, new byte[Sha256.Size]]).ShouldBeNull();
                MerkleTree.RootOf(Entry(index), index, size, [new byte[Sha256.Size], .. path]).ShouldBeNull();
                if (path.Count == 0)
                    continue;
                MerkleTree.RootOf(Entry(index), index, size, [.. path.Skip(1)]).ShouldBeNull();
                MerkleTree.RootOf(Entry(index), index, size, [.. path.SkipLast(1)]).ShouldBeNull();
                MerkleTree.RootOf(Entry(index), index, size, [path[0][1..], .. path.Skip(1)]).ShouldBeNull();
                MerkleTree.RootOf(Entry(index), index, size, [[.. path[0], 0], .. path.Skip(1)]).ShouldBeNull();
            }
        }
    }

    [Fact]
    public void An_inner_node_is_no_entry()
    {
        var tree = Tree(4);

        IsRoot(tree, MerkleTree.RootOf(tree.Root.Span, 0, 1, [])).ShouldBeFalse();
        IsRoot(tree, MerkleTree.RootOf([.. Leaf(0), .. Leaf(1)], 0, 2, [tree.Path(0)[1]])).ShouldBeFalse();
    }

    [Fact]
    public void A_path_of_more_hashes_than_the_largest_tree_has_is_not_followed() =>
        MerkleTree.RootOf([], 0, MerkleTree.MaxSize, [.. Enumerable.Repeat(new byte[Sha256.Size], MerkleTree.MaxPath + 1)]).ShouldBeNull();

    [Fact]
    public void A_tree_has_one_entry_at_least_and_as_many_as_it_says_at_the_most()
    {
        Should.Throw<ArgumentException>(() => new MerkleTree([]));
        Should.Throw<ArgumentException>(() => new MerkleTree(new ReadOnlyMemory<byte>[MerkleTree.MaxSize + 1]));
        var largest = new MerkleTree(new ReadOnlyMemory<byte>[MerkleTree.MaxSize]);
        IsRoot(largest, MerkleTree.RootOf([], MerkleTree.MaxSize - 1, MerkleTree.MaxSize, largest.Path(MerkleTree.MaxSize - 1))).ShouldBeTrue();
        MerkleTree.RootOf([], 0, MerkleTree.MaxSize + 1, largest.Path(0)).ShouldBeNull();
        Should.Throw<ArgumentOutOfRangeException>(() => largest.Path(-1));
        Should.Throw<ArgumentOutOfRangeException>(() => largest.Path(MerkleTree.MaxSize));
    }

    private static MerkleTree Tree(int size) => new([.. Enumerable.Range(0, size).Select(i => (ReadOnlyMemory<byte>)Entry(i))]);

    private static byte[] Entry(int index) => [(byte)index, 0x5a];

    private static byte[] Leaf(int index) => Sha256.Hash([0x00, .. Entry(index)]);

    private static bool IsRoot(MerkleTree tree, byte[]? root) => root is not null && tree.Root.Span.SequenceEqual(root);
}
