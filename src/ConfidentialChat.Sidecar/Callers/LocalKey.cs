// spec/sidecar.md section 1.
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Sidecar.Callers;

/// <summary>What programs have to show, where there is such a thing. Kept as its hash.</summary>
internal sealed class LocalKey
{
    private const int MaxSize = 4096; // bytes of a file, and characters of a header

    private readonly string? file;
    private volatile byte[]? hash;

    private LocalKey(string? file, byte[]? hash)
    {
        this.file = file;
        this.hash = hash;
    }

    /// <summary>Whether anybody is asked for it.</summary>
    public bool IsAsked => hash is not null;

    /// <exception cref="SidecarOptionsException">There are two, or it is none.</exception>
    public static LocalKey Read(SidecarOptions options)
    {
        if (options is { LocalKey: not null, LocalKeyFile: not null })
            throw new SidecarOptionsException("The local key is given twice.", "give it by --local-key or in the environment, not both");
        return new LocalKey(
            options.LocalKeyFile,
            options.LocalKeyFile is { } file ? HashOf(ReadFile(file)) : options.LocalKey is { } key ? HashOf(key) : null);
    }

    /// <summary>Reads its file again. One that is not good changes nothing.</summary>
    public void ReadAgain(ILogger log)
    {
        if (file is null)
            return;
        try
        {
            hash = HashOf(ReadFile(file));
            log.KeyRead();
        }
        catch (SidecarOptionsException e)
        {
            log.KeyKept(e.Message);
        }
    }

    /// <summary>Whether a text is it, in constant time.</summary>
    public bool Is(ReadOnlySpan<char> text)
    {
        Span<byte> bytes = stackalloc byte[MaxSize];
        if (!Encoding.UTF8.TryGetBytes(text, bytes, out var size) || hash is not { } known)
            return false;
        var shown = Sha256.Hash(bytes[..size]);
        CryptographicOperations.ZeroMemory(bytes[..size]);
        return CryptographicOperations.FixedTimeEquals(shown, known);
    }

    private static byte[] HashOf(string key) =>
        key.Length is > 0 and <= MaxSize && SecretText.IsPlain(key)
            ? Sha256.Hash(Encoding.UTF8.GetBytes(key))
            : throw new SidecarOptionsException(
                "The local key is empty, or holds a sign that no key has.", "look for blanks, quotes and line breaks around it");

    private static string ReadFile(string file)
    {
        try
        {
            using var stream = File.OpenRead(file);
            var bytes = new byte[MaxSize + 1];
            var size = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return SecretText.WithoutLineEnd(Encoding.UTF8.GetString(bytes, 0, size));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SidecarOptionsException(
                $"The local key's file cannot be read ({e.GetType().Name}).", "--local-key names a file that this user may read", e);
        }
    }
}

/// <summary>Lets in who shows the local key, as OpenAI's clients do or as Anthropic's. Without one whatever they show is passed over.</summary>
internal sealed class LocalKeyCheck(RequestDelegate next, LocalKey key, Seldom seldom, ILogger<LocalKeyCheck> log)
{
    private const string Scheme = "Bearer ";
    private const string AnthropicKey = "x-api-key";

    public Task InvokeAsync(HttpContext context)
    {
        if (!key.IsAsked || LocalPaths.IsOpen(context.Request.Path) || Shows(context.Request.Headers))
            return next(context);
        if (seldom.Says("Requests without the local key"))
            log.Refused(SidecarError.LocalKeyWrong.Row().Code);
        context.Response.Headers.Connection = "close";
        context.Response.Headers.WWWAuthenticate = "Bearer";
        return SidecarRefusal.Of(SidecarError.LocalKeyWrong).WriteAsync(context);
    }

    private bool Shows(IHeaderDictionary headers) =>
        (headers.Authorization is [{ } header] && header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) && key.Is(header.AsSpan(Scheme.Length).Trim()))
        || (headers[AnthropicKey] is [{ } text] && key.Is(text));
}
