// spec/inference.md section 1.
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Node.Inference.Upstream;

namespace ConfidentialChat.Node.Inference;

/// <summary>Several engines side by side, told apart by the model's name. Owns them.</summary>
public sealed class EngineSet : IInferenceBackend
{
    private readonly Dictionary<string, IInferenceBackend> byModel = new(StringComparer.Ordinal);
    private readonly IReadOnlyList<IInferenceBackend> engines;

    /// <exception cref="ArgumentException">There is no engine, or two serve a model of one name.</exception>
    public EngineSet(IReadOnlyList<IInferenceBackend> engines)
    {
        ArgumentNullException.ThrowIfNull(engines);
        if (engines.Count == 0)
            throw new ArgumentException("There is no engine.", nameof(engines));
        this.engines = engines;
        foreach (var engine in engines)
        {
            foreach (var model in engine.Models)
            {
                if (!byModel.TryAdd(model, engine))
                    throw new ArgumentException($"Two engines serve a model of the name {model}.", nameof(engines));
            }
        }

        Models = [.. byModel.Keys];
    }

    /// <summary>Opens the engines that are configured, one at least. The caller disposes of the result.</summary>
    /// <exception cref="LlamaLibraryException">The native library is nowhere to be had.</exception>
    /// <exception cref="ModelLoadException">The model cannot be served, or not with these options.</exception>
    /// <exception cref="UpstreamException">The HTTP engine's options are no good, it cannot be
    /// served safely, or its model has the embedded one's name.</exception>
    public static async Task<EngineSet> OpenAsync(
        EmbeddedEngineOptions? embedded, UpstreamOptions? upstream, IProgress<LibraryProgress>? progress, CancellationToken cancellation)
    {
        var engines = new List<IInferenceBackend>();
        try
        {
            if (embedded is not null)
                engines.Add(await EmbeddedEngine.OpenAsync(embedded, progress, cancellation));
            if (upstream is not null)
                engines.Add(await UpstreamBackend.OpenAsync(upstream, cancellation));
            if (embedded is not null && upstream is not null && engines[0].Models.Contains(upstream.Model, StringComparer.Ordinal))
                throw new UpstreamException(
                    "The embedded engine's model and the HTTP engine's have one name.",
                    "give the HTTP engine's model another with --upstream-model NAME=ENGINE_NAME");
            return new EngineSet(engines);
        }
        catch
        {
            foreach (var engine in engines)
                await engine.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> Models { get; }

    /// <summary>Why HTTP engines are not served now, one line each; empty where all are.</summary>
    public IReadOnlyList<string> Faults => [.. engines.OfType<UpstreamBackend>().SelectMany(engine => engine.Faults)];

    /// <inheritdoc/>
    public bool IsAlive => engines.Any(engine => engine.IsAlive);

    /// <inheritdoc/>
    public IReadOnlyList<string> AliveModels => [.. engines.SelectMany(engine => engine.AliveModels)];

    /// <inheritdoc/>
    public event Action? AliveChanged
    {
        add
        {
            foreach (var engine in engines)
                engine.AliveChanged += value;
        }

        remove
        {
            foreach (var engine in engines)
                engine.AliveChanged -= value;
        }
    }

    /// <inheritdoc/>
    public EngineDescription Description
    {
        get
        {
            var all = engines.Select(engine => engine.Description).ToList();
            return new EngineDescription(
                all.SelectMany(one => one.Weights).ToDictionary(StringComparer.Ordinal),
                [.. all.SelectMany(one => one.Upstreams)],
                [.. all.SelectMany(one => one.Dangerous).Distinct(StringComparer.Ordinal)],
                [.. all.SelectMany(one => one.Arguments)]);
        }
    }

    /// <inheritdoc/>
    public Task<InferenceStart> StartAsync(InferenceRequest request, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(request);
        return byModel.TryGetValue(request.Model, out var engine)
            ? engine.StartAsync(request, cancellation)
            : Task.FromResult<InferenceStart>(new InferenceStart.Refused(InferenceRefusal.InvalidField, "model"));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var engine in engines)
            await engine.DisposeAsync();
    }
}
