using System.Net;
using System.Security.Cryptography;
using ConfidentialChat.Node.Inference.Llama;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Node.Tests.Llama;

/// <summary>The native library comes from the pinned archive or not at all.</summary>
public sealed class LibraryTests : IAsyncLifetime
{
    private const string Tarball = "/@node-llama-cpp/linux-x64/-/linux-x64-3.22.1.tgz";

    // The real archive, from the real registry, once.
    private static readonly Lazy<Task<byte[]>> FetchedTarball = new(async () =>
    {
        var registry = Environment.GetEnvironmentVariable("npm_config_registry") is { Length: > 0 } configured ? configured : "https://registry.npmjs.org";
        using var http = new HttpClient();
        return await http.GetByteArrayAsync(new Uri(registry.TrimEnd('/') + Tarball));
    });

    private readonly TemporaryFolder folder = new();
    private WebApplication registry = null!;
    private Func<HttpResponse, Task> answer = async response => await response.Body.WriteAsync(await FetchedTarball.Value);
    private int requests;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        registry = builder.Build();
        registry.MapGet("/npm" + Tarball, async (HttpResponse response) =>
        {
            Interlocked.Increment(ref requests);
            await answer(response);
        });
        await registry.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await registry.DisposeAsync();
        folder.Dispose();
    }

    [Fact]
    public async Task A_fresh_machine_fetches_the_library_once_and_is_told_how_far_it_is()
    {
        var progress = new Steps();

        var first = await LlamaLibrary.LocateAsync(Source(), progress);
        var second = await LlamaLibrary.LocateAsync(Source(), new Steps(fails: true));

        requests.ShouldBe(1);
        first.IsPinned.ShouldBeTrue();
        second.Directory.ShouldBe(first.Directory);
        Directory.EnumerateFileSystemEntries(first.Directory).Select(file => Path.GetFileName(file))
            .ShouldAllBe(name => name.StartsWith("lib", StringComparison.Ordinal) && name.EndsWith(".so", StringComparison.Ordinal));
        progress.Seen.Select(step => step.Step).Distinct().ShouldBe([LibraryStep.Downloading, LibraryStep.Extracting, LibraryStep.Done]);
        progress.Seen.Where(step => step.Step == LibraryStep.Downloading).ShouldBe(
            progress.Seen.Where(step => step.Step == LibraryStep.Downloading).OrderBy(step => step.Bytes));
        NothingIsLeftOver();
    }

    [Fact]
    public async Task An_archive_with_one_other_byte_is_thrown_away()
    {
        var altered = (byte[])(await FetchedTarball.Value).Clone();
        altered[^100] ^= 1;
        answer = async response => await response.Body.WriteAsync(altered);

        var failure = await Should.ThrowAsync<LlamaLibraryException>(() => LlamaLibrary.LocateAsync(Source()));

        failure.Message.ShouldContain("SHA-512");
        failure.Hint.ShouldContain("--engine-dir");
        NothingIsLeftOver();
        Directory.EnumerateFileSystemEntries(folder.Path).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_registry_that_sends_without_end_is_cut_off()
    {
        // Ends only when the other side hangs up.
        answer = async response =>
        {
            var chunk = RandomNumberGenerator.GetBytes(1 << 20);
            while (!response.HttpContext.RequestAborted.IsCancellationRequested)
            {
                await response.Body.WriteAsync(chunk);
                await Task.Yield();
            }
        };

        (await Should.ThrowAsync<LlamaLibraryException>(() => LlamaLibrary.LocateAsync(Source()))).Message.ShouldContain("SHA-512");
    }

    [Fact]
    public async Task A_download_that_breaks_off_is_thrown_away()
    {
        answer = async response =>
        {
            response.ContentLength = 10_824_547;
            await response.Body.WriteAsync((await FetchedTarball.Value).AsMemory(0, 100_000));
            await response.Body.FlushAsync();
            response.HttpContext.Abort();
        };

        (await Should.ThrowAsync<LlamaLibraryException>(() => LlamaLibrary.LocateAsync(Source()))).Message.ShouldContain("cannot be fetched");

        NothingIsLeftOver();
    }

    [Fact]
    public async Task A_registry_that_falls_silent_is_given_up()
    {
        answer = response => Task.Delay(Timeout.Infinite, response.HttpContext.RequestAborted);

        var failure = await Should.ThrowAsync<LlamaLibraryException>(
            () => LlamaLibrary.LocateAsync(Source() with { StallTimeout = TimeSpan.FromMilliseconds(200) }));

        failure.Message.ShouldContain("sent nothing");
    }

    [Fact]
    public async Task A_registry_without_the_package_is_named_with_what_it_answered()
    {
        answer = response =>
        {
            response.StatusCode = 404;
            return Task.CompletedTask;
        };

        (await Should.ThrowAsync<LlamaLibraryException>(() => LlamaLibrary.LocateAsync(Source()))).Message.ShouldContain("404");
    }

    [Fact]
    public async Task Without_a_network_the_message_says_what_to_do()
    {
        var source = Source();
        await registry.StopAsync();

        var failure = await Should.ThrowAsync<LlamaLibraryException>(() => LlamaLibrary.LocateAsync(source));

        failure.Message.ShouldContain("cannot be fetched");
        failure.Hint.ShouldContain("--engine-dir");
    }

    [Fact]
    public async Task Six_who_fetch_at_once_all_get_one_whole_library()
    {
        var found = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => LlamaLibrary.LocateAsync(Source()))));

        found.Select(library => library.Directory).Distinct(StringComparer.Ordinal).ShouldHaveSingleItem();
        NothingIsLeftOver();
    }

    [Fact]
    public async Task A_cache_that_was_altered_is_fetched_again()
    {
        var library = await LlamaLibrary.LocateAsync(Source());
        var file = Directory.EnumerateFiles(library.Directory).First();
        await File.AppendAllTextAsync(file, "x");
        await LlamaLibrary.LocateAsync(Source());
        // llama.cpp loads whatever back end lies there, so a file too many is as bad as another one.
        await File.WriteAllTextAsync(Path.Combine(library.Directory, "libggml-cpu-evil.so"), "x");
        await LlamaLibrary.LocateAsync(Source());

        requests.ShouldBe(3);
        File.Exists(Path.Combine(library.Directory, "libggml-cpu-evil.so")).ShouldBeFalse();
        NothingIsLeftOver();
    }

    [Fact]
    public async Task A_cache_that_cannot_be_written_is_named()
    {
        await File.WriteAllTextAsync(folder.File("file"), "");

        var failure = await Should.ThrowAsync<LlamaLibraryException>(
            () => LlamaLibrary.LocateAsync(Source() with { CacheDirectory = folder.File("file/cache") }));

        failure.Hint.ShouldContain("XDG_CACHE_HOME");
    }

    [Fact]
    public async Task A_named_folder_is_used_as_it_is_and_nothing_is_fetched()
    {
        var fetched = await LlamaLibrary.LocateAsync(Source());

        var named = await LlamaLibrary.LocateAsync(Source() with { EngineDirectory = fetched.Directory });
        var failure = await Should.ThrowAsync<LlamaLibraryException>(() => LlamaLibrary.LocateAsync(Source() with { EngineDirectory = folder.File("none") }));

        named.Directory.ShouldBe(fetched.Directory);
        named.IsPinned.ShouldBeFalse();
        failure.Message.ShouldContain("none");
        requests.ShouldBe(1);
    }

    [Theory]
    [InlineData("osx-arm64")]
    [InlineData("linux-musl-x64")]
    [InlineData("../../x")]
    public async Task A_platform_without_a_pin_is_refused_with_a_hint(string platform)
    {
        var failure = await Should.ThrowAsync<LlamaLibraryException>(() => LlamaLibrary.LocateAsync(Source() with { Platform = platform }));

        failure.Hint.ShouldContain("--engine-dir");
        requests.ShouldBe(0);
    }

    [Theory]
    [InlineData("http://registry.example/")]
    [InlineData("ftp://127.0.0.1/")]
    [InlineData("file:///etc/")]
    public async Task A_registry_without_https_is_refused(string registry)
    {
        await Should.ThrowAsync<LlamaLibraryException>(() => LlamaLibrary.LocateAsync(Source() with { Registry = new Uri(registry) }));
    }

    [Fact]
    public async Task A_fetch_that_is_cancelled_leaves_nothing()
    {
        using var cancellation = new CancellationTokenSource();
        answer = async response =>
        {
            await response.Body.WriteAsync(new byte[1000]);
            await cancellation.CancelAsync();
            await Task.Delay(Timeout.Infinite, response.HttpContext.RequestAborted);
        };

        await Should.ThrowAsync<OperationCanceledException>(() => LlamaLibrary.LocateAsync(Source(), cancellation: cancellation.Token));

        Directory.EnumerateFileSystemEntries(folder.Path).ShouldBeEmpty();
    }

    private LlamaLibrarySource Source() => new()
    {
        CacheDirectory = folder.Path,
        Registry = new Uri(registry.Urls.First() + "/npm"),
        Platform = "linux-x64",
    };

    private void NothingIsLeftOver() =>
        Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName).ShouldAllBe(name => name == "3.22.1-linux-x64");

    private sealed class Steps(bool fails = false) : IProgress<LibraryProgress>
    {
        public List<LibraryProgress> Seen { get; } = [];

        public void Report(LibraryProgress value)
        {
            fails.ShouldBeFalse();
            Seen.Add(value);
        }
    }
}
