using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Tests.Primitives;

/// <summary>
/// ML-KEM-768 and X-Wing against Wycheproof and the draft's vectors. Out of scope: <c>mlkem_768_semi_expanded_decaps</c>,
/// because our private keys are made from their seeds and never read in expanded form.
/// </summary>
public sealed class MlKemTests
{
    private const string SemiExpanded = "mlkem_768_semi_expanded_decaps_test.json";

    [Fact]
    public void Wycheproof_seeds_make_the_expected_public_keys()
    {
        foreach (var test in Tests("mlkem_768_keygen_seed_test.json"))
        {
            using var key = new MlKem768PrivateKey(test.Hex("seed"));
            key.PublicKey.SequenceEqual(test.Hex("ek")).ShouldBeTrue(Name(test));
        }
    }

    [Fact]
    public void Wycheproof_encapsulations_come_out_and_keys_that_are_not_reduced_are_refused()
    {
        var (valid, invalid) = (0, 0);
        foreach (var test in Tests("mlkem_768_encaps_test.json"))
        {
            byte[] ek = test.Hex("ek"), m = test.Hex("m"), c = new byte[MlKem768.CiphertextSize], k = new byte[MlKem768.SharedSecretSize];
            if (test.String("result") == "invalid")
            {
                invalid++;
                if (ek.Length != MlKem768.PublicKeySize)
                {
                    Should.Throw<ArgumentException>(() => MlKem768.TryEncapsulate(ek, m, c, k), Name(test));
                    continue;
                }

                MlKem768.IsReduced(ek).ShouldBeFalse(Name(test));
                MlKem768.TryEncapsulate(ek, m, c, k).ShouldBeFalse(Name(test));
                MlKem768.TryEncapsulate(ek, c, k).ShouldBeFalse(Name(test));
                continue;
            }

            valid++;
            MlKem768.IsReduced(ek).ShouldBeTrue(Name(test));
            MlKem768.TryEncapsulate(ek, m, c, k).ShouldBeTrue(Name(test));
            c.ShouldBe(test.Hex("c"), Name(test));
            k.ShouldBe(test.Hex("K"), Name(test));
        }

        (valid, invalid).ShouldBe((87, 77));
    }

    [Fact]
    public void Wycheproof_decapsulations_come_out_and_wrong_sizes_are_refused()
    {
        var (valid, invalid) = (0, 0);
        foreach (var test in Tests("mlkem_768_test.json"))
        {
            byte[] seed = test.Hex("seed"), c = test.Hex("c"), k = new byte[MlKem768.SharedSecretSize];
            if (test.String("result") == "invalid")
            {
                invalid++;
                Should.Throw<ArgumentException>(() => Decapsulate(seed, c, k), Name(test));
                continue;
            }

            valid++;
            Decapsulate(seed, c, k).ShouldBe(test.Hex("ek"), Name(test));
            k.ShouldBe(test.Hex("K"), Name(test));
        }

        (valid, invalid).ShouldBe((91, 26));
    }

    [Fact]
    public void The_semi_expanded_decapsulation_keys_of_Wycheproof_are_out_of_scope_by_number() =>
        Tests(SemiExpanded).Select(test => test.GetProperty("tcId").GetInt32()).ShouldBe([1, 2, 3, 5, 6, 7, 9], ignoreOrder: true);

    [Fact]
    public void The_drafts_X_Wing_vectors_come_out_in_both_directions()
    {
        foreach (var vector in Vectors.Json("xwing/xwing.json").GetProperty("vectors").EnumerateArray())
        {
            using var key = XWingPrivateKey.Import(vector.Hex("seed"));
            key.PublicKey.SequenceEqual(vector.Hex("pk")).ShouldBeTrue();
            XWing.IsValid(key.PublicKey).ShouldBeTrue();
            byte[] ct = new byte[XWing.CiphertextSize], ss = new byte[XWing.SharedSecretSize];
            XWing.TryEncapsulate(key.PublicKey, vector.Hex("eseed"), ct, ss).ShouldBeTrue();
            ct.ShouldBe(vector.Hex("ct"));
            ss.ShouldBe(vector.Hex("ss"));
            ss.AsSpan().Clear();
            key.TryDecapsulate(ct, ss).ShouldBeTrue();
            ss.ShouldBe(vector.Hex("ss"));
        }
    }

    [Fact]
    public void Fresh_X_Wing_keys_and_encapsulations_are_all_different_and_agree()
    {
        using XWingPrivateKey one = XWingPrivateKey.Generate(), two = XWingPrivateKey.Generate();
        one.PublicKey.SequenceEqual(two.PublicKey).ShouldBeFalse();
        byte[] first = new byte[XWing.CiphertextSize], second = new byte[XWing.CiphertextSize];
        byte[] sent = new byte[32], sentAgain = new byte[32], received = new byte[32];
        XWing.TryEncapsulate(one.PublicKey, first, sent).ShouldBeTrue();
        XWing.TryEncapsulate(one.PublicKey, second, sentAgain).ShouldBeTrue();
        first.ShouldNotBe(second);
        sent.ShouldNotBe(sentAgain);
        one.TryDecapsulate(first, received).ShouldBeTrue();
        received.ShouldBe(sent);
        two.TryDecapsulate(first, received).ShouldBeTrue();
        received.ShouldNotBe(sent);
    }

