using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The native llama.cpp library, found on this machine. Whoever holds one may load models.</summary>
/// <remarks>
/// A fetched library is checked against a pin each time it is located, so a damaged or altered cache is fetched again.
/// A folder that the operator names is loaded as it is.
/// </remarks>
public sealed class LlamaLibrary
{
    private static readonly Lock Loading = new();
    private static string? Loaded;
    private static nint Llama;
    private static nint Ggml;
    private static DllImportResolver? Resolver;

    private LlamaLibrary(string directory, bool isPinned)
    {
        Directory = directory;
        IsPinned = isPinned;
    }

    /// <summary>The folder that holds libllama and its companions; absolute.</summary>
    public string Directory { get; }

    /// <summary>Whether the folder's contents were checked against the pin of this build.</summary>
    public bool IsPinned { get; }

    /// <summary>Finds the library: the named folder, else the cache, else the registry.</summary>
    /// <param name="source">Where to look and where to fetch.</param>
    /// <param name="progress">Told of a fetch as it goes on; never called where nothing is fetched.</param>
    /// <param name="cancellation">Ends a fetch; the cache stays as it was.</param>
    /// <exception cref="LlamaLibraryException">It is nowhere to be had. Says what happened and gives a hint.</exception>
    public static async Task<LlamaLibrary> LocateAsync(
        LlamaLibrarySource source, IProgress<LibraryProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (source.EngineDirectory is { } named)
        {
            var directory = Path.GetFullPath(named);
            if (FindLibrary(directory, "libllama") is null || FindLibrary(directory, "libggml") is null)
            {
                throw new LlamaLibraryException(
                    $"The folder {directory} has no libllama and libggml.",
                    "name the folder that holds libllama*.so, libggml*.so and the libggml-cpu-*.so");
            }

            return new LlamaLibrary(directory, isPinned: false);
        }

        var pin = source.Platform is { } platform ? LibraryPin.Of(platform) : LibraryPin.OfThisMachine();
        var cached = Path.Combine(source.CacheDirectory ?? LlamaLibrarySource.DefaultCacheDirectory(), $"{LibraryPin.Version}-{pin.Platform}");
        if (!await MatchesAsync(cached, pin, cancellation))
            await LibraryTarball.FetchAsync(source, pin, cached, progress, cancellation);
        return new LlamaLibrary(cached, isPinned: true);
    }

    /// <summary>Whether the folder holds the files of the pin, and no other.</summary>
    internal static async Task<bool> MatchesAsync(string directory, LibraryPin pin, CancellationToken cancellation)
    {
        if (!System.IO.Directory.Exists(directory))
            return false;
        var lines = new StringBuilder();
        foreach (var file in System.IO.Directory.EnumerateFileSystemEntries(directory).Order(StringComparer.Ordinal))
        {
            if (!File.Exists(file))
                return false;
            await using var content = File.OpenRead(file);
            var hash = await SHA256.HashDataAsync(content, cancellation);
            lines.Append(Convert.ToHexStringLower(hash)).Append("  ").Append(Path.GetFileName(file)).Append('\n');
        }

        var digest = SHA256.HashData(Encoding.UTF8.GetBytes(lines.ToString()));
        return string.Equals(Convert.ToHexStringLower(digest), pin.ContentSha256, StringComparison.Ordinal);
    }

    /// <summary>Loads the library into the process, once; a process has one.</summary>
    /// <exception cref="LlamaLibraryException">It does not load, or is not the version that this build knows.</exception>
    internal unsafe void Load()
    {
        lock (Loading)
        {
            if (Loaded is not null)
            {
                if (!string.Equals(Loaded, Directory, StringComparison.Ordinal))
                    throw new LlamaLibraryException($"This process uses the llama.cpp library in {Loaded} already.", "use one --engine-dir in a process");
                return;
            }

            // ggml loads whatever this names, past every check.
            if (IsPinned && Environment.GetEnvironmentVariable("GGML_BACKEND_PATH") is { Length: > 0 })
            {
                throw new LlamaLibraryException(
                    "GGML_BACKEND_PATH is set: code that no pin covers would be loaded into the node.", "unset GGML_BACKEND_PATH");
            }

            // libllama finds libggml beside itself: its RUNPATH is $ORIGIN.
            Llama = LoadFile("libllama");
            Ggml = LoadFile("libggml");
            if (Resolver is null)
            {
                Resolver = Resolve;
                NativeLibrary.SetDllImportResolver(Assembly.GetExecutingAssembly(), Resolver);
            }

            LlamaLog.Silence();
            var version = Marshal.PtrToStringUTF8((nint)LlamaNative.Version()) ?? "";
            if (!version.StartsWith(LlamaNative.SupportedVersion, StringComparison.Ordinal))
            {
                throw new LlamaLibraryException(
                    $"The llama.cpp library in {Directory} is {version}; this build knows {LlamaNative.SupportedVersion}.",
                    "leave --engine-dir out, and the right one is fetched");
            }

            LlamaNative.CheckLayout();
            LlamaNative.LoadBackends(Directory);
            if (LlamaNative.BackendCount() == 0)
                throw new LlamaLibraryException($"No back end of llama.cpp in {Directory} runs on this processor.", "--engine-dir needs a libggml-cpu-*.so");
            LlamaNative.InitializeBackend();
            Loaded = Directory;
        }
    }

