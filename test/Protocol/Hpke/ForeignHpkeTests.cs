using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Protocol.Hpke;

namespace ConfidentialChat.Protocol.Tests.Hpke;

/// <summary>npm <c>@hpke/core</c> with its X-Wing package, unmodified, opens ours, and we open theirs.</summary>
public sealed class ForeignHpkeTests
{
    private static readonly string[] Messages = ["", "one", new('x', 20_000), "four"];

    public static TheoryData<KemId, AeadId> Suites => HpkeContextTests.Suites;

    [Theory]
    [MemberData(nameof(Suites))]
    public async Task A_foreign_HPKE_opens_what_ours_seals(KemId kem, AeadId aead)
    {
        var secret = Secret();
        using var key = HpkePrivateKey.Import(kem, secret);
        using var sender = SenderContext.SetupBase(key.PublicKey, new(KdfId.HkdfSha256, aead), "info"u8);
        var answer = await AskAsync(new
        {
            op = "open",
            kem_id = (ushort)kem,
            aead_id = (ushort)aead,
            info = Convert.ToHexString("info"u8),
            secret_key = Convert.ToHexString(secret),
            enc = Convert.ToHexString(sender.Enc),
            messages = Messages.Index()
                .Select(message => new { aad = Hex($"aad {message.Index}"), ct = Seal(sender, $"aad {message.Index}", message.Item) })
                .ToArray(),
            exporter_context = Hex("purpose"),
            L = 48,
        });
        answer.GetProperty("messages").EnumerateArray().Select(message => message.GetString()).ShouldBe(Messages.Select(Hex));
        answer.Hex("exported").ShouldBe(Export(sender));
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public async Task Ours_opens_what_a_foreign_HPKE_seals(KemId kem, AeadId aead)
    {
        using var key = HpkePrivateKey.Generate(kem);
        var answer = await AskAsync(new
        {
            op = "seal",
            kem_id = (ushort)kem,
            aead_id = (ushort)aead,
            info = Convert.ToHexString("info"u8),
            public_key = Convert.ToHexString(key.PublicKey.Span),
            messages = Messages.Select((message, index) => new { aad = Hex($"aad {index}"), pt = Hex(message) }).ToArray(),
            exporter_context = Hex("purpose"),
            L = 48,
        });
        RecipientContext.TrySetupBase(key, new(KdfId.HkdfSha256, aead), answer.Hex("enc"), "info"u8, out var recipient).ShouldBeTrue();
        using (recipient)
        {
            foreach (var (index, message) in answer.GetProperty("messages").EnumerateArray().Index())
            {
                var sealedMessage = Convert.FromHexString(message.GetString()!);
                var plaintext = new byte[sealedMessage.Length - 16];
                recipient!.TryOpen(Encoding.UTF8.GetBytes($"aad {index}"), sealedMessage, plaintext).ShouldBeTrue($"message {index}");
                plaintext.ShouldBe(Encoding.UTF8.GetBytes(Messages[index]));
            }

            Export(recipient!).ShouldBe(answer.Hex("exported"));
        }
    }

    private static async Task<JsonElement> AskAsync(object task) =>
        JsonElement.Parse(await SpecTools.RunAsync("foreign.mjs", JsonSerializer.Serialize(task)));

    private static byte[] Secret() => RandomNumberGenerator.GetBytes(32);

    private static string Seal(SenderContext sender, string aad, string message)
    {
        var plaintext = Encoding.UTF8.GetBytes(message);
        var ciphertext = new byte[plaintext.Length + 16];
        sender.Seal(Encoding.UTF8.GetBytes(aad), plaintext, ciphertext);
        return Convert.ToHexString(ciphertext);
    }

    private static byte[] Export(HpkeContext context)
    {
        var secret = new byte[48];
        context.Export("purpose"u8, secret);
        return secret;
    }

    private static string Hex(string text) => Convert.ToHexStringLower(Encoding.UTF8.GetBytes(text));
}
