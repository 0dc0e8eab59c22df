// spec/envelope-v1.md sections 3, 4, 7 and 8, and nothing of what a node does beside them.
using System.Buffers;
using System.Buffers.Text;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.Bench.WholePath.Servers;

/// <summary>What a node cannot leave out: key agreement, HKDF, AES-GCM, the hash, the engine, a sealed answer. No state, no checks.</summary>
internal sealed class FloorNode(Uri engine)
{
    private const int EventBlock = 256;
    private const int MostOfAnEvent = 4096;

    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly X25519PrivateKey key = X25519PrivateKey.Generate();
    private readonly HttpMessageInvoker invoker = new(Connections.Handler());
    private readonly Uri chat = new(engine, "v1/chat/completions");

    public string PublicKey => key.PublicKey.ToString();

    public async Task ServeAsync(HttpContext http)
    {
        var size = (int)http.Request.ContentLength!.Value;
        var body = ArrayPool<byte>.Shared.Rent(size);
        await http.Request.Body.ReadExactlyAsync(body.AsMemory(0, size), http.RequestAborted);
        using var aead = Open(body.AsSpan(0, size), out var plaintext);
        ArrayPool<byte>.Shared.Return(body);

        using var message = new HttpRequestMessage(HttpMethod.Post, chat) { Content = new ByteArrayContent(plaintext) };
        message.Content.Headers.ContentType = Json;
        using var answer = await invoker.SendAsync(message, http.RequestAborted);
        CryptographicOperations.ZeroMemory(plaintext);
        var from = await answer.Content.ReadAsStreamAsync(http.RequestAborted);
        if (answer.Content.Headers.ContentType?.MediaType == "text/event-stream")
            await StreamAsync(http, from, aead);
        else
            await WholeAsync(http, from, (int)answer.Content.Headers.ContentLength!.Value, aead);
    }

    private static async Task WholeAsync(HttpContext http, Stream from, int size, Aes256Gcm aead)
    {
        var padded = ArrayPool<byte>.Shared.Rent(Padme.Length(size));
        await from.ReadExactlyAsync(padded.AsMemory(0, size), http.RequestAborted);
        padded.AsSpan(size, Padme.Length(size) - size).Fill((byte)' ');
        var output = new ArrayBufferWriter<byte>(size * 2);
        Seal(padded.AsSpan(0, Padme.Length(size)), aead, output);
        ArrayPool<byte>.Shared.Return(padded);
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = output.WrittenCount;
        await http.Response.Body.WriteAsync(output.WrittenMemory, http.RequestAborted);
    }

    // Whatever has come is sealed event by event and goes out in one write.
    private static async Task StreamAsync(HttpContext http, Stream from, Aes256Gcm aead)
    {
        http.Response.ContentType = "text/event-stream";
        var writer = http.Response.BodyWriter;
        var buffer = ArrayPool<byte>.Shared.Rent(64 * 1024);
        var padded = new byte[MostOfAnEvent];
        var (filled, number) = (0, 0L);
        while (await from.ReadAsync(buffer.AsMemory(filled), http.RequestAborted) is > 0 and var read)
        {
            filled += read;
            var start = 0;
            while (buffer.AsSpan(start, filled - start).IndexOf("\n\n"u8) is >= 0 and var length)
            {
                var json = buffer.AsSpan(start + "data: ".Length, length - "data: ".Length);
                start += length + 2;
                if (json[0] != '{')
                    continue; // [DONE]
                var name = json.IndexOf("\"finish_reason\":\"stop\""u8) > 0 ? "{\"last\":"u8 : "{\"seq\":"u8;
                name.CopyTo(padded);
                Utf8Formatter.TryFormat(number++, padded.AsSpan(name.Length), out var digits);
                var written = name.Length + digits;
                padded[written++] = (byte)',';
                json[1..].CopyTo(padded.AsSpan(written));
                written += json.Length - 1;
                var size = (written + EventBlock - 1) / EventBlock * EventBlock;
                padded.AsSpan(written, size - written).Fill((byte)' ');
                writer.Write("data: "u8);
                Seal(padded.AsSpan(0, size), aead, writer);
                writer.Write("\n\n"u8);
            }

            buffer.AsSpan(start, filled - start).CopyTo(buffer);
            filled -= start;
            await writer.FlushAsync(http.RequestAborted);
        }

        ArrayPool<byte>.Shared.Return(buffer);
    }

    private Aes256Gcm Open(ReadOnlySpan<byte> envelope, out byte[] plaintext)
    {
        byte[]? ciphertext = null, nonce = null, salt = null, clientKey = null;
        var reader = new Utf8JsonReader(envelope);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("ciphertext"u8) && reader.Read())
                ciphertext = reader.GetBytesFromBase64();
            else if (reader.ValueTextEquals("nonce"u8) && reader.Read())
                nonce = reader.GetBytesFromBase64();
            else if (reader.ValueTextEquals("salt"u8) && reader.Read())
                salt = reader.GetBytesFromBase64();
            else if (reader.ValueTextEquals("client_dh_public_key"u8) && reader.Read())
                clientKey = reader.GetBytesFromBase64();
            reader.Skip();
        }

        Span<byte> secret = stackalloc byte[X25519PrivateKey.SharedSecretSize];
        Span<byte> content = stackalloc byte[Aes256Gcm.KeySize];
        Span<byte> hash = stackalloc byte[Blake2b256.Size];
        plaintext = new byte[ciphertext!.Length - Aes256Gcm.TagSize];
        if (!key.TryAgree(new X25519PublicKey(clientKey), secret))
            throw new CryptographicException();
        HkdfSha256.Derive(secret, salt, [], content);
        var aead = new Aes256Gcm(content);
        if (!aead.TryOpen(nonce, [], ciphertext, plaintext))
            throw new CryptographicException();
        Blake2b256.Hash(plaintext, hash);
        return aead;
    }

    private static void Seal(ReadOnlySpan<byte> padded, Aes256Gcm aead, IBufferWriter<byte> output)
    {
        Span<byte> nonce = stackalloc byte[Aes256Gcm.NonceSize];
        RandomNumberGenerator.Fill(nonce);
        var ciphertext = ArrayPool<byte>.Shared.Rent(padded.Length + Aes256Gcm.TagSize);
        var sealedBytes = ciphertext.AsSpan(0, padded.Length + Aes256Gcm.TagSize);
        aead.Seal(nonce, [], padded, sealedBytes);
        output.Write("{\"ciphertext\":\""u8);
        Base64.EncodeToUtf8(sealedBytes, output.GetSpan(Base64.GetMaxEncodedToUtf8Length(sealedBytes.Length)), out _, out var written);
        output.Advance(written);
        output.Write("\",\"nonce\":\""u8);
        Base64.EncodeToUtf8(nonce, output.GetSpan(Base64.GetMaxEncodedToUtf8Length(nonce.Length)), out _, out written);
        output.Advance(written);
        output.Write("\",\"response_hash\":null,\"signature\":null}"u8);
        ArrayPool<byte>.Shared.Return(ciphertext);
    }
}
