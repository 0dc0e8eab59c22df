using System.Buffers;
using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The published archive of the library: fetched, checked, unpacked, moved into place in one step.</summary>
internal static class LibraryTarball
{
    // What the archive's libraries may take together when unpacked; today they are 25 MB.
    private const long UnpackedMax = 256L << 20;

    /// <summary>Makes <paramref name="target"/> hold the pinned library. Safe when several processes do it at once.</summary>
    public static async Task FetchAsync(
        LlamaLibrarySource source, LibraryPin pin, string target, IProgress<LibraryProgress>? progress, CancellationToken cancellation)
    {
        var address = new Uri(source.RegistryAddress(), pin.TarballPath);
        var parent = Path.GetDirectoryName(target)!;
        var workshop = Path.Combine(parent, $".{Path.GetFileName(target)}.{Guid.NewGuid():N}");
        try
        {
            // 1. A folder of our own beside the target, so that the last step is one rename.
            MakePrivate(parent);
            MakePrivate(workshop);
            var unpacked = Path.Combine(workshop, "unpacked");
            MakePrivate(unpacked);

            // 2. Fetch and check. Nothing reads the archive before its hash is right.
            var tarball = Path.Combine(workshop, "tarball");
            await DownloadAsync(source, pin, address, tarball, progress, cancellation);

            // 3. Unpack.
            progress?.Report(new LibraryProgress(LibraryStep.Extracting, 0, pin.TarballSize));
            await UnpackAsync(tarball, unpacked, cancellation);
            if (!await LlamaLibrary.MatchesAsync(unpacked, pin, cancellation))
                throw new LlamaLibraryException("The unpacked llama.cpp library is not the pinned one.", "check the disk; else report this");

            // 4. Move into place. A folder that is there is a winner of the race, or is damaged and goes.
            await PlaceAsync(unpacked, target, pin, workshop, cancellation);
            progress?.Report(new LibraryProgress(LibraryStep.Done, pin.TarballSize, pin.TarballSize));
        }
        catch (Exception failure) when (failure is UnauthorizedAccessException or IOException)
        {
            throw new LlamaLibraryException(
                $"The llama.cpp library cannot be kept in {parent}: {failure.Message}",
                "set XDG_CACHE_HOME to a folder that can be written, or use --engine-dir DIR",
                failure);
        }
        finally
        {
            Remove(workshop);
        }
    }

    private static async Task DownloadAsync(
        LlamaLibrarySource source, LibraryPin pin, Uri address, string file, IProgress<LibraryProgress>? progress, CancellationToken cancellation)
    {
        using var stall = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA512);
        using var handler = new SocketsHttpHandler { AutomaticDecompression = System.Net.DecompressionMethods.None };
        using var http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        var buffer = ArrayPool<byte>.Shared.Rent(1 << 16);
        try
        {
            stall.CancelAfter(source.StallTimeout);
            using var response = await http.GetAsync(address, HttpCompletionOption.ResponseHeadersRead, stall.Token);
            if (!response.IsSuccessStatusCode)
                throw Unreachable(address, $"it answered {(int)response.StatusCode}", null);
            await using var body = await response.Content.ReadAsStreamAsync(stall.Token);
            await using var copy = new FileStream(file, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0, useAsync: true);
            long received = 0;
            while (true)
            {
                stall.CancelAfter(source.StallTimeout);
                var count = await ReadAsync(body, buffer, address, stall.Token);
                if (count == 0)
                    break;
                received += count;
                // The pin knows the size: a registry that sends more gets no more room.
                if (received > pin.TarballSize)
                    throw Wrong(address);
                hash.AppendData(buffer, 0, count);
                await copy.WriteAsync(buffer.AsMemory(0, count), cancellation);
                progress?.Report(new LibraryProgress(LibraryStep.Downloading, received, pin.TarballSize));
            }
        }
        catch (HttpRequestException failure)
        {
            throw Unreachable(address, failure.InnerException?.Message ?? failure.Message, failure);
        }
        catch (OperationCanceledException failure) when (!cancellation.IsCancellationRequested)
        {
            throw Unreachable(address, $"it sent nothing for {source.StallTimeout.TotalSeconds:0} s", failure);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        if (!string.Equals(Convert.ToBase64String(hash.GetHashAndReset()), pin.TarballSha512, StringComparison.Ordinal))
            throw Wrong(address);
    }

    // Apart, because a file that cannot be written is an IOException too.
    private static async Task<int> ReadAsync(Stream body, byte[] buffer, Uri address, CancellationToken cancellation)
    {
        try
        {
            return await body.ReadAsync(buffer, cancellation);
        }
        catch (IOException failure)
        {
            throw Unreachable(address, failure.Message, failure);
        }
    }

    private static async Task UnpackAsync(string tarball, string folder, CancellationToken cancellation)
    {
        await using var file = File.OpenRead(tarball);
        await using var unzipped = new GZipStream(file, CompressionMode.Decompress);
        await using var tar = new TarReader(unzipped);
        var room = UnpackedMax;
        while (await tar.GetNextEntryAsync(copyData: false, cancellation) is { } entry)
        {
            // Only the last part of a name is used, and only where it is a library's: no entry says where it goes.
            var name = Path.GetFileName(entry.Name);
            if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile) || entry.DataStream is null || !IsLibrary(name))
                continue;
            room -= entry.Length;
            if (room < 0)
                throw new LlamaLibraryException("The llama.cpp archive unpacks to more than it may.", "report this");
            await using var copy = new FileStream(Path.Combine(folder, name), FileMode.CreateNew, FileAccess.Write);
            await entry.DataStream.CopyToAsync(copy, cancellation);
        }
    }

    // libllama and the ggml libraries; neither the Node.js addon nor the command-line tools' libllama-common.
    private static bool IsLibrary(string name) =>
        name.EndsWith(".so", StringComparison.Ordinal) &&
        (name.StartsWith("libggml", StringComparison.Ordinal) || name.StartsWith("libllama.v", StringComparison.Ordinal));

    private static async Task PlaceAsync(string unpacked, string target, LibraryPin pin, string workshop, CancellationToken cancellation)
    {
        // Twice: once to find the target taken, once after what was there has gone.
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                Directory.Move(unpacked, target);
                return;
            }
            catch (IOException) when (Directory.Exists(target))
            {
                if (await LlamaLibrary.MatchesAsync(target, pin, cancellation))
                    return;
                if (attempt > 8)
                    throw;
                // Moved aside, not deleted in place: a process that has it open keeps it.
                try
                {
                    Directory.Move(target, Path.Combine(workshop, $"damaged-{attempt}"));
                }
                catch (DirectoryNotFoundException)
                {
                    // Another process was quicker.
                }
            }
        }
    }

    private static void MakePrivate(string folder)
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(folder);
        else
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private static void Remove(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // What is left is a hidden folder that nobody reads.
        }
    }

    // The address without what may be secret in it.
    private static string Shown(Uri address) => address.GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped);

    private static LlamaLibraryException Unreachable(Uri address, string why, Exception? inner) => new(
        $"The llama.cpp library is not in the cache and cannot be fetched from {Shown(address)}: {why}.",
        "connect this machine, set npm_config_registry to a registry that it reaches, or copy the library here and use --engine-dir DIR",
        inner);

    private static LlamaLibraryException Wrong(Uri address) => new(
        $"What {Shown(address)} sent is not the pinned llama.cpp library: its SHA-512 is another. It was thrown away.",
        "a registry or proxy on the way alters packages; use another with npm_config_registry, or --engine-dir DIR");
}
