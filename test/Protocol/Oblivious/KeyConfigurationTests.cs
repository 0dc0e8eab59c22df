using System.Buffers;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Tests.Primitives;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

public sealed class KeyConfigurationTests : IDisposable
{
    private static readonly SymmetricSuite[] AllSuites =
        [SymmetricSuite.Default, new(KdfId.HkdfSha256, AeadId.ChaCha20Poly1305), new(KdfId.HkdfSha256, AeadId.Aes128Gcm)];

    private readonly ObliviousKey hybrid = ObliviousKey.Generate(1, KemId.MlKem768X25519, AllSuites);
    private readonly ObliviousKey classic = ObliviousKey.Generate(2, KemId.DhkemX25519, AllSuites);

    private byte[] List => Write(new ObliviousKeyRing(hybrid, classic).Published);

    [Fact]
    public void Parse_then_write_gives_the_same_bytes()
    {
        KeyConfigurationList.TryParse(List, out var list).ShouldBeTrue();
        Write(list!).ShouldBe(List);
        list!.Configurations.Select(configuration => configuration.KeyId).ShouldBe([1, 2]);
        list.Configurations[0].PublicKey.ShouldBe(hybrid.Configuration.PublicKey);
        list.Configurations[1].Suites.ShouldBe(AllSuites);
    }

    [Fact]
    public void The_bytes_are_those_of_the_specification()
    {
        var entry = new ArrayBufferWriter<byte>();
        classic.Configuration.Write(entry);
        Convert.ToHexStringLower(entry.WrittenSpan).ShouldBe(
            $"02{"0020"}{Convert.ToHexStringLower(classic.Configuration.PublicKey.Span)}000c{"00010002"}{"00010003"}{"00010001"}");
        List.Length.ShouldBe(2 + 1 + 2 + 1216 + 2 + 12 + 2 + 1 + 2 + 32 + 2 + 12);
    }

    [Fact]
    public void An_unknown_KEM_is_skipped_by_its_length_wherever_it_stands()
    {
        byte[] unknown = Entry([9, 0x00, 0x41, .. new byte[1184], 0, 4, 0, 1, 0, 2]), nothingMore = Entry([9, 0xFF, 0xFF]);
        Ids([.. unknown, .. List]).ShouldBe([1, 2]);
        Ids([.. List, .. unknown]).ShouldBe([1, 2]);
        Ids([.. List, .. nothingMore]).ShouldBe([1, 2]);
        Ids(unknown).ShouldBe([]);
    }

    [Fact]
    public void Unknown_suites_are_passed_over_and_an_entry_of_nothing_else_is_skipped()
    {
        Ids([.. Entry(Classic(3, 0, 8, 0, 9, 0, 9, 0, 1, 0, 2)), .. List]).ShouldBe([3, 1, 2]);
        Ids([.. Entry(Classic(3, 0, 4, 0, 2, 0, 2)), .. List]).ShouldBe([1, 2]);
        // Export only seals nothing: a key that offers it alone is of no use.
        Ids([.. Entry(Classic(3, 0, 4, 0, 1, 0xFF, 0xFF)), .. List]).ShouldBe([1, 2]);
    }

    [Fact]
    public void A_list_cut_short_at_any_byte_but_between_entries_is_refused_whole()
    {
        var first = 2 + 1 + 2 + 1216 + 2 + 12;
        for (var length = 0; length < List.Length; length++)
            KeyConfigurationList.TryParse(List.AsSpan(0, length), out _).ShouldBe(length == first, $"{length} bytes");
    }

    [Fact]
    public void Bytes_after_the_list_refuse_it_whole()
    {
        KeyConfigurationList.TryParse([.. List, 0], out _).ShouldBeFalse();
        KeyConfigurationList.TryParse([.. List, 0, 0], out _).ShouldBeFalse();
        KeyConfigurationList.TryParse([.. List, 0, 2, 9, 9], out _).ShouldBeFalse();
    }

    [Fact]
    public void Bytes_after_the_suites_of_an_entry_refuse_the_list_whole() => Refused(Classic(3, 0, 4, 0, 1, 0, 2, 0));

    [Fact]
    public void Suites_of_no_whole_number_refuse_the_list_whole()
    {
        Refused(Classic(3, 0, 0));
        Refused(Classic(3, 0, 3, 0, 1, 0));
        Refused(Classic(3, 0, 6, 0, 1, 0, 2, 0, 1));
        Refused(Classic(3, 0, 8, 0, 1, 0, 2));
        Refused(Classic(3));
        Refused(Classic(3, 0));
    }

