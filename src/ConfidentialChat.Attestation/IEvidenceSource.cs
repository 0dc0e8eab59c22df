// spec/attestation.md section 11.
namespace ConfidentialChat.Attestation;

/// <summary>Makes evidence of the processor that this process runs on. Asked once at a time.</summary>
public interface IEvidenceSource
{
    /// <summary>One of <see cref="CpuType"/>.</summary>
    string Type { get; }

    /// <summary>Evidence that carries these 64 bytes, with its collateral.</summary>
    /// <exception cref="EvidenceUnavailableException">There is none now; later there may be.</exception>
    ValueTask<CpuEvidence> CollectAsync(ReadOnlyMemory<byte> reportData, CancellationToken cancellation);
}

/// <summary>The processor, or whoever certifies it, gave no evidence. The message is for the operator's log.</summary>
public sealed class EvidenceUnavailableException(string message, Exception? inner = null) : Exception(message, inner);
