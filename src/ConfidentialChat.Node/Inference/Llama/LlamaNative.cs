using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The C interface of llama.cpp 0.5.0 (include/llama.h, ggml/include/ggml-backend.h), as far as it is used.</summary>
/// <remarks>
/// Parameters pass by value, so a struct of another size is a corrupted stack: <see cref="CheckLayout"/> holds the sizes.
/// Native code that meets a broken precondition aborts the process; callers keep the preconditions.
/// </remarks>
internal static unsafe partial class LlamaNative
{
    /// <summary>Resolved by <see cref="LlamaLibrary"/>.</summary>
    public const string Llama = "llama";

    public const string Ggml = "ggml";

    /// <summary>What <see cref="Version"/> begins with in a library of the layout below.</summary>
    public const string SupportedVersion = "0.5.0";

    /// <summary>LLAMA_DEFAULT_SEED: asks for a random one.</summary>
    public const uint RandomSeed = 0xFFFFFFFF;

    /// <summary>LLAMA_TOKEN_NULL.</summary>
    public const int NoToken = -1;

    /// <summary>Asserts what the compiler cannot: that the structs below have the sizes of the C compiler, and defaults that make sense.</summary>
    /// <exception cref="LlamaLibraryException">They have not.</exception>
    public static void CheckLayout()
    {
        // sizeof in C on the 64-bit platforms: 80, 160 and 56 bytes.
        if (Unsafe.SizeOf<ModelParameters>() != 80 || Unsafe.SizeOf<ContextParameters>() != 160 || Unsafe.SizeOf<Batch>() != 56)
            throw Mismatch("its structs have other sizes here");
        var model = DefaultModelParameters();
        var context = DefaultContextParameters();
        if (model.UseExtraBuffers > 1 || model.VocabularyOnly != 0 || model.Overrides != 0 || model.TensorSplit != 0)
            throw Mismatch("its default model parameters are not those of the header");
        if (context.SequencesMax != 1 || context.Batch == 0 || context.MicroBatch == 0 || context.Samplers != 0 || context.Other != 0 ||
            context.KeyType != 1 || context.ValueType != 1 || context.OffloadKeyValue > 1)
        {
            throw Mismatch("its default context parameters are not those of the header");
        }

        static LlamaLibraryException Mismatch(string how) => new(
            $"The llama.cpp library is not the {SupportedVersion} that this build is made for: {how}.",
            "use the library that is fetched by default, or build --engine-dir from llama.cpp 0.5.0");
    }

    public enum LogLevel
    {
        None,
        Debug,
        Info,
        Warn,
        Error,
        Continue,
    }

    /// <summary>LLAMA_VOCAB_TYPE_BPE. Only these vocabularies split text by regular expressions first.</summary>
    public const int VocabularyBytePair = 2;

    [Flags]
    public enum TokenAttributes
    {
        None = 0,
        Unknown = 1 << 0,
        Control = 1 << 3,
        UserDefined = 1 << 4,
        LeftStrip = 1 << 7,
        RightStrip = 1 << 8,
    }

#pragma warning disable CS0649 // Most members are as the library's defaults have them.

    /// <summary>llama_model_params.</summary>
    public struct ModelParameters
    {
        public nint Devices;
        public nint BufferOverrides;
        public int GpuLayers;
        public int SplitMode;
        public int LoadMode;
        public int LazyMode;
        public int MainGpu;
        public nint TensorSplit;
        public nint Progress;
        public nint ProgressData;
        public nint Overrides;
        public byte VocabularyOnly;
        public byte CheckTensors;
        public byte UseExtraBuffers;
        public byte NoHost;
        public byte NoAllocation;
        public byte LoadMtp;
    }

    /// <summary>llama_context_params.</summary>
    public struct ContextParameters
    {
        public uint Context;
        public uint Batch;
        public uint MicroBatch;
        public uint SequencesMax;
        public uint RollbackSnapshots;
        public uint OutputsMax;
        public uint OutputsMaxPerSequence;
        public int Threads;
        public int ThreadsBatch;
        public int ContextType;
        public int RopeScaling;
        public int Pooling;
        public int Attention;
        public int FlashAttention;
        public float RopeFrequencyBase;
        public float RopeFrequencyScale;
        public float YarnExtension;
        public float YarnAttention;
        public float YarnBetaFast;
        public float YarnBetaSlow;
        public uint YarnOriginalContext;
        public float DefragmentThreshold;
        public nint Evaluated;
        public nint EvaluatedData;
        public int KeyType;
        public int ValueType;
        public nint Abort;
        public nint AbortData;
        public byte Embeddings;
        public byte OffloadKeyValue;
        public byte NoPerformance;
        public byte OffloadOperations;
        public byte FullSlidingWindow;
        public byte UnifiedKeyValue;
        public nint Samplers;
        public nuint SamplerCount;
        public nint Other;
    }

