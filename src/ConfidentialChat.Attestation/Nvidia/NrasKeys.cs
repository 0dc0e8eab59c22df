// spec/attestation.md section 22 check 2. RFC 7517.
using System.Text.Json;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>The keys that a caller trusts to be of NVIDIA's attestation service, by their ids. Immutable.</summary>
public sealed class NrasKeys
{
    private const int KeyCount = 256;
    private readonly Dictionary<string, byte[]> points;

    private NrasKeys(Dictionary<string, byte[]> points) => this.points = points;

    /// <summary>Reads a JWK set; keys of other kinds are left out.</summary>
    /// <param name="json">At most 256 KiB. Whose it is, the caller has to know: nothing in it proves that.</param>
    /// <param name="keys">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlyMemory<byte> json, out NrasKeys? keys)
    {
        keys = null;
        if (json.Length > Bounds.IntelJson)
            return Rejection.TooLarge(Bounds.IntelJson, json.Length);
        if (NrasToken.Parse(json) is not { ValueKind: JsonValueKind.Object } set || !set.TryGetProperty("keys", out var list)
            || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() > KeyCount)
            return Rejection.Malformed($"a set of at most {KeyCount} keys", "something else");
        var points = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var key in list.EnumerateArray())
        {
            if (key.ValueKind != JsonValueKind.Object || NrasToken.String(key, "kty") != "EC" || NrasToken.String(key, "crv") != "P-384")
                continue;
            if (NrasToken.String(key, "kid") is not { } id || Coordinate(key, "x") is not { } x || Coordinate(key, "y") is not { } y)
                return Rejection.Malformed("keys with kid, x and y", "something else");
            // Two keys of one name would leave it to chance which of them is asked.
            if (!points.TryAdd(id, [.. x, .. y]))
                return Rejection.Malformed("each kid once", "one twice");
        }

        keys = new NrasKeys(points);
        return null;
    }

    internal Rejection? Fault(NrasToken token)
    {
        if (!points.TryGetValue(token.KeyId, out var point))
            return new Rejection(RejectionCode.Untrusted, "a key of the set", Shown.Text(token.KeyId));
        if (VerificationKey.TryImportP384(point, out var key) is { } rejection)
            return rejection;
        using (key)
            return key!.Verify(token.Signed, token.Signature)
                ? null
                : new Rejection(RejectionCode.BadSignature, $"signed by {Shown.Text(token.KeyId)}", "another signature");
    }

    private static byte[]? Coordinate(JsonElement key, string name) =>
        NrasToken.String(key, name) is { } text && NrasToken.Bytes(text) is { Length: 48 } bytes ? bytes : null;
}
