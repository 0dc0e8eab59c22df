// spec/oblivious-v2.md section 4; RFC 9458 section 3.2.
using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol.Hpke;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>The content of <c>application/ohttp-keys</c>: the keys of one node that are of use here, in its order.</summary>
public sealed class KeyConfigurationList
{
    public const string MediaType = "application/ohttp-keys";

    /// <summary>Bytes of a list, at most; section 4.</summary>
    public const int MaxSize = 65_536;

    /// <exception cref="ArgumentException">Two of them have one id.</exception>
    public KeyConfigurationList(IEnumerable<KeyConfiguration> configurations)
    {
        Configurations = [.. configurations];
        if (Configurations.DistinctBy(configuration => configuration.KeyId).Count() != Configurations.Count)
            throw new ArgumentException("An id names one key.", nameof(configurations));
    }

    /// <summary>May be none: the node then has no key that is of use here.</summary>
    public IReadOnlyList<KeyConfiguration> Configurations { get; }

    /// <summary>Reads a list from arbitrary bytes. What is unknown in it is skipped; what is malformed refuses it whole.</summary>
    public static bool TryParse(ReadOnlySpan<byte> content, [NotNullWhen(true)] out KeyConfigurationList? list)
    {
        list = null;
        if (content.Length is 0 or > MaxSize)
            return false;
        var usable = new List<KeyConfiguration>();
        while (!content.IsEmpty)
        {
            // entry = u16(length) ‖ configuration
            if (content.Length < sizeof(ushort))
                return false;
            int length = BinaryPrimitives.ReadUInt16BigEndian(content);
            content = content[sizeof(ushort)..];
            if (length > content.Length)
                return false;
            var kind = KeyConfiguration.Parse(content[..length], out var configuration);
            content = content[length..];
            if (kind == EntryKind.Malformed)
                return false;
            if (kind == EntryKind.Unknown)
                continue;
            if (usable.Exists(other => other.KeyId == configuration!.KeyId))
                return false;
            usable.Add(configuration!);
        }

        list = new KeyConfigurationList(usable);
        return true;
    }

    public void Write(IBufferWriter<byte> output)
    {
        foreach (var configuration in Configurations)
        {
            BinaryPrimitives.WriteUInt16BigEndian(output.GetSpan(sizeof(ushort)), (ushort)configuration.Size);
            output.Advance(sizeof(ushort));
            configuration.Write(output);
        }
    }

    /// <summary>The first key whose KEM is allowed, with the first of its suites that is allowed.</summary>
    /// <returns>False where the node offers nothing that is allowed: the caller then has nobody to talk to, and no weaker way.</returns>
    public bool TryChoose(
        IReadOnlySet<KemId> kems,
        IReadOnlySet<AeadId> aeads,
        [NotNullWhen(true)] out KeyConfiguration? configuration,
        out SymmetricSuite suite)
    {
        foreach (var candidate in Configurations)
        {
            if (!kems.Contains(candidate.PublicKey.Kem))
                continue;
            foreach (var offered in candidate.Suites)
            {
                if (!aeads.Contains(offered.Aead))
                    continue;
                (configuration, suite) = (candidate, offered);
                return true;
            }
        }

        (configuration, suite) = (null, default);
        return false;
    }
}
