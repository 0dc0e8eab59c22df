using System.Reflection;
using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>
/// The protocol is wire formats and cryptography: it reaches for nothing, asks no clock and tells no log. Streams and pipes are its callers'.
/// </summary>
public sealed class PurityTests
{
    [Fact]
    public void The_protocol_has_no_io_clock_or_log()
    {
        const string forbidden =
            @"\bSystem\.IO\b(?!\.Pipelines\b)|\bSystem\.Net\b|\bMicrosoft\.\w+|\b(?:File|Directory|FileStream|Socket|HttpClient|HttpMessageInvoker|Console|Environment|Process)\.|\bnew (?:FileStream|Socket|HttpClient)\b"
            + @"|\bDateTime(?:Offset)?\.(?:Utc)?(?:Now|Today)\b|\bStopwatch\b|\bTimeProvider\b|\bThread\.Sleep\b|\bTask\.Delay\b|\bILogger\b";
        var findings =
            from source in Repository.Sources
            where source.IsIn("src/ConfidentialChat.Protocol")
            from Match match in Regex.Matches(source.Code, forbidden)
            select $"{source.Path}: {match.Value}";
        findings.ShouldBeNone("ConfidentialChat.Protocol has no I/O, clock or log.");
    }

    [Fact]
    public void The_verifier_asks_no_clock_tells_no_log_and_reads_files_in_its_collateral_folder_alone()
    {
        const string forbidden =
            @"\bSystem\.Net\b|\bMicrosoft\.\w+|\b(?:File|Directory|FileStream|Socket|HttpClient|Console|Environment|Process)\.|\bnew (?:FileStream|Socket|HttpClient)\b"
            + @"|\bDateTime(?:Offset)?\.(?:Utc)?(?:Now|Today)\b|\bStopwatch\b|\bTimeProvider\b|\bThread\.Sleep\b|\bTask\.Delay\b|\bILogger\b";
        var findings =
            from source in Repository.Sources
            where source.IsIn("src/ConfidentialChat.Attestation") && !source.IsIn("src/ConfidentialChat.Attestation/Collateral")
            from Match match in Regex.Matches(source.Code, forbidden)
            select $"{source.Path}: {match.Value}";
        findings.ShouldBeNone("A verdict is a function of evidence, collateral, policy and time.");
        Assembly.LoadFrom(Path.Combine(AppContext.BaseDirectory, "ConfidentialChat.Attestation.dll"))
            .GetReferencedAssemblies().Select(name => name.Name!).Where(name => name.StartsWith("System.Net", StringComparison.Ordinal))
            .ShouldBeNone("Verification has no network: docs/decisions/0012.");
    }

    [Fact]
    public void The_protocols_assembly_knows_neither_network_nor_files_nor_logging()
    {
        string[] allowed =
        [
            "NSec.Cryptography", "System.Collections", "System.Collections.Immutable", "System.Formats.Cbor", "System.IO.Pipelines", "System.Linq",
            "System.Memory", "System.Runtime", "System.Runtime.InteropServices", "System.Security.Cryptography", "System.Text.Encoding.Extensions",
            "System.Text.Encodings.Web", "System.Text.Json",
        ];
        Assembly.LoadFrom(Path.Combine(AppContext.BaseDirectory, "ConfidentialChat.Protocol.dll"))
            .GetReferencedAssemblies().Select(name => name.Name!).Except(allowed)
            .ShouldBeNone("ConfidentialChat.Protocol is to stand on these alone: " + string.Join(", ", allowed));
    }
}
