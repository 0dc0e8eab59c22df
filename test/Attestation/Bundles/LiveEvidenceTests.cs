using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Bundles;

namespace ConfidentialChat.Attestation.Tests.Bundles;

/// <summary>spec/attestation.md section 17.</summary>
public sealed class LiveEvidenceTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(33)]
    public void Every_challenge_of_a_tree_leads_to_the_root_of_the_rfc_and_no_other_does(int size)
    {
        var challenges = Challenges(size);
        var tree = new ChallengeTree(challenges);
        tree.Root.ToArray().ShouldBe(Mth(challenges));
        for (var index = 0; index < size; index++)
        {
            var path = tree.Path(index);
            ChallengeTree.RootOf(challenges[index].Span, index, size, path).ShouldBe(tree.Root.ToArray());
            ChallengeTree.RootOf(RandomNumberGenerator.GetBytes(32), index, size, path).ShouldNotBe(tree.Root.ToArray());
            ChallengeTree.RootOf(challenges[index].Span, index, size, [.. path, new byte[32]]).ShouldBeNull();
            if (path.Count > 0)
            {
                ChallengeTree.RootOf(challenges[index].Span, index, size, [.. path.Skip(1)]).ShouldBeNull();
                ChallengeTree.RootOf(challenges[index].Span, index, size, [.. path.Skip(1), path[0][1..]]).ShouldBeNull();
                ChallengeTree.RootOf(challenges[index].Span, index, size, [RandomNumberGenerator.GetBytes(32), .. path.Skip(1)])
                    .ShouldNotBe(tree.Root.ToArray());
            }

            for (var other = 0; other < size; other++)
            {
                if (other != index)
                    (ChallengeTree.RootOf(challenges[index].Span, other, size, path)?.SequenceEqual(tree.Root.ToArray()) ?? false)
                        .ShouldBeFalse($"{index} as {other} of {size}");
            }
        }
    }

    [Fact]
    public void The_largest_tree_has_a_path_of_sixteen_hashes()
    {
        var tree = new ChallengeTree(Enumerable.Repeat((ReadOnlyMemory<byte>)new byte[32], ChallengeTree.MaxSize).ToList());
        tree.Path(ChallengeTree.MaxSize - 1).Count.ShouldBe(ChallengeTree.MaxPath);
        ChallengeTree.RootOf(new byte[32], ChallengeTree.MaxSize - 1, ChallengeTree.MaxSize, tree.Path(ChallengeTree.MaxSize - 1))
            .ShouldBe(tree.Root.ToArray());
        Should.Throw<ArgumentException>(() => new ChallengeTree(Enumerable.Repeat((ReadOnlyMemory<byte>)new byte[32], ChallengeTree.MaxSize + 1).ToList()));
        Should.Throw<ArgumentException>(() => new ChallengeTree([]));
        Should.Throw<ArgumentException>(() => new ChallengeTree([new byte[31]]));
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(1, 1)]
    [InlineData(0, 0)]
    [InlineData(0, (1 << 16) + 1)]
    public void A_place_outside_of_a_tree_has_no_root(int index, int size) => ChallengeTree.RootOf(new byte[32], index, size, []).ShouldBeNull();

    [Fact]
    public void An_answer_gives_its_bundle_and_the_nonce_of_the_challenge()
    {
        var challenges = Challenges(5);
        var tree = new ChallengeTree(challenges);
        LiveEvidence.TryParse(LiveEvidence.Write("a bundle"u8, tree, 3), out var live).ShouldBeNull();
        Encoding.UTF8.GetString(live!.Bundle.Span).ShouldBe("a bundle");
        live.NonceOf(challenges[3].Span).ShouldBe(tree.Root.ToArray());
        live.NonceOf(challenges[2].Span).ShouldNotBe(tree.Root.ToArray());
        live.NonceOf(new byte[31]).ShouldBeNull();
    }

    [Theory]
    [InlineData("bundle", "\"a\"")]
    [InlineData("index", "-1")]
    [InlineData("index", "65536")]
    [InlineData("size", "0")]
    [InlineData("size", "65537")]
    [InlineData("path", "[\"00\"]")]
    [InlineData("path", "{}")]
    [InlineData("more", "1")]
    public void An_answer_that_says_something_else_is_refused(string member, string value)
    {
        var json = JsonNode.Parse(LiveEvidence.Write("{}"u8, new ChallengeTree(Challenges(2)), 0))!.AsObject();
        json[member] = JsonNode.Parse(value);
        LiveEvidence.TryParse(Encoding.UTF8.GetBytes(json.ToJsonString()), out var live).ShouldNotBeNull();
        live.ShouldBeNull();
        json = JsonNode.Parse(LiveEvidence.Write("{}"u8, new ChallengeTree(Challenges(2)), 0))!.AsObject();
        if (json.Remove(member))
            LiveEvidence.TryParse(Encoding.UTF8.GetBytes(json.ToJsonString()), out _).ShouldNotBeNull("a member may not be left out");
    }

    private static List<ReadOnlyMemory<byte>> Challenges(int count) =>
        [.. Enumerable.Range(0, count).Select(_ => (ReadOnlyMemory<byte>)RandomNumberGenerator.GetBytes(32))];

    // RFC 9162 section 2.1.1, as it is written there.
    private static byte[] Mth(List<ReadOnlyMemory<byte>> entries)
    {
        if (entries.Count == 1)
            return SHA256.HashData([0x00, .. entries[0].Span]);
        var k = 1;
        while (k * 2 < entries.Count)
            k *= 2;
        return SHA256.HashData([0x01, .. Mth(entries[..k]), .. Mth(entries[k..])]);
    }
}
