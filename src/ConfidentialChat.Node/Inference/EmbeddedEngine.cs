// spec/inference.md section 1.
using ConfidentialChat.Node.Inference.Llama;

namespace ConfidentialChat.Node.Inference;

/// <summary>What the embedded engine needs.</summary>
public sealed record EmbeddedEngineOptions
{
    /// <summary>A GGUF file with a chat template.</summary>
    public required string ModelPath { get; init; }

    /// <summary>The folder of llama.cpp's native library; null fetches and caches it.</summary>
    public string? EngineDirectory { get; init; }

    /// <summary>Requests that are computed at once, 1 to 64.</summary>
    public int Sequences { get; init; } = LlamaBackendOptions.StandardSequences;

    /// <exception cref="ModelLoadException">An option is out of range.</exception>
    internal void Validate()
    {
        if (ModelPath.Length == 0)
            throw new ModelLoadException("The model file's name is empty.", "name a GGUF file that is there");
        if (Sequences is < 1 or > LlamaBackend.SequencesMax)
        {
            throw new ModelLoadException(
                $"The embedded engine was asked to compute {Sequences} requests at once; it computes 1 to {LlamaBackend.SequencesMax}.",
                $"give --parallel a number from 1 to {LlamaBackend.SequencesMax}, or serve the model with an HTTP engine");
        }
    }
}

/// <summary>llama.cpp in the node's own process.</summary>
public static class EmbeddedEngine
{
    /// <summary>Finds or fetches the native library and reads all of the model but its weights: for whoever starts other things first.</summary>
    /// <exception cref="LlamaLibraryException">The native library is nowhere to be had.</exception>
    /// <exception cref="ModelLoadException">The model cannot be served, or not with these options.</exception>
    public static async Task CheckAsync(EmbeddedEngineOptions options, IProgress<LibraryProgress>? progress, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        GgufFile.Read(options.ModelPath); // a file that is none is said before ten megabytes are fetched for it
        var library = await LlamaLibrary.LocateAsync(new LlamaLibrarySource { EngineDirectory = options.EngineDirectory }, progress, cancellation);
        library.Load();
        LlamaModel.Check(options.ModelPath);
    }

    /// <summary>Finds or fetches the native library and loads the model. The caller disposes of the engine.</summary>
    /// <exception cref="LlamaLibraryException">The native library is nowhere to be had.</exception>
    /// <exception cref="ModelLoadException">The model cannot be served, or not with these options.</exception>
    public static async Task<IInferenceBackend> OpenAsync(
        EmbeddedEngineOptions options, IProgress<LibraryProgress>? progress, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        var library = await LlamaLibrary.LocateAsync(new LlamaLibrarySource { EngineDirectory = options.EngineDirectory }, progress, cancellation);
        return LlamaBackend.Load(library, new LlamaBackendOptions { ModelPath = options.ModelPath, Sequences = options.Sequences });
    }
}
