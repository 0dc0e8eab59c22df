using ConfidentialChat.Fixtures;

namespace ConfidentialChat.Node.Tests.Llama;

/// <summary>
/// A model with the tensors, vocabulary and chat template of a common family, so small that it is written for a test. Its weights are
/// random, the same ones each time: what it says has no sense, but every operation of its architecture is computed.
/// </summary>
/// <remarks>Tensor names and shapes: llama.cpp, <c>src/llama-arch.cpp</c> and the loaders of the architectures.</remarks>
internal sealed record SmallModel
{
    private const int Width = 64;
    private const int Head = 16;
    private const int Heads = 4;
    private const int KeyValueHeads = 2;
    private const int FeedForward = 96;
    private const int Layers = 2;

    public required string Architecture { get; init; }

    /// <summary>The file's <c>general.name</c>, by which llama.cpp knows some vocabularies.</summary>
    public string Name { get; init; } = "small";

    /// <summary>The family's own, reduced to the lines that write a conversation.</summary>
    public required string Template { get; init; }

    /// <summary>Control tokens of the template; the last one ends a turn.</summary>
    public required IReadOnlyList<string> Controls { get; init; }

    /// <summary>Begins every prompt; null where the family has none.</summary>
    public string? Beginning { get; init; }

    /// <summary>The vocabulary's kind: pieces with a mark for blanks, as SentencePiece makes them, instead of merged bytes.</summary>
    public bool IsSentencePiece { get; init; }

    /// <summary>A vocabulary of pieces puts a blank before text.</summary>
    public bool HasSpacePrefix { get; init; } = true;

    /// <summary>How text is split before it is merged; a name that llama.cpp knows.</summary>
    public string Split { get; init; } = "gpt-2";

    /// <summary>A bias on queries, keys and values.</summary>
    public bool HasBias { get; init; }

    /// <summary>Norms of each head's queries and keys.</summary>
    public bool HasHeadNorms { get; init; }

    /// <summary>Norms behind attention and feed-forward too.</summary>
    public bool HasPostNorms { get; init; }

    /// <summary>Queries, keys and values in one matrix, and gate and up in one.</summary>
    public bool IsFused { get; init; }

    /// <summary>The output has the embedding's weights.</summary>
    public bool IsTied { get; init; }

    /// <summary>Feed-forward networks of which a router picks two; 0 for a single one.</summary>
    public int Experts { get; init; }

    /// <summary>Keys of the architecture beyond those that all have.</summary>
    public IReadOnlyDictionary<string, object> More { get; init; } = new Dictionary<string, object>();

    public void Write(string path)
    {
        var gguf = new GgufWriter();
        gguf.Add("general.architecture", Architecture);
        gguf.Add("general.name", Name);
        Add("context_length", 2048u);
        Add("embedding_length", (uint)Width);
        Add("block_count", (uint)Layers);
        Add("feed_forward_length", (uint)FeedForward);
        Add("attention.head_count", (uint)Heads);
        Add("attention.head_count_kv", (uint)KeyValueHeads);
        Add("attention.key_length", (uint)Head);
        Add("attention.value_length", (uint)Head);
        Add("rope.dimension_count", (uint)Head);
        Add("attention.layer_norm_rms_epsilon", 1e-6f);
        foreach (var (key, value) in More)
            Add(key, value);
        if (Experts > 0)
        {
            Add("expert_count", (uint)Experts);
            Add("expert_used_count", 2u);
        }

        var vocabulary = IsSentencePiece ? AddPieces(gguf) : AddMergedBytes(gguf);
        gguf.Add("tokenizer.chat_template", Template);
        AddTensors(gguf, vocabulary);
        using var file = File.Create(path);
        gguf.WriteTo(file);

        void Add(string key, object value)
        {
            switch (value)
            {
                case uint number:
                    gguf.Add($"{Architecture}.{key}", number);
                    break;
                case float number:
                    gguf.Add($"{Architecture}.{key}", number);
                    break;
                default:
                    throw new InvalidOperationException($"{key} is of no kind that is written here.");
            }
        }
    }

