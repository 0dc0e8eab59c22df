// FIPS 180-4.
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>SHA-256 of bytes that come one after the other. Not for concurrent use.</summary>
public sealed class RunningSha256 : IDisposable
{
    private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    public void Add(ReadOnlySpan<byte> data) => hash.AppendData(data);

    /// <summary>32 bytes, of all that came; what comes afterwards belongs to another digest.</summary>
    public byte[] Finish() => hash.GetHashAndReset();

    public void Dispose() => hash.Dispose();
}
