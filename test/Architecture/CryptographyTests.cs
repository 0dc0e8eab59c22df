using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>Ciphers, key agreement and signatures are in one folder, where they are tested against foreign vectors.</summary>
public sealed class CryptographyTests
{
    private const string Primitives = "src/ConfidentialChat.Protocol/Primitives";

    /// <summary>Vendors' certificates and signatures are verified with the framework's own cryptography; nothing there makes a wire format.</summary>
    private const string Verifier = "src/ConfidentialChat.Attestation";

    /// <summary>What of System.Security.Cryptography may stand outside Primitives: nothing that makes a wire format.</summary>
    private static readonly string[] AllowedEverywhere = ["CryptographicOperations", "RandomNumberGenerator"];

    /// <summary>What a server needs besides: TLS certificates and the hashes that pin them, bearer secrets and downloads.</summary>
    private static readonly Dictionary<string, string[]> AllowedFiles = new(StringComparer.Ordinal)
    {
        ["src/ConfidentialChat.Cli/Commands/VerifyOutput.cs"] = ["SHA256"],
        ["src/ConfidentialChat.Cli/Stack/DemoModel.cs"] = ["SHA256"],
        ["src/ConfidentialChat.Gateway/Auth/BearerSecret.cs"] = ["SHA256"],
        ["src/ConfidentialChat.Gateway/Nodes/NodeAddress.cs"] = ["SHA256"],
        ["src/ConfidentialChat.Gateway/Relay/NodeConnections.cs"] = ["SHA256", "X509Certificate2"],
        ["src/ConfidentialChat.Hosting/Certificates/CertificateFiles.cs"] =
            ["AsymmetricAlgorithm", "CryptographicException", "ECDsa", "PemEncoding", "RSA", "SHA256", "X509Certificate2", "X509CertificateLoader"],
        ["src/ConfidentialChat.Hosting/Certificates/ServerCertificate.cs"] =
        [
            "CryptographicException", "StoreLocation", "StoreName", "OpenFlags", "X509Certificate2", "X509Certificate2Collection", "X509Store",
            "X509SubjectAlternativeNameExtension",
        ],
        // Words of ours that the framework has types for: a parameter, a message, the primitive of that name.
        ["src/ConfidentialChat.Protocol/Hpke/DhkemX25519.cs"] = ["PublicKey"],
        ["src/ConfidentialChat.Protocol/Hpke/LabeledHkdf.cs"] = ["HKDF", "SHA256"],
        ["src/ConfidentialChat.Protocol/Hpke/MlKem768X25519.cs"] = ["Shake256"],
        ["src/ConfidentialChat.Protocol/Relay/RelayKey.cs"] = ["PublicKey"],
        ["src/ConfidentialChat.Node/Enrolment/NodeIdentity.cs"] =
        [
            "CertificateRequest", "ECCurve", "ECDsa", "HashAlgorithmName", "SHA256", "SubjectAlternativeNameBuilder", "X509Certificate2",
            "X509CertificateLoader", "X509ContentType",
        ],
        ["src/ConfidentialChat.Node/Inference/Llama/LibraryTarball.cs"] = ["HashAlgorithmName", "IncrementalHash"],
        ["src/ConfidentialChat.Node/Inference/Llama/LlamaBackend.cs"] = ["SHA256"],
        ["src/ConfidentialChat.Node/Inference/Llama/LlamaLibrary.cs"] = ["SHA256"],
    };

    /// <summary>A name that may be a type's: not somebody's member, or written with its namespace.</summary>
    private const string Name = @"(?:(?<!\.)|(?<=(?:Cryptography|X509Certificates)\.))\b[A-Za-z_]\w*\b";

    /// <summary>The public types of the namespace and those below it.</summary>
    private static readonly string[] Types =
    [
        .. new[] { typeof(System.Security.Cryptography.SHA256).Assembly }
            .SelectMany(assembly => assembly.GetExportedTypes())
            .Where(type => type.Namespace?.StartsWith("System.Security.Cryptography", StringComparison.Ordinal) == true && !type.IsNested)
            .Select(type => type.Name.Split('`')[0]),
    ];

    [Fact]
    public void Only_the_primitives_use_the_crypto_library() =>
        Repository.Sources.Where(source => source.IsIn("src") && !source.IsIn(Primitives))
            .Where(source => Regex.IsMatch(source.Code, """\b(?:NSec|libsodium|crypto_\w+|BouncyCastle)\b""", RegexOptions.IgnoreCase))
            .Select(source => source.Path)
            .ShouldBeNone($"Only {Primitives} may use NSec or libsodium.");

    [Fact]
    public void Outside_the_primitives_only_what_is_named_here_is_used_of_the_frameworks_cryptography()
    {
        Types.Length.ShouldBeGreaterThan(100);
        Types.ShouldContain("AesGcm");
        var findings =
            from source in Repository.Sources
            where source.IsIn("src") && !source.IsIn(Primitives) && !IsVerifier(source)
                && source.Code.Contains("System.Security.Cryptography", StringComparison.Ordinal)
            let words = Regex.Matches(source.Code, Name).Select(word => word.Value).ToHashSet(StringComparer.Ordinal)
            from type in Types
            where words.Contains(type) && !AllowedEverywhere.Contains(type)
                && !AllowedFiles.GetValueOrDefault(source.Path, []).Contains(type)
            select $"{source.Path}: {type}";
        findings.ShouldBeNone($"Cryptography belongs under {Primitives}; an exception is named in this test with its file.");
    }

    [Fact]
    public void Outside_the_primitives_no_cryptography_hides_behind_another_name() =>
        Repository.Sources.Where(source => source.IsIn("src") && !source.IsIn(Primitives))
            .Where(source => Regex.IsMatch(source.Code, @"\busing\s+(?:static\s+|\w+\s*=\s*)System\.Security\.Cryptography"))
            .Select(source => source.Path)
            .ShouldBeNone("An alias would keep the rule above from seeing what is used.");

    private static bool IsVerifier(SourceFile source) => source.IsIn(Verifier) || source.IsIn(Verifier + ".Simulated");

    [Fact]
    public void The_named_exceptions_are_in_use()
    {
        var findings =
            from entry in AllowedFiles
            let source = Repository.Sources.SingleOrDefault(source => source.Path == entry.Key)
            from type in entry.Value
            where source is null || !Regex.Matches(source.Code, Name).Any(word => word.Value == type)
            select $"{entry.Key}: {type}";
        findings.ShouldBeNone("An exception that nobody needs any more is to go.");
    }
}