    private int AddMergedBytes(GgufWriter gguf)
    {
        var vocabulary = new Vocabulary();
        var beginning = Beginning is null ? (uint?)null : (uint)vocabulary.AddControl(Beginning);
        var end = Controls.Select(vocabulary.AddControl).Last();
        gguf.Add("tokenizer.ggml.model", "gpt2");
        gguf.Add("tokenizer.ggml.pre", Split);
        gguf.Add("tokenizer.ggml.tokens", vocabulary.Texts);
        gguf.Add("tokenizer.ggml.token_type", vocabulary.Types);
        gguf.Add("tokenizer.ggml.merges", vocabulary.Merges);
        AddEnds(gguf, beginning, (uint)end);
        return vocabulary.Texts.Count;
    }

    private int AddPieces(GgufWriter gguf)
    {
        const int Normal = 1;
        const int Unknown = 2;
        const int Control = 3;
        const int SingleByte = 6;
        List<(string Text, int Type)> tokens = [("<unk>", Unknown), (Beginning!, Control), .. Controls.Select(text => (text, Control))];
        var end = (uint)(tokens.Count - 1);
        tokens.AddRange(Enumerable.Range(0, 256).Select(value => ($"<0x{value:X2}>", SingleByte)));
        tokens.Add(("\u2581", Normal));
        tokens.AddRange(Enumerable.Range('!', '~' - '!' + 1).Select(letter => (((char)letter).ToString(), Normal)));
        gguf.Add("tokenizer.ggml.model", "llama");
        gguf.Add("tokenizer.ggml.tokens", [.. tokens.Select(token => token.Text)]);
        gguf.Add("tokenizer.ggml.token_type", [.. tokens.Select(token => token.Type)]);
        gguf.Add("tokenizer.ggml.unknown_token_id", 0u);
        gguf.Add("tokenizer.ggml.add_space_prefix", HasSpacePrefix);
        AddEnds(gguf, 1u, end);
        return tokens.Count;
    }

    private static void AddEnds(GgufWriter gguf, uint? beginning, uint end)
    {
        if (beginning is { } token)
            gguf.Add("tokenizer.ggml.bos_token_id", token);
        gguf.Add("tokenizer.ggml.eos_token_id", end);
        gguf.Add("tokenizer.ggml.add_bos_token", beginning is not null);
    }

    private void AddTensors(GgufWriter gguf, int vocabulary)
    {
        var random = new Random(1);
        Matrix("token_embd", Width, vocabulary);
        if (!IsTied)
            Matrix("output", Width, vocabulary);
        Norm("output_norm", Width);
        for (var i = 0; i < Layers; i++)
        {
            var layer = $"blk.{i}.";
            Norm(layer + "attn_norm", Width);
            if (IsFused)
            {
                Matrix(layer + "attn_qkv", Width, (Heads + (2 * KeyValueHeads)) * Head);
            }
            else
            {
                foreach (var (name, heads) in new[] { ("attn_q", Heads), ("attn_k", KeyValueHeads), ("attn_v", KeyValueHeads) })
                {
                    Matrix(layer + name, Width, heads * Head);
                    if (HasBias)
                        gguf.AddTensor($"{layer}{name}.bias", [heads * Head], Numbers(heads * Head));
                }
            }

            if (HasHeadNorms)
            {
                Norm(layer + "attn_q_norm", Head);
                Norm(layer + "attn_k_norm", Head);
            }

            Matrix(layer + "attn_output", Heads * Head, Width);
            if (HasPostNorms)
            {
                Norm(layer + "post_attention_norm", Width);
                Norm(layer + "post_ffw_norm", Width);
            }

            Norm(layer + "ffn_norm", Width);
            if (Experts > 0)
            {
                Matrix(layer + "ffn_gate_inp", Width, Experts);
                Matrix(layer + "ffn_gate_exps", Width, FeedForward, Experts);
                Matrix(layer + "ffn_up_exps", Width, FeedForward, Experts);
                Matrix(layer + "ffn_down_exps", FeedForward, Width, Experts);
                continue;
            }

            if (!IsFused)
                Matrix(layer + "ffn_gate", Width, FeedForward);
            Matrix(layer + "ffn_up", Width, IsFused ? 2 * FeedForward : FeedForward);
            Matrix(layer + "ffn_down", FeedForward, Width);
        }

        void Matrix(string name, params int[] dimensions) =>
            gguf.AddTensor(name + ".weight", dimensions, Numbers(dimensions.Aggregate(1, (all, one) => all * one)));

        void Norm(string name, int count) => gguf.AddTensor(name + ".weight", [count], [.. Enumerable.Repeat(1f, count)]);

        float[] Numbers(int count) => [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() - 0.5f) * 0.4f)];
    }
}
