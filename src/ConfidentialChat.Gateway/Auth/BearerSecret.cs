using System.Buffers;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace ConfidentialChat.Gateway.Auth;

/// <summary>What a secret opens; the word stands at its head, so that a leaked one is known for what it is.</summary>
internal enum SecretKind
{
    ApiKey,
    EnrolmentToken,
}

/// <summary>
/// A secret that its holder shows and the gateway knows by its hash: <c>cc_</c> or <c>cce_</c>, 8 public characters, <c>_</c>,
/// base64url of 32 random bytes. 256 random bits need no slow hash.
/// </summary>
internal sealed class BearerSecret
{
    private const string Scheme = "Bearer";
    private const int PrefixLength = 8;
    private const int RandomSize = 32;
    private const int MaxLength = 64; // more than any has
    private const string PrefixAlphabet = "abcdefghijklmnopqrstuvwxyz234567";

    private static readonly SearchValues<char> PrefixCharacters = SearchValues.Create(PrefixAlphabet);
    private static readonly byte[] NobodysHash = new byte[SHA256.HashSizeInBytes];

    private BearerSecret(string prefix, string text)
    {
        Prefix = prefix;
        Hash = SHA256.HashData(Encoding.ASCII.GetBytes(text));
    }

    /// <summary>Public: for look-up and display.</summary>
    public string Prefix { get; }

    /// <summary>SHA-256 of the whole text.</summary>
    public byte[] Hash { get; }

    /// <summary>Makes a secret. Its text is shown once and kept nowhere.</summary>
    public static BearerSecret Create(SecretKind kind, out string text)
    {
        var prefix = RandomNumberGenerator.GetString(PrefixAlphabet, PrefixLength);
        text = $"{Head(kind)}{prefix}_{Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(RandomSize))}";
        return new BearerSecret(prefix, text);
    }

    /// <summary>
    /// Reads an <c>Authorization</c> header, whatever it holds; null where it holds no such
    /// secret. One blank or more is between (RFC 9110 section 11.4).
    /// </summary>
    public static BearerSecret? FromHeader(SecretKind kind, string? header)
    {
        if (header is null || !header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            return null;
        var secret = header.AsSpan(Scheme.Length).TrimStart(' ');
        return secret.Length < header.Length - Scheme.Length && secret.Length <= MaxLength ? FromText(kind, secret.ToString()) : null;
    }

    /// <summary>Reads a secret; null where the text is none of this kind.</summary>
    public static BearerSecret? FromText(SecretKind kind, string text)
    {
        var head = Head(kind);
        if (text.Length != head.Length + PrefixLength + 1 + Base64Url.GetEncodedLength(RandomSize))
            return null;
        var prefix = text.AsSpan(head.Length, PrefixLength);
        var random = text.AsSpan(head.Length + PrefixLength + 1);
        return text.StartsWith(head, StringComparison.Ordinal) && !prefix.ContainsAnyExcept(PrefixCharacters)
            && text[head.Length + PrefixLength] == '_' && Base64Url.IsValid(random)
            ? new BearerSecret(prefix.ToString(), text)
            : null;
    }

    /// <summary>Compares in constant time, with a hash of nobody where there is none to compare with.</summary>
    public bool Matches(byte[]? hash) => CryptographicOperations.FixedTimeEquals(Hash, hash ?? NobodysHash) & hash is not null;

    private static string Head(SecretKind kind) => kind is SecretKind.ApiKey ? "cc_" : "cce_";
}
