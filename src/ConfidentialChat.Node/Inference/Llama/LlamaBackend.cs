using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>llama.cpp in this process: one model, several requests at once.</summary>
/// <remarks>Requests share the weights and nothing else. No prompt and no answer is logged or kept.</remarks>
public sealed class LlamaBackend : IInferenceBackend
{
    private const int SequencesMax = 64;
    private const int ContextDefaultMax = 8192;
    private const int ThreadsDefaultMax = 16;
    private const ulong TinyModel = 64 << 20; // bytes of weights; below, threads wait for each other longer than they work

    private readonly LlamaModel model;
    private readonly DecodeLoop loop;
    private readonly int contextTokens;
    private readonly TimeProvider time;
    private int isDisposed;

    private LlamaBackend(LlamaModel model, DecodeLoop loop, int contextTokens, TimeProvider time)
    {
        this.model = model;
        this.loop = loop;
        this.contextTokens = contextTokens;
        this.time = time;
        Models = [model.Name];
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> Models { get; }

    /// <inheritdoc/>
    public bool IsAlive => loop.IsRunning;

    /// <summary>Tokens that a request may have, prompt and completion together.</summary>
    public int ContextTokens => contextTokens;

    /// <summary>Loads the library into the process and the model into memory.</summary>
    /// <param name="library">Where the native code is. One for a process.</param>
    /// <param name="options">What to serve.</param>
    /// <param name="logger">Told of failures, by code and count.</param>
    /// <exception cref="LlamaLibraryException">The native library does not load.</exception>
    /// <exception cref="ModelLoadException">The model cannot be served.</exception>
    public static LlamaBackend Load(LlamaLibrary library, LlamaBackendOptions options, ILogger<LlamaBackend>? logger = null)
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
            var loop = new DecodeLoop(model, context, options.Sequences, options.WaitingMax, logger ?? NullLogger<LlamaBackend>.Instance);
            return new LlamaBackend(model, loop, contextTokens, options.Time);
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
        await loop.DisposeAsync();
        model.Dispose();
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
        // 1. What is asked for?
        if (ChatRequest.Read(request.Body, model.TokenCount, out var field) is not { } chat)
            return new InferenceStart.Refused(InferenceRefusal.InvalidField, field);

        // 2. Before the work of counting: is there a place?
        if (!loop.HasRoom)
            return new InferenceStart.Refused(InferenceRefusal.Busy);

        // 3. Does the prompt fit, with a token of answer at the least?
        var room = Math.Min(request.MaxUnits.Value, contextTokens);
        var refusal = InferenceRefusal.ContextTooLarge;
        if (room < 2 || ChatPrompt.Tokenize(model, chat.Messages, (int)room - 1, out refusal) is not { } prompt)
            return new InferenceStart.Refused(refusal, "messages");
        var completionMax = Math.Min(room - prompt.Count, chat.MaxTokens ?? long.MaxValue);

        // 4. Begin.
        var generation = new Generation(model, prompt, chat, completionMax);
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
        var json = new CompletionJson(model.Name, time.GetUtcNow());
        return new InferenceStart.Started(new LlamaAnswer(loop, generation, json, request.Stream, chat.IncludeUsage, cancellation));
    }

    private static ContextHandle CreateContext(LlamaModel model, LlamaBackendOptions options, out int contextTokens)
    {
        contextTokens = options.ContextTokens ?? Math.Min(model.TrainedContext, ContextDefaultMax);
        if (contextTokens > model.TrainedContext)
        {
            throw new ModelLoadException(
                $"The model was made for {model.TrainedContext} tokens of context; {contextTokens} were asked for.", "ask for fewer tokens of context");
        }

        var threads = options.Threads ?? (model.Size < TinyModel ? 1 : Math.Min(Environment.ProcessorCount, ThreadsDefaultMax));
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
