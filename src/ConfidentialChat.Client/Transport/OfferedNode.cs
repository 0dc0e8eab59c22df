// spec/envelope-v2.md section 2 rule 2.
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport;

/// <summary>A node as the gateway lists it: its word, which says only what is to be fetched.</summary>
/// <param name="Node">The node.</param>
/// <param name="KeySet">Its newest.</param>
/// <param name="Bundle">SHA-256 of the bundle, 64 digits of lower-case hexadecimal.</param>
/// <param name="Price">Of the model that was asked for; nothing where it is free.</param>
internal sealed record OfferedNode(NodeId Node, KeySetDigest KeySet, string Bundle, UnitPrices Price)
{
    /// <summary>So many of a list are looked at.</summary>
    public const int MaxCount = 8;

    /// <summary>Bytes of a list, at most.</summary>
    public const int MaxListSize = 256 << 10;

    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 8, AllowDuplicateProperties = false };

    /// <summary>Reads a list; null where it is none. Members that are not known, and nodes beyond the number, are passed over.</summary>
    public static IReadOnlyList<OfferedNode>? ReadList(ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json, Options);
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("nodes"u8, out var nodes) || nodes.ValueKind != JsonValueKind.Array)
                return null;
            var listed = new List<OfferedNode>();
            foreach (var node in nodes.EnumerateArray().Take(MaxCount))
            {
                if (Read(node) is not { } read || listed.Exists(other => other.Node == read.Node))
                    return null;
                listed.Add(read);
            }

            return listed;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            return null; // InvalidOperationException: text that is no UTF-8
        }
    }

    private static OfferedNode? Read(JsonElement node)
    {
        return node.ValueKind == JsonValueKind.Object
            && node.TryGetProperty("id"u8, out var id) && id.ValueKind == JsonValueKind.Number && id.TryGetInt64(out var number) && number >= 0
            && KeySetDigest.TryParse(Text(node, "key_set"u8), out var keySet)
            && Text(node, "bundle"u8) is { Length: 64 } bundle && bundle.All(char.IsAsciiHexDigitLower)
            && TryReadPrice(node, out var price)
            ? new OfferedNode(new NodeId(number), keySet, bundle, price)
            : null;
    }

    private static bool TryReadPrice(JsonElement node, out UnitPrices price)
    {
        price = default;
        return !node.TryGetProperty("price"u8, out var said) || said.ValueKind == JsonValueKind.Null
            || (said.ValueKind == JsonValueKind.Object && Part("prompt"u8, out var prompt) && Part("completion"u8, out var completion)
                && Part("image"u8, out var image) && UnitPrices.TryCreate(prompt, completion, image, out price));

        bool Part(ReadOnlySpan<byte> name, out long number)
        {
            number = 0;
            return said.TryGetProperty(name, out var part) && part.ValueKind == JsonValueKind.Number && part.TryGetInt64(out number);
        }
    }

    private static string? Text(JsonElement node, ReadOnlySpan<byte> name) =>
        node.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