    // The resolver is the only one of the assembly; names that are not ours go the usual way.
    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path) => name switch
    {
        LlamaNative.Llama => Llama,
        LlamaNative.Ggml => Ggml,
        _ => 0,
    };

    private nint LoadFile(string stem)
    {
        var file = FindLibrary(Directory, stem) ?? throw new LlamaLibraryException(
            $"The folder {Directory} has no {stem}.", "remove the folder, and the library is fetched again");
        try
        {
            return NativeLibrary.Load(file);
        }
        catch (Exception failure) when (failure is DllNotFoundException or BadImageFormatException)
        {
            throw new LlamaLibraryException(
                $"The native library {file} does not load: {failure.Message}",
                "it needs 64-bit Linux with glibc and libstdc++, on a file system that is not mounted noexec",
                failure);
        }
    }

    // "libllama.so", or with a version in the name as the published builds have it: "libllama.v0.5.0.so".
    private static string? FindLibrary(string directory, string stem)
    {
        if (!System.IO.Directory.Exists(directory))
            return null;
        var plain = Path.Combine(directory, stem + ".so");
        return File.Exists(plain)
            ? plain
            : System.IO.Directory.EnumerateFiles(directory, stem + ".v*.so").Order(StringComparer.Ordinal).LastOrDefault();
    }
}

/// <summary>Where the native library may come from.</summary>
public sealed record LlamaLibrarySource
{
    /// <summary>A folder with libllama and its companions; used as it is, and nothing is fetched.</summary>
    public string? EngineDirectory { get; init; }

    /// <summary>The folder that holds fetched libraries, one folder for each version and platform. By default that of the user.</summary>
    public string? CacheDirectory { get; init; }

    /// <summary>The npm registry's base address; https, or http on loopback. By default <c>npm_config_registry</c>, else npm's own.</summary>
    public Uri? Registry { get; init; }

    /// <summary>How long the registry may send nothing.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Another machine's runtime identifier, such as <c>linux-arm64</c>, to prepare a cache for it. By default this machine's.</summary>
    public string? Platform { get; init; }

    /// <summary><c>$XDG_CACHE_HOME/confidentialchat/engine</c>, else <c>~/.cache/confidentialchat/engine</c>.</summary>
    /// <exception cref="LlamaLibraryException">The user has neither.</exception>
    public static string DefaultCacheDirectory()
    {
        var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        // The XDG base directory specification: a relative path is invalid and ignored.
        if (!Path.IsPathFullyQualified(cache ?? ""))
        {
            var home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
            if (home.Length == 0)
                throw new LlamaLibraryException(
                    "There is no folder to keep the llama.cpp library in: HOME is not set.", "set XDG_CACHE_HOME, or use --engine-dir DIR");
            cache = Path.Combine(home, ".cache");
        }

        return Path.Combine(cache!, "confidentialchat", "engine");
    }

    /// <exception cref="LlamaLibraryException">It is not an address that a library may come from.</exception>
    internal Uri RegistryAddress()
    {
        var configured = Registry?.OriginalString ?? Environment.GetEnvironmentVariable("npm_config_registry");
        if (string.IsNullOrWhiteSpace(configured))
            configured = "https://registry.npmjs.org";
        if (!TryRead(configured, out var address))
        {
            throw new LlamaLibraryException(
                "The npm registry's address is not an https address (http is for loopback only).",
                "set npm_config_registry to one such as https://registry.npmjs.org");
        }

        return address;

        static bool TryRead(string text, [NotNullWhen(true)] out Uri? address) =>
            Uri.TryCreate(text.EndsWith('/') ? text : text + "/", UriKind.Absolute, out address) &&
            (address.Scheme.Equals(Uri.UriSchemeHttps, StringComparison.Ordinal) ||
                (address.Scheme.Equals(Uri.UriSchemeHttp, StringComparison.Ordinal) && address.IsLoopback));
    }
}

/// <summary>How far a fetch is.</summary>
/// <param name="Step">What is being done.</param>
/// <param name="Bytes">Done of it.</param>
/// <param name="TotalBytes">Of how many.</param>
public readonly record struct LibraryProgress(LibraryStep Step, long Bytes, long TotalBytes);

/// <summary>Steps of a fetch, in order.</summary>
public enum LibraryStep
{
    Downloading,
    Extracting,
    Done,
}

/// <summary>The native library is missing, wrong or does not load. For people: a message and a hint.</summary>
public sealed class LlamaLibraryException(string message, string hint, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What to do about it.</summary>
    public string Hint { get; } = hint;
}
