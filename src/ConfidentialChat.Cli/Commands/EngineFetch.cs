using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;

namespace ConfidentialChat.Cli.Commands;

/// <summary>Opens the embedded engine and tells people on standard error while its native library is fetched.</summary>
internal static class EngineFetch
{
    public static async Task<IInferenceBackend> OpenAsync(EmbeddedEngineOptions options, CancellationToken cancellation)
    {
        try
        {
            return await EmbeddedEngine.OpenAsync(options, new Progress(), cancellation);
        }
        catch (ModelLoadException e)
        {
            throw new CommandException(e.Message, e.Hint, ExitCode.Usage);
        }
        catch (LlamaLibraryException e)
        {
            throw new CommandException(e.Message, e.Hint);
        }
    }

    /// <summary>Makes sure that the native library is there.</summary>
    public static async Task EnsureAsync(string? engineDirectory, CancellationToken cancellation)
    {
        try
        {
            await LlamaLibrary.LocateAsync(new LlamaLibrarySource { EngineDirectory = engineDirectory }, new Progress(), cancellation);
        }
        catch (LlamaLibraryException e)
        {
            throw new CommandException(e.Message, e.Hint);
        }
    }

    private sealed class Progress : IProgress<LibraryProgress>
    {
        private int shown = -1;

        public void Report(LibraryProgress value)
        {
            var percent = value.TotalBytes > 0 ? (int)(value.Bytes * 100 / value.TotalBytes) / 25 * 25 : 0;
            if (percent == shown)
                return;
            shown = percent;
            Console.Error.WriteLine($"engine: fetching llama.cpp's native library, {percent} % of {value.TotalBytes / 1e6:0.0} MB");
        }
    }
}
