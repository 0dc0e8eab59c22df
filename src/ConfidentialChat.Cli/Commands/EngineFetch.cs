using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Node.Inference.Upstream;

namespace ConfidentialChat.Cli.Commands;

/// <summary>Opens the engines and tells people on standard error while its native library is fetched.</summary>
internal static class EngineFetch
{
    public static Task<EngineSet> OpenAsync(EmbeddedEngineOptions? embedded, UpstreamOptions? upstream, CancellationToken cancellation) =>
        EngineSet.OpenAsync(embedded, upstream, new Progress(), cancellation);

    /// <summary>Makes sure that the native library is there and that it can serve the model, before anything listens.</summary>
    public static Task CheckAsync(EmbeddedEngineOptions options, CancellationToken cancellation) =>
        EmbeddedEngine.CheckAsync(options, new Progress(), cancellation);

    private sealed class Progress : IProgress<LibraryProgress>
    {
        private string shown = "";

        public void Report(LibraryProgress value)
        {
            var quarter = value.TotalBytes > 0 ? value.Bytes * 4 / value.TotalBytes * 25 : 0;
            var text = value.Step switch
            {
                LibraryStep.Downloading => $"engine: fetching llama.cpp's native library, {quarter} % of {value.TotalBytes / 1e6:0.0} MB",
                LibraryStep.Extracting => "engine: checked; unpacking",
                _ => "engine: ready",
            };
            if (text == shown)
                return;
            shown = text;
            Console.Error.WriteLine(text);
        }
    }
}
