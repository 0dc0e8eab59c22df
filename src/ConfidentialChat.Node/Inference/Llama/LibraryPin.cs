using System.Runtime.InteropServices;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>One published build of llama.cpp for one platform, named by what it must hash to.</summary>
/// <remarks>The builds are those of the npm packages <c>@node-llama-cpp/*</c> (MIT), which carry llama.cpp as its release made it.</remarks>
internal sealed record LibraryPin
{
    /// <summary>The version of the npm packages. Their llama.cpp is <see cref="LlamaNative.SupportedVersion"/>.</summary>
    public const string Version = "3.22.1";

    public static IReadOnlyList<LibraryPin> All { get; } =
    [
        new()
        {
            Platform = "linux-x64",
            TarballSize = 10_824_547,
            TarballSha512 = "5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==",
            ContentSha256 = "9fa8447e5378f7585308479de3c281496ae4e4e6a2bfb39ab57fa36e01c27856",
        },
        new()
        {
            Platform = "linux-arm64",
            TarballSize = 7_340_902,
            TarballSha512 = "W+7naKCXX9/eEjjFmRS8vvx91QyLXDbeFxexZc3bh/PtQABZgmRL3C0AtYYXn4YGTj/3Qor4lWZn2tpjZFPLdQ==",
            ContentSha256 = "f611e558f0a55f14eedb72279068dc6a9211a1197129cd063fcf6aed707f262e",
        },
    ];

    /// <summary>A runtime identifier; also the package's name after <c>@node-llama-cpp/</c>.</summary>
    public required string Platform { get; init; }

    /// <summary>Bytes of the tarball: nothing longer is read.</summary>
    public required long TarballSize { get; init; }

    /// <summary>Base64, as in the registry's <c>dist.integrity</c>.</summary>
    public required string TarballSha512 { get; init; }

    /// <summary>Hex of what <c>LC_ALL=C sha256sum libggml*.so libllama.v*.so | sha256sum</c> prints in the tarball's folder.</summary>
    public required string ContentSha256 { get; init; }

    /// <summary>Below a registry's base address.</summary>
    public string TarballPath => $"@node-llama-cpp/{Platform}/-/{Platform}-{Version}.tgz";

    /// <summary>The pin of the machine that this runs on.</summary>
    /// <exception cref="LlamaLibraryException">There is none.</exception>
    public static LibraryPin OfThisMachine() => Of(CurrentPlatform());

    /// <exception cref="LlamaLibraryException">No build is pinned for that platform.</exception>
    public static LibraryPin Of(string platform) =>
        All.FirstOrDefault(pin => string.Equals(pin.Platform, platform, StringComparison.Ordinal)) ?? throw new LlamaLibraryException(
            $"There is no prebuilt llama.cpp for {platform}; there is one for {string.Join(", ", All.Select(pin => pin.Platform))}.",
            $"build llama.cpp {LlamaNative.SupportedVersion} with GGML_BACKEND_DL=ON and name its folder with --engine-dir DIR");

    private static string CurrentPlatform()
    {
        var system = OperatingSystem.IsLinux() ? "linux" : OperatingSystem.IsMacOS() ? "osx" : OperatingSystem.IsWindows() ? "win" : "unknown";
        // The builds need glibc.
        if (OperatingSystem.IsLinux() && RuntimeInformation.RuntimeIdentifier.Contains("musl", StringComparison.Ordinal))
            system = "linux-musl";
#pragma warning disable CA1308 // Runtime identifiers are lower case.
        return $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
#pragma warning restore CA1308
    }
}