    /// <summary>llama_batch.</summary>
    public struct Batch
    {
        public int Count;
        public int* Tokens;
        public float* Embeddings;
        public int* Positions;
        public int* SequenceCounts;
        public int** Sequences;
        public byte* Outputs;
    }

#pragma warning restore CS0649

    /// <summary>llama_chat_message.</summary>
    public struct ChatMessage
    {
        public byte* Role;
        public byte* Content;
    }

    /// <summary>llama_logit_bias.</summary>
    public readonly record struct LogitBias(int Token, float Bias);

    /// <summary>llama_sampler_chain_params.</summary>
    public struct ChainParameters
    {
        public byte NoPerformance;
    }

    [LibraryImport(Ggml, EntryPoint = "ggml_backend_load_all_from_path", StringMarshalling = StringMarshalling.Utf8)]
    public static partial void LoadBackends(string directory);

    [LibraryImport(Ggml, EntryPoint = "ggml_backend_reg_count")]
    public static partial nuint BackendCount();

    [LibraryImport(Llama, EntryPoint = "llama_log_set")]
    public static partial void SetLog(delegate* unmanaged<LogLevel, byte*, nint, void> callback, nint data);

    [LibraryImport(Llama, EntryPoint = "llama_version")]
    public static partial byte* Version();

    [LibraryImport(Llama, EntryPoint = "llama_backend_init")]
    public static partial void InitializeBackend();

    [LibraryImport(Llama, EntryPoint = "llama_model_default_params")]
    public static partial ModelParameters DefaultModelParameters();

    [LibraryImport(Llama, EntryPoint = "llama_context_default_params")]
    public static partial ContextParameters DefaultContextParameters();

