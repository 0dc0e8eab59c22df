using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Protocol.Hpke;

namespace ConfidentialChat.Protocol.Tests.Hpke;

/// <summary>spec/oblivious-v2.md section 3 against every published vector of its suites in base mode.</summary>
public sealed class HpkeVectorTests
{
    private const string Rfc9180 = "hpke/rfc9180-x25519-hkdfsha256.json";
    private const string EdgeCases = "hpke/draft-ietf-hpke-edge-cases.json";
    private const string PostQuantum = "hpke/hpke-pq.json";

    // file # index: mode, KEM, KDF, AEAD. What of them is not ours stands beside.
    private static readonly string[] OutOfScope =
    [
        $"{Rfc9180}#1: 1 0020 0001 0001", // mode psk
        $"{Rfc9180}#3: 1 0020 0001 0002", // mode psk
        $"{Rfc9180}#5: 1 0020 0001 0003", // mode psk
        $"{Rfc9180}#7: 1 0020 0001 ffff", // mode psk
        $"{EdgeCases}#2: 1 0020 0001 0001", // mode psk
        $"{PostQuantum}#0: 0 0040 0001 0001", // ML-KEM-512
        $"{PostQuantum}#2: 0 0010 0010 0001", // DHKEM(P-256), SHAKE128
        $"{PostQuantum}#3: 0 0020 0012 0003", // TurboSHAKE128
    ];

    private static readonly string[] InScope =
    [
        $"{Rfc9180}#0: 0 0020 0001 0001",
        $"{Rfc9180}#2: 0 0020 0001 0002",
        $"{Rfc9180}#4: 0 0020 0001 0003",
        $"{Rfc9180}#6: 0 0020 0001 ffff",
        $"{EdgeCases}#0: 0 0020 0001 0001",
        $"{EdgeCases}#1: 0 0020 0001 0001",
        $"{PostQuantum}#1: 0 647a 0001 0003",
    ];

    public static TheoryData<string> Names => [.. InScope];

    [Fact]
    public void Every_published_vector_is_either_run_or_out_of_scope_by_name() =>
        All().Select(vector => vector.Name).ShouldBe(InScope.Concat(OutOfScope), ignoreOrder: true);

    [Theory]
    [MemberData(nameof(Names))]
    public void The_keys_come_out(string name)
    {
        var vector = Find(name);
        using var skR = Recipient(vector);
        skR.PublicKey.Span.SequenceEqual(vector.Hex("pkRm")).ShouldBeTrue();
        using var derived = HpkePrivateKey.Derive(Kem(vector), vector.Hex("ikmR"));
        derived.PublicKey.ShouldBe(skR.PublicKey);
        HpkePublicKey.TryImport(Kem(vector), vector.Hex("pkRm"), out var pkR).ShouldBeTrue();
        pkR.ShouldBe(skR.PublicKey);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_shared_secret_and_the_key_schedule_come_out(string name)
    {
        var vector = Find(name);
        using var skR = Recipient(vector);
        var shared_secret = new byte[32];
        skR.TryDecap(vector.Hex("enc"), shared_secret).ShouldBeTrue();
        shared_secret.ShouldBe(vector.Hex("shared_secret"));
        using var schedule = new KeySchedule(Kem(vector), Suite(vector), shared_secret, vector.Hex("info"));
        schedule.ExporterSecret.ShouldBe(vector.Hex("exporter_secret"));
        if (vector.TryGetProperty("key", out _))
        {
            schedule.Key.ShouldBe(vector.Hex("key"));
            schedule.BaseNonce.ShouldBe(vector.Hex("base_nonce"));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Sender_and_recipient_make_the_same_bytes(string name)
    {
        var vector = Find(name);
        using var skR = Recipient(vector);
        using var sender = SenderContext.SetupBase(skR.PublicKey, Suite(vector), vector.Hex("info"), Randomness(vector));
        sender.Enc.SequenceEqual(vector.Hex("enc")).ShouldBeTrue();
        RecipientContext.TrySetupBase(skR, Suite(vector), sender.Enc, vector.Hex("info"), out var recipient).ShouldBeTrue();
        using (recipient)
        {
            foreach (var encryption in vector.GetProperty("encryptions").EnumerateArray())
                Check(sender, recipient!, encryption);
            foreach (var export in vector.GetProperty("exports").EnumerateArray())
            {
                foreach (var context in new HpkeContext[] { sender, recipient! })
                {
                    var secret = new byte[export.GetProperty("L").GetInt32()];
                    context.Export(export.Hex("exporter_context"), secret);
                    secret.ShouldBe(export.Hex("exported_value"));
                }
            }
        }
    }

    private static void Check(SenderContext sender, RecipientContext recipient, JsonElement encryption)
    {
        byte[] pt = encryption.Hex("pt"), aad = encryption.Hex("aad"), ct = encryption.Hex("ct");
        if (encryption.TryGetProperty("seq", out var seq))
        {
            sender.Messages.Sequence = seq.GetUInt64();
            recipient.Messages.Sequence = seq.GetUInt64();
        }

        var nonce = new byte[12];
        sender.Messages.NextNonce(nonce);
        nonce.ShouldBe(encryption.Hex("nonce"));
        var ciphertext = new byte[pt.Length + 16];
        sender.Seal(aad, pt, ciphertext);
        ciphertext.ShouldBe(ct);
        var plaintext = new byte[pt.Length];
        recipient.TryOpen(aad, ct, plaintext).ShouldBeTrue();
        plaintext.ShouldBe(pt);
    }

    private static HpkePrivateKey Recipient(JsonElement vector) => HpkePrivateKey.Import(Kem(vector), vector.Hex("skRm"));

    // DHKEM's ephemeral key is derived from ikmE; X-Wing's eseed is ikmE itself.
    private static byte[] Randomness(JsonElement vector)
    {
        var ikmE = vector.Hex("ikmE");
        return Kem(vector) == KemId.DhkemX25519 ? DhkemX25519.DeriveSecret(ikmE) : ikmE;
    }

    private static KemId Kem(JsonElement vector) => (KemId)vector.GetProperty("kem_id").GetUInt16();

    private static SymmetricSuite Suite(JsonElement vector) =>
        new((KdfId)vector.GetProperty("kdf_id").GetUInt16(), (AeadId)vector.GetProperty("aead_id").GetUInt16());

    private static JsonElement Find(string name) => All().Single(vector => vector.Name == name).Vector;

    private static IEnumerable<(string Name, JsonElement Vector)> All() =>
        from file in new[] { Rfc9180, EdgeCases, PostQuantum }
        from entry in Vectors.Json(file).GetProperty("vectors").EnumerateArray().Index()
        select ($"{file}#{entry.Index}: {entry.Item.GetProperty("mode").GetInt32()} {Id(entry.Item, "kem_id")} {Id(entry.Item, "kdf_id")} "
            + Id(entry.Item, "aead_id"), entry.Item);

    private static string Id(JsonElement vector, string member) =>
        vector.GetProperty(member).GetUInt16().ToString("x4", CultureInfo.InvariantCulture);
}
