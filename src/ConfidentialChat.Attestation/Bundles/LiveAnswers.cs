// spec/attestation.md section 17.
using System.Buffers.Text;
using System.Text.Json;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>
/// The answers to all challenges that one bundle carries, which is encoded once: a beginning that they share, and an end of a few
/// hundred bytes for each. What they make together <see cref="LiveEvidence"/> reads. Immutable.
/// </summary>
public sealed class LiveAnswers
{
    private readonly ChallengeTree tree;

    /// <param name="bundle">Whose nonce is the tree's root.</param>
    /// <param name="tree">The challenges.</param>
    public LiveAnswers(ReadOnlySpan<byte> bundle, ChallengeTree tree)
    {
        ArgumentNullException.ThrowIfNull(tree);
        this.tree = tree;
        var before = "{\"bundle\":\""u8;
        var after = "\""u8;
        var beginning = new byte[before.Length + Base64.GetMaxEncodedToUtf8Length(bundle.Length) + after.Length];
        before.CopyTo(beginning);
        Base64.EncodeToUtf8(bundle, beginning.AsSpan(before.Length), out _, out _);
        after.CopyTo(beginning.AsSpan(beginning.Length - after.Length));
        Beginning = beginning;
    }

    /// <summary>Of every answer: the bundle.</summary>
    public ReadOnlyMemory<byte> Beginning { get; }

    /// <summary>The rest of the answer to one of the challenges.</summary>
    public byte[] End(int index)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteNumber("index", index);
            json.WriteNumber("size", tree.Size);
            json.WriteStartArray("path");
            foreach (var hash in tree.Path(index))
                json.WriteStringValue(Shown.Hex(hash));
            json.WriteEndArray();
            json.WriteEndObject();
        }

        var end = stream.ToArray();
        end[0] = (byte)','; // the object has begun
        return end;
    }
}