    [Fact]
    public void An_X_Wing_key_or_ciphertext_with_a_low_order_half_is_refused()
    {
        using var key = XWingPrivateKey.Generate();
        byte[] ct = new byte[XWing.CiphertextSize], ss = new byte[32];
        foreach (var point in LowOrder.Points)
        {
            byte[] pk = [.. key.PublicKey[..MlKem768.PublicKeySize], .. point];
            XWing.IsValid(pk).ShouldBeFalse();
            XWing.TryEncapsulate(pk, ct, ss).ShouldBeFalse();
            XWing.TryEncapsulate(key.PublicKey, ct, ss).ShouldBeTrue();
            point.CopyTo(ct.AsSpan(MlKem768.CiphertextSize));
            key.TryDecapsulate(ct, ss).ShouldBeFalse();
        }
    }

    [Fact]
    public void An_X_Wing_key_with_one_coefficient_that_is_not_reduced_is_refused()
    {
        using var key = XWingPrivateKey.Generate();
        byte[] ct = new byte[XWing.CiphertextSize], ss = new byte[32];
        for (var coefficient = 0; coefficient < 768; coefficient++)
        {
            var pk = key.PublicKey.ToArray();
            SetCoefficient(pk, coefficient, 3329);
            XWing.IsValid(pk).ShouldBeFalse($"coefficient {coefficient}");
            XWing.TryEncapsulate(pk, ct, ss).ShouldBeFalse($"coefficient {coefficient}");
            SetCoefficient(pk, coefficient, 3328);
            XWing.IsValid(pk).ShouldBeTrue($"coefficient {coefficient}");
        }
    }

    [Fact]
    public void A_wrong_size_never_reaches_native_code()
    {
        using var key = XWingPrivateKey.Generate();
        byte[] ct = new byte[XWing.CiphertextSize], ss = new byte[32];
        Should.Throw<ArgumentException>(() => XWingPrivateKey.Import(new byte[31]));
        Should.Throw<ArgumentException>(() => key.TryDecapsulate(new byte[XWing.CiphertextSize - 1], ss));
        Should.Throw<ArgumentException>(() => key.TryDecapsulate(ct, new byte[31]));
        Should.Throw<ArgumentException>(() => XWing.TryEncapsulate(new byte[1], ct, ss));
        Should.Throw<ArgumentException>(() => XWing.TryEncapsulate(key.PublicKey, new byte[1], ss));
        Should.Throw<ArgumentException>(() => XWing.TryEncapsulate(key.PublicKey, new byte[63], ct, ss));
        XWing.IsValid([]).ShouldBeFalse();
    }

    [Fact]
    public void A_key_that_was_disposed_of_decapsulates_nothing()
    {
        var key = XWingPrivateKey.Generate();
        key.Dispose();
        Should.Throw<ObjectDisposedException>(() => key.TryDecapsulate(new byte[XWing.CiphertextSize], new byte[32]));
    }

    private static byte[] Decapsulate(byte[] seed, byte[] c, byte[] k)
    {
        using var key = new MlKem768PrivateKey(seed);
        key.Decapsulate(c, k);
        return key.PublicKey.ToArray();
    }

    private static void SetCoefficient(byte[] pk, int index, int value)
    {
        var at = index / 2 * 3;
        if (index % 2 == 0)
            (pk[at], pk[at + 1]) = ((byte)value, (byte)((pk[at + 1] & 0xF0) | (value >> 8)));
        else
            (pk[at + 1], pk[at + 2]) = ((byte)((pk[at + 1] & 0x0F) | ((value & 0x0F) << 4)), (byte)(value >> 4));
    }

    private static string Name(JsonElement test) => $"tcId {test.GetProperty("tcId").GetInt32()}";

    private static IEnumerable<JsonElement> Tests(string file) =>
        Vectors.Json($"wycheproof/{file}").GetProperty("testGroups").EnumerateArray()
            .SelectMany(group => group.GetProperty("tests").EnumerateArray());
}

/// <summary>The X25519 points whose multiples are all zero, RFC 7748 section 6.1, in several spellings.</summary>
internal static class LowOrder
{
    public static IReadOnlyList<byte[]> Points { get; } =
    [
        new byte[32],
        Convert.FromHexString("0100000000000000000000000000000000000000000000000000000000000000"),
        Convert.FromHexString("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        Convert.FromHexString("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        Convert.FromHexString("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        Convert.FromHexString("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        Convert.FromHexString("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ];
}
