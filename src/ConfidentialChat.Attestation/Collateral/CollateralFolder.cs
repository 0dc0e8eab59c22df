// spec/attestation.md section 13, and docs/attestation.md for the names of files.
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Collateral;

/// <summary>Where collateral comes from. What comes is a stranger's bytes until it is verified.</summary>
public interface ICollateralSource
{
    /// <summary>Intel's collateral for a platform; what is not there is null in it.</summary>
    /// <param name="fmspc">12 hexadecimal digits, lower case, or null where the quote names none.</param>
    /// <exception cref="IOException">Something is there and is no file that can be read.</exception>
    TdxCollateral Tdx(string? fmspc);
}

/// <summary>A folder of files as Intel's service gave them. The only source of this version: nothing is fetched.</summary>
public sealed class CollateralFolder(string folder) : ICollateralSource
{
    private const int LargestFile = Bounds.IntelJson;

    public TdxCollateral Tdx(string? fmspc) => new()
    {
        TcbInfo = (fmspc is null ? null : Find($"tcb_info_{fmspc}.json")) ?? Find("tcb_info.json", "tcbInfo.json"),
        QeIdentity = Find("qe_identity.json", "qeIdentity.json"),
        TcbSigningChain = InForm(Find("tcb_signing_chain.pem", "tcbSignChain.pem"), EvidenceForm.Certificates),
        PckCrl = InForm(Find("pck_crl.der", "pck_crl.pem", "intermediateCaCrl.der"), EvidenceForm.RevocationList),
        RootCaCrl = InForm(Find("root_ca_crl.der", "root_ca_crl.pem", "rootCaCrl.der"), EvidenceForm.RevocationList),
        TcbEvaluationNumbers = Find("tcb_evaluation_numbers.json", "tcbEvaluationDataNumbers.json"),
    };

    private static ReadOnlyMemory<byte>? InForm(ReadOnlyMemory<byte>? bytes, Func<ReadOnlyMemory<byte>, ReadOnlyMemory<byte>> form) =>
        bytes is { } given ? (ReadOnlyMemory<byte>?)form(given) : null;

    // The first that is there. A file that is too large is cut one byte beyond its bound, and refused for it where it is parsed.
    private ReadOnlyMemory<byte>? Find(params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            var path = Path.Combine(folder, name);
            if (!File.Exists(path))
                continue;
            // A pipe, a socket or a device has no length, and opening it could wait for ever.
            var target = File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;
            if (new FileInfo(target) is not { Exists: true, Length: > 0 })
                throw new IOException($"{name} is empty, or no regular file");
            using var file = File.OpenRead(target);
            var bytes = new byte[Math.Min(file.Length, LargestFile) + 1];
            return bytes.AsMemory(0, file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false));
        }

        return null;
    }
}
