using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ConfidentialChat.Protocol;
using Microsoft.Extensions.Logging.Abstractions;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>llama.cpp in this process: one model, several requests at once.</summary>
/// <remarks>Requests share the weights and nothing else. No prompt and no answer is logged or kept.</remarks>
public sealed class LlamaBackend : IInferenceBackend
{
    /// <summary>Requests that are computed at once, at the most.</summary>
    public const int SequencesMax = 64;

    private const int ContextDefaultMax = 8192;
    private const int ThreadsDefaultMax = 16;
    private const ulong TinyModel = 64 << 20; // bytes of weights; below, threads wait for each other longer than they work

    private static readonly InferenceEndpoint[] Served = [InferenceEndpoint.ChatCompletions, InferenceEndpoint.Completions, InferenceEndpoint.Embeddings];

    private readonly LlamaModel model;
    private readonly DecodeLoop loop;
    private readonly Embedder embedder;
    private readonly int contextTokens;
    private readonly TimeProvider time;
    private readonly Lazy<EngineDescription> description;
    private int isDisposed;

    private LlamaBackend(LlamaModel model, string modelPath, DecodeLoop loop, Embedder embedder, int contextTokens, TimeProvider time)
    {
        this.model = model;
        description = new Lazy<EngineDescription>(() => Describe(model.Name, modelPath));
        this.loop = loop;
        this.embedder = embedder;
        this.contextTokens = contextTokens;
        this.time = time;
        Models = [model.Name];
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> Models { get; }

    /// <inheritdoc/>
    public bool IsAlive => loop.IsRunning;

    /// <summary>The hash of the model's file takes a second for each gigabyte or so, when it is asked for first.</summary>
    public EngineDescription Description => description.Value;

    /// <summary>Tokens that a request may have, prompt and completion together.</summary>
    public int ContextTokens => contextTokens;

    /// <summary>Loads the library into the process and the model into memory.</summary>
    /// <param name="library">Where the native code is. One for a process.</param>
    /// <param name="options">What to serve.</param>
    /// <param name="log">Told of failures, by code and count.</param>
    /// <exception cref="LlamaLibraryException">The native library does not load.</exception>
    /// <exception cref="ModelLoadException">The model cannot be served.</exception>
    public static LlamaBackend Load(LlamaLibrary library, LlamaBackendOptions options, ILogger<LlamaBackend>? log = null)
    {
        ArgumentNullException.ThrowIfNull(library);
        ArgumentNullException.ThrowIfNull(options);
        if (options is not { Sequences: >= 1 and <= SequencesMax, WaitingMax: >= 0, ContextTokens: null or > 1, Threads: null or > 0 })
            throw new ArgumentException("The engine's options are out of their ranges.", nameof(options));

        library.Load();
        var model = LlamaModel.Load(options.ModelPath, options.ModelName);
        try
        {
            var context = CreateContext(model, options, out var contextTokens);
            var loop = new DecodeLoop(model, context, options.Sequences, options.WaitingMax, log ?? NullLogger<LlamaBackend>.Instance);
            var embedder = new Embedder(model, () => CreateEmbeddingContext(model, options, contextTokens), options.Sequences + options.WaitingMax);
            return new LlamaBackend(model, options.ModelPath, loop, embedder, contextTokens, options.Time);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public Task<InferenceStart> StartAsync(InferenceRequest request, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(request);
        ObjectDisposedException.ThrowIf(isDisposed != 0, this);
        return cancellation.IsCancellationRequested
            ? Task.FromCanceled<InferenceStart>(cancellation)
            : Task.FromResult(StartWithModel(request, cancellation));
    }

    /// <summary>Ends the answers in the making with an <see cref="InferenceException"/> and frees the model. Safe more than once.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref isDisposed, 1) != 0)
            return;
        await embedder.DisposeAsync();
        await loop.DisposeAsync();
        model.Dispose();
    }

    private static EngineDescription Describe(string name, string path)
    {
        using var file = File.OpenRead(path);
        return EngineDescription.None with
        {
            Weights = new Dictionary<string, string>(StringComparer.Ordinal) { [name] = Convert.ToHexStringLower(SHA256.HashData(file)) },
        };
    }

    // Keeps the model in memory until the prompt is read, should the engine be disposed of at the same time.
    private InferenceStart StartWithModel(InferenceRequest request, CancellationToken cancellation)
    {
        var isHeld = false;
        try
        {
            model.Handle.DangerousAddRef(ref isHeld);
            return Start(request, cancellation);
        }
        finally
        {
            if (isHeld)
                model.Handle.DangerousRelease();
        }
    }

    private InferenceStart Start(InferenceRequest request, CancellationToken cancellation)
    {
        // 1. What is asked for? More bytes than the context can hold in any way are not looked at.
        if (request.Endpoint.Row().HasNamedEvents)
            return new InferenceStart.Refused(InferenceRefusal.NotServed) { Served = Served };
        if (request.Endpoint == InferenceEndpoint.Embeddings)
            return StartEmbedding(request, cancellation);
        var room = Math.Min(request.MaxUnits.Value, contextTokens);
        var limits = new RequestLimits(model.TokenCount, ContextBound.Of(contextTokens, model.LongestToken));
        if (request.Body.Length > limits.Context.Bytes)
            return new InferenceStart.Refused(InferenceRefusal.ContextTooLarge);
        var refused = new InferenceStart.Refused(InferenceRefusal.InvalidField, "model"); // it does not do the endpoint
        GenerationRequest? asked = request.Endpoint switch
        {
            InferenceEndpoint.ChatCompletions => ChatRequest.Read(request.Body, limits, out refused),
            InferenceEndpoint.Completions => TextRequest.Read(request.Body, limits, out refused),
            _ => null,
        };
        if (asked is null)
            return refused!;

        // 2. Before the work of counting: is there a place?
        if (!loop.HasRoom)
            return new InferenceStart.Refused(InferenceRefusal.Busy);

        // 3. Does the prompt fit, with a token of answer at the least?
        var refusal = InferenceRefusal.ContextTooLarge;
        var prompt = room < 2 ? null : asked switch
        {
            ChatRequest chat => ChatPrompt.Tokenize(model, chat.Messages, (int)room - 1, out refusal),
            TextRequest text => Tokenize(text.Prompt, (int)room - 1, isRaw: true),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
        if (prompt is null || prompt.Count == 0)
            return new InferenceStart.Refused(prompt is null ? refusal : InferenceRefusal.InvalidField, asked is ChatRequest ? "messages" : "prompt");
        var completionMax = Math.Min(room - prompt.Count, asked.MaxTokens ?? long.MaxValue);

        // 4. Begin.
        var generation = new Generation(model, prompt, asked, completionMax);
        var isTaken = false;
        try
        {
            isTaken = loop.TryAdd(generation);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(prompt)));
            if (!isTaken)
                generation.Dispose();
        }

        if (!isTaken)
            return new InferenceStart.Refused(InferenceRefusal.Busy);
        var json = new CompletionJson(model.Name, time.GetUtcNow(), asked is ChatRequest);
        return new InferenceStart.Started(new LlamaAnswer(loop, generation, json, request.Stream, asked.IncludeUsage, cancellation));
    }

    private InferenceStart StartEmbedding(InferenceRequest request, CancellationToken cancellation)
    {
        if (EmbeddingRequest.Read(
            request.Body, new RequestLimits(model.TokenCount, ContextBound.Of(contextTokens, model.LongestToken)), out var refused) is not { } asked)
            return refused!;
        var inputs = new List<int[]>(asked.Inputs.Count);
        var room = request.MaxUnits.Value;
        foreach (var input in asked.Inputs)
        {
            var most = (int)Math.Min(room, contextTokens);
            var tokens = input.Tokens ?? Tokenize(input.Text!, most, isRaw: false);
            if (tokens is null || tokens.Count > most)
                return new InferenceStart.Refused(InferenceRefusal.ContextTooLarge, "input");
            room -= tokens.Count;
            inputs.Add([.. tokens]);
        }

        return embedder.TryEnter()
            ? new InferenceStart.Started(new EmbeddingAnswer(embedder, inputs, model.Name, asked.IsBase64, cancellation))
            : new InferenceStart.Refused(InferenceRefusal.Busy);
    }

    /// <summary>Text as it stands, with the token that the model wants before it; null where it is too long.</summary>
    private List<int>? Tokenize(string text, int tokensMax, bool isRaw)
    {
        var tokens = new List<int>();
        if (model.Beginning is { } beginning)
            tokens.Add(beginning);
        return (isRaw ? model.AppendRaw(text, tokens, tokensMax) : model.AppendPlain(text, tokens, tokensMax)) && tokens.Count <= tokensMax ? tokens : null;
    }

    private static ContextHandle CreateEmbeddingContext(LlamaModel model, LlamaBackendOptions options, int contextTokens)
    {
        var parameters = LlamaNative.DefaultContextParameters();
        parameters.SequencesMax = 1;
        parameters.Context = (uint)contextTokens;
        parameters.Batch = DecodeLoop.BatchMax;
        parameters.MicroBatch = DecodeLoop.BatchMax;
        parameters.OutputsMax = DecodeLoop.BatchMax;
        parameters.Threads = parameters.ThreadsBatch = ThreadsOf(model, options);
        parameters.NoPerformance = 1;
        parameters.Embeddings = 1;
        parameters.Pooling = 0; // none: the library's own means are of one batch, not of a text
        var context = new ContextHandle(LlamaNative.CreateContext(model.Handle, parameters));
        if (!context.IsInvalid)
            return context;
        context.Dispose();
        throw new InferenceException(InferenceFailure.Failed, "There is no memory for a context for embeddings.");
    }

    private static int ThreadsOf(LlamaModel model, LlamaBackendOptions options) =>
        options.Threads ?? (model.Size < TinyModel ? 1 : Math.Min(Environment.ProcessorCount, ThreadsDefaultMax));

    private static ContextHandle CreateContext(LlamaModel model, LlamaBackendOptions options, out int contextTokens)
    {
        contextTokens = options.ContextTokens ?? Math.Min(model.TrainedContext, ContextDefaultMax);
        if (contextTokens > model.TrainedContext)
        {
            throw new ModelLoadException(
                $"The model was made for {model.TrainedContext} tokens of context; {contextTokens} were asked for.", "ask for fewer tokens of context");
        }

        var threads = ThreadsOf(model, options);
        var parameters = LlamaNative.DefaultContextParameters();
        parameters.SequencesMax = (uint)options.Sequences;
        parameters.Context = (uint)(contextTokens * (long)options.Sequences);
        parameters.Batch = DecodeLoop.BatchMax;
        parameters.MicroBatch = DecodeLoop.BatchMax;
        parameters.OutputsMax = (uint)options.Sequences;
        parameters.Threads = threads;
        parameters.ThreadsBatch = threads;
        parameters.NoPerformance = 1;
        parameters.UnifiedKeyValue = 0; // a part of the cache for each sequence, never one for all

        LlamaLog.BeginCapture();
        var context = new ContextHandle(LlamaNative.CreateContext(model.Handle, parameters));
        var errors = LlamaLog.EndCapture();
        if (context.IsInvalid || LlamaNative.ContextPerSequence(context) < (uint)contextTokens)
        {
            context.Dispose();
            throw new ModelLoadException(
                $"There is no memory for {options.Sequences} requests of {contextTokens} tokens{(errors.Length > 0 ? ": " + errors : "")}.",
                "serve fewer requests at once, or with fewer tokens of context");
        }

        return context;
    }
}
