// spec/oblivious-v2.md section 4; RFC 9458 section 3.1.
using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol.Hpke;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>One public key of a node, its id, and the suites that the node takes with it: at least one, all of them known here.</summary>
public sealed class KeyConfiguration
{
    // offset  size  name
    // 0       1     key_id
    // 1       2     kem_id
    // 3       Npk   public_key
    // 3+Npk   2     length of the suites
    // 5+Npk   4…    kdf_id (2), aead_id (2)
    private const int KeyOffset = 3;
    private const int SuiteSize = 4;

    /// <exception cref="ArgumentException">There is no suite, or one that cannot seal.</exception>
    public KeyConfiguration(byte keyId, HpkePublicKey publicKey, IReadOnlyList<SymmetricSuite> suites)
    {
        if (suites.Count == 0 || suites.Any(suite => !suite.CanSeal))
            throw new ArgumentException("A key configuration has suites, and each of them seals.", nameof(suites));
        KeyId = keyId;
        PublicKey = publicKey;
        Suites = [.. suites];
    }

    public byte KeyId { get; }

    public HpkePublicKey PublicKey { get; }

    /// <summary>In the node's order of preference.</summary>
    public IReadOnlyList<SymmetricSuite> Suites { get; }

    /// <summary>Reads one configuration without a length before it. Unknown suites are passed over.</summary>
    /// <returns>False where it is malformed or of no use here.</returns>
    public static bool TryParse(ReadOnlySpan<byte> entry, [NotNullWhen(true)] out KeyConfiguration? configuration) =>
        Parse(entry, out configuration) == EntryKind.Usable;

    /// <summary>Writes it without a length before it.</summary>
    public void Write(IBufferWriter<byte> output)
    {
        var entry = output.GetSpan(Size)[..Size];
        entry[0] = KeyId;
        BinaryPrimitives.WriteUInt16BigEndian(entry[1..], (ushort)PublicKey.Kem);
        PublicKey.Span.CopyTo(entry[KeyOffset..]);
        var rest = entry[(KeyOffset + PublicKey.Span.Length)..];
        BinaryPrimitives.WriteUInt16BigEndian(rest, (ushort)(Suites.Count * SuiteSize));
        for (var i = 0; i < Suites.Count; i++)
        {
            var suite = rest.Slice(sizeof(ushort) + (i * SuiteSize), SuiteSize);
            BinaryPrimitives.WriteUInt16BigEndian(suite, (ushort)Suites[i].Kdf);
            BinaryPrimitives.WriteUInt16BigEndian(suite[2..], (ushort)Suites[i].Aead);
        }

        output.Advance(Size);
    }

    internal int Size => KeyOffset + PublicKey.Span.Length + sizeof(ushort) + (Suites.Count * SuiteSize);

    internal static EntryKind Parse(ReadOnlySpan<byte> entry, out KeyConfiguration? configuration)
    {
        configuration = null;
        if (entry.Length < KeyOffset)
            return EntryKind.Malformed;
        if (Kem.Find((KemId)BinaryPrimitives.ReadUInt16BigEndian(entry[1..])) is not { } kem)
            return EntryKind.Unknown;
        if (entry.Length < KeyOffset + kem.Npk + sizeof(ushort)
            || !HpkePublicKey.TryImport(kem.Id, entry.Slice(KeyOffset, kem.Npk), out var publicKey))
            return EntryKind.Malformed;
        var rest = entry[(KeyOffset + kem.Npk)..];
        var suites = rest[sizeof(ushort)..];
        if (suites.Length != BinaryPrimitives.ReadUInt16BigEndian(rest) || suites.Length < SuiteSize || suites.Length % SuiteSize != 0)
            return EntryKind.Malformed;
        var known = ParseSuites(suites);
        if (known.Count == 0)
            return EntryKind.Unknown;
        configuration = new KeyConfiguration(entry[0], publicKey, known);
        return EntryKind.Usable;
    }

    private static List<SymmetricSuite> ParseSuites(ReadOnlySpan<byte> suites)
    {
        var known = new List<SymmetricSuite>();
        for (; !suites.IsEmpty; suites = suites[SuiteSize..])
        {
            var suite = new SymmetricSuite(
                (KdfId)BinaryPrimitives.ReadUInt16BigEndian(suites), (AeadId)BinaryPrimitives.ReadUInt16BigEndian(suites[2..]));
            if (suite.CanSeal && !known.Contains(suite))
                known.Add(suite);
        }

        return known;
    }
}

/// <summary>What an entry of a list is to us.</summary>
internal enum EntryKind
{
    Usable,

    /// <summary>Of a KEM, or of suites only, that are not known here.</summary>
    Unknown,

    Malformed,
}