    [Fact]
    public void A_low_order_key_refuses_the_list_whole()
    {
        foreach (var point in LowOrder.Points)
        {
            Refused([3, 0x00, 0x20, .. point, 0, 4, 0, 1, 0, 2]);
            Refused([3, 0x64, 0x7A, .. hybrid.Configuration.PublicKey.Span[..1184], .. point, 0, 4, 0, 1, 0, 2]);
        }
    }

    [Fact]
    public void A_key_that_is_not_reduced_refuses_the_list_whole() =>
        Refused([3, 0x64, 0x7A, 0xFF, 0xFF, .. hybrid.Configuration.PublicKey.Span[2..], 0, 4, 0, 1, 0, 2]);

    [Fact]
    public void One_id_for_two_keys_refuses_the_list_whole()
    {
        Refused(Classic(1, 0, 4, 0, 1, 0, 2));
        using var other = ObliviousKey.Generate(1, KemId.DhkemX25519, AllSuites);
        Should.Throw<ArgumentException>(() => new ObliviousKeyRing(hybrid, other));
    }

    [Fact]
    public void A_list_above_its_limit_is_refused_whole()
    {
        var many = Enumerable.Repeat(Entry([9, 0xFF, 0xFF, .. new byte[59]]), 1024).SelectMany(entry => entry).ToArray();
        many.Length.ShouldBe(KeyConfigurationList.MaxSize);
        KeyConfigurationList.TryParse(many, out _).ShouldBeTrue();
        KeyConfigurationList.TryParse([.. many, .. Entry([9, 0xFF, 0xFF])], out _).ShouldBeFalse();
    }

    [Fact]
    public void A_bundle_without_X_Wing_leaves_a_client_that_asks_for_it_with_nobody_to_talk_to()
    {
        HashSet<AeadId> aeads = [AeadId.Aes256Gcm];
        HashSet<KemId> kems = [KemId.MlKem768X25519];
        new ObliviousKeyRing(classic).Published.TryChoose(kems, aeads, out var none, out _).ShouldBeFalse();
        none.ShouldBeNull();
        var both = new ObliviousKeyRing(classic, hybrid).Published;
        both.TryChoose(kems, aeads, out var chosen, out var suite).ShouldBeTrue();
        chosen.ShouldBe(hybrid.Configuration);
        suite.ShouldBe(SymmetricSuite.Default);
        both.TryChoose(kems, new HashSet<AeadId>(), out _, out _).ShouldBeFalse();
    }

    [Fact]
    public void Arbitrary_bytes_and_mutated_lists_break_no_parser()
    {
        Gen.Byte.Array[0, 300].Sample(bytes => KeyConfigurationList.TryParse(bytes, out var read) == read is not null, iter: 10_000);
        var list = List;
        Gen.Select(Gen.Int[0, list.Length - 1], Gen.Byte, Gen.Int[0, list.Length]).Sample(
            (at, value, length) =>
            {
                var mutant = list[..length];
                if (at < length)
                    mutant[at] = value;
                // Whatever is believed can be written, and reads alike.
                if (!KeyConfigurationList.TryParse(mutant, out var read) || read.Configurations.Count == 0)
                    return true;
                return KeyConfigurationList.TryParse(Write(read), out var again) && again.Configurations.Count == read.Configurations.Count;
            },
            iter: 3_000);
    }

    [Fact]
    public void A_configuration_without_suites_or_with_one_that_seals_nothing_is_the_callers_mistake()
    {
        var key = classic.Configuration.PublicKey;
        Should.Throw<ArgumentException>(() => new KeyConfiguration(1, key, []));
        Should.Throw<ArgumentException>(() => new KeyConfiguration(1, key, [new(KdfId.HkdfSha256, AeadId.ExportOnly)]));
    }

    public void Dispose()
    {
        hybrid.Dispose();
        classic.Dispose();
    }

    private static byte[] Write(KeyConfigurationList list)
    {
        var output = new ArrayBufferWriter<byte>();
        list.Write(output);
        return output.WrittenSpan.ToArray();
    }

    private static byte[] Entry(byte[] entry) => [(byte)(entry.Length >> 8), (byte)entry.Length, .. entry];

    private static byte[] Ids(byte[] content)
    {
        KeyConfigurationList.TryParse(content, out var list).ShouldBeTrue();
        return [.. list!.Configurations.Select(configuration => configuration.KeyId)];
    }

    private byte[] Classic(byte id, params byte[] rest) => [id, 0x00, 0x20, .. classic.Configuration.PublicKey.Span, .. rest];

    private void Refused(byte[] entry)
    {
        KeyConfigurationList.TryParse([.. List, .. Entry(entry)], out var list).ShouldBeFalse();
        list.ShouldBeNull();
        KeyConfigurationList.TryParse([.. Entry(entry), .. List], out _).ShouldBeFalse();
    }
}