    [LibraryImport(Llama, EntryPoint = "llama_model_load_from_file", StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint LoadModel(string path, ModelParameters parameters);

    [LibraryImport(Llama, EntryPoint = "llama_model_free")]
    public static partial void FreeModel(nint model);

    [LibraryImport(Llama, EntryPoint = "llama_init_from_model")]
    public static partial nint CreateContext(ModelHandle model, ContextParameters parameters);

    [LibraryImport(Llama, EntryPoint = "llama_free")]
    public static partial void FreeContext(nint context);

    [LibraryImport(Llama, EntryPoint = "llama_n_ctx_seq")]
    public static partial uint ContextPerSequence(ContextHandle context);

    [LibraryImport(Llama, EntryPoint = "llama_model_get_vocab")]
    public static partial nint Vocabulary(ModelHandle model);

    [LibraryImport(Llama, EntryPoint = "llama_model_n_ctx_train")]
    public static partial int TrainedContext(ModelHandle model);

    [LibraryImport(Llama, EntryPoint = "llama_model_size")]
    public static partial ulong ModelSize(ModelHandle model);

    [LibraryImport(Llama, EntryPoint = "llama_model_has_encoder")]
    [return: MarshalAs(UnmanagedType.U1)]
    public static partial bool HasEncoder(ModelHandle model);

    [LibraryImport(Llama, EntryPoint = "llama_model_has_decoder")]
    [return: MarshalAs(UnmanagedType.U1)]
    public static partial bool HasDecoder(ModelHandle model);

    [LibraryImport(Llama, EntryPoint = "llama_model_is_diffusion")]
    [return: MarshalAs(UnmanagedType.U1)]
    public static partial bool IsDiffusion(ModelHandle model);

    [LibraryImport(Llama, EntryPoint = "llama_model_chat_template")]
    public static partial byte* ChatTemplate(ModelHandle model, byte* name);

    [LibraryImport(Llama, EntryPoint = "llama_vocab_n_tokens")]
    public static partial int TokenCount(nint vocabulary);

    [LibraryImport(Llama, EntryPoint = "llama_vocab_type")]
    public static partial int VocabularyType(nint vocabulary);

    [LibraryImport(Llama, EntryPoint = "llama_vocab_get_text")]
    public static partial byte* TokenText(nint vocabulary, int token);

    [LibraryImport(Llama, EntryPoint = "llama_vocab_get_attr")]
    public static partial TokenAttributes TokenAttributesOf(nint vocabulary, int token);

    [LibraryImport(Llama, EntryPoint = "llama_vocab_is_eog")]
    [return: MarshalAs(UnmanagedType.U1)]
    public static partial bool IsEndOfGeneration(nint vocabulary, int token);

    [LibraryImport(Llama, EntryPoint = "llama_vocab_bos")]
    public static partial int BeginningOfSequence(nint vocabulary);

    [LibraryImport(Llama, EntryPoint = "llama_vocab_get_add_bos")]
    [return: MarshalAs(UnmanagedType.U1)]
    public static partial bool AddsBeginningOfSequence(nint vocabulary);

    [LibraryImport(Llama, EntryPoint = "llama_tokenize")]
    public static partial int Tokenize(
        nint vocabulary,
        byte* text,
        int textLength,
        int* tokens,
        int tokensMax,
        [MarshalAs(UnmanagedType.U1)] bool addSpecial,
        [MarshalAs(UnmanagedType.U1)] bool parseSpecial);

    [LibraryImport(Llama, EntryPoint = "llama_token_to_piece")]
    public static partial int TokenToPiece(
        nint vocabulary, int token, byte* buffer, int length, int leadingSpaces, [MarshalAs(UnmanagedType.U1)] bool special);

    [LibraryImport(Llama, EntryPoint = "llama_chat_apply_template")]
    public static partial int ApplyChatTemplate(
        byte* template, ChatMessage* messages, nuint count, [MarshalAs(UnmanagedType.U1)] bool addAssistant, byte* buffer, int length);

    [LibraryImport(Llama, EntryPoint = "llama_get_memory")]
    public static partial nint Memory(ContextHandle context);

    [LibraryImport(Llama, EntryPoint = "llama_memory_seq_rm")]
    [return: MarshalAs(UnmanagedType.U1)]
    public static partial bool RemoveSequence(nint memory, int sequence, int from, int to);

    [LibraryImport(Llama, EntryPoint = "llama_decode")]
    public static partial int Decode(ContextHandle context, Batch batch);

    [LibraryImport(Llama, EntryPoint = "llama_get_logits_ith")]
    public static partial float* Logits(ContextHandle context, int index);

    [LibraryImport(Llama, EntryPoint = "llama_get_embeddings_ith")]
    public static partial float* EmbeddingOf(ContextHandle context, int index);

    [LibraryImport(Llama, EntryPoint = "llama_model_n_embd_out")]
    public static partial int EmbeddingSize(ModelHandle model);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_chain_init")]
    public static partial nint CreateChain(ChainParameters parameters);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_chain_add")]
    public static partial void AddToChain(SamplerHandle chain, nint sampler);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_free")]
    public static partial void FreeSampler(nint sampler);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_sample")]
    public static partial int Sample(SamplerHandle chain, ContextHandle context, int index);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_init_greedy")]
    public static partial nint Greedy();

    [LibraryImport(Llama, EntryPoint = "llama_sampler_init_dist")]
    public static partial nint Distribution(uint seed);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_init_temp")]
    public static partial nint Temperature(float temperature);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_init_top_k")]
    public static partial nint TopK(int k);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_init_top_p")]
    public static partial nint TopP(float p, nuint keep);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_init_min_p")]
    public static partial nint MinP(float p, nuint keep);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_init_penalties")]
    public static partial nint Penalties(int vocabulary, int last, float repeat, float frequency, float presence);

    [LibraryImport(Llama, EntryPoint = "llama_sampler_init_logit_bias")]
    public static partial nint Bias(int vocabulary, int count, LogitBias* biases);
}

/// <summary>Owns a llama_model.</summary>
internal sealed class ModelHandle : SafeHandle
{
    public ModelHandle(nint model)
        : base(0, ownsHandle: true) => SetHandle(model);

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        LlamaNative.FreeModel(handle);
        return true;
    }
}

/// <summary>Owns a llama_context; freed before its model.</summary>
internal sealed class ContextHandle : SafeHandle
{
    public ContextHandle(nint context)
        : base(0, ownsHandle: true) => SetHandle(context);

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        LlamaNative.FreeContext(handle);
        return true;
    }
}

/// <summary>Owns a llama_sampler chain and the samplers in it.</summary>
internal sealed class SamplerHandle : SafeHandle
{
    public SamplerHandle(nint chain)
        : base(0, ownsHandle: true) => SetHandle(chain);

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        LlamaNative.FreeSampler(handle);
        return true;
    }
}
