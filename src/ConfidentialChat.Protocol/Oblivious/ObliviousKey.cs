// spec/oblivious-v2.md sections 4 and 5, the node's side.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol.Hpke;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>A private key of a node with what it publishes about it. Disposal erases the private key.</summary>
public sealed class ObliviousKey : IDisposable
{
    /// <param name="keyId">Not given to another key while an evidence bundle that names this one is valid.</param>
    /// <param name="privateKey">Belongs to this object from here on.</param>
    /// <param name="suites">In the node's order of preference.</param>
    public ObliviousKey(byte keyId, HpkePrivateKey privateKey, IReadOnlyList<SymmetricSuite> suites)
    {
        PrivateKey = privateKey;
        Configuration = new KeyConfiguration(keyId, privateKey.PublicKey, suites);
    }

    public KeyConfiguration Configuration { get; }

    internal HpkePrivateKey PrivateKey { get; }

    /// <summary>A fresh key.</summary>
    public static ObliviousKey Generate(byte keyId, KemId kem, IReadOnlyList<SymmetricSuite> suites) =>
        new(keyId, HpkePrivateKey.Generate(kem), suites);

    public void Dispose() => PrivateKey.Dispose();
}

/// <summary>The keys that a node opens requests with at one time. Immutable: a rotation makes another ring. It owns no key.</summary>
public sealed class ObliviousKeyRing
{
    private readonly ObliviousKey?[] byId = new ObliviousKey?[256];

    /// <exception cref="ArgumentException">Two keys have one id.</exception>
    public ObliviousKeyRing(params IReadOnlyList<ObliviousKey> keys)
    {
        Published = new KeyConfigurationList(keys.Select(key => key.Configuration));
        foreach (var key in keys)
            byId[key.Configuration.KeyId] = key;
    }

    /// <summary>What clients are given, in the order of the keys.</summary>
    public KeyConfigurationList Published { get; }

    /// <summary>The key that a header names, where all four of its ids fit: never another key, never another suite.</summary>
    internal bool TryFind(RequestHeader header, [NotNullWhen(true)] out ObliviousKey? key)
    {
        key = byId[header.KeyId];
        if (key?.Configuration.PublicKey.Kem != header.Kem || !key.Configuration.Suites.Contains(header.Suite))
            key = null;
        return key is not null;
    }
}
