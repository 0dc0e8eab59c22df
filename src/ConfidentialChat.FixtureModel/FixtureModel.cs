namespace ConfidentialChat.Fixtures;

// The namespace differs from the project: a type may not be named like the namespace that holds it.
/// <summary>A small language model, written from nothing: a GGUF file that a real llama.cpp loads and that always gives one known answer.</summary>
/// <remarks>
/// It is a llama with one layer whose attention and feed-forward weights are zero. What is left is embedding, norm, output:
/// a table from the last token to the next. Each token of <see cref="Answer"/> occurs once in it and leads to the one after it;
/// every other token leads to the first. So the greedy text is the same for each prompt, and the file for each run.
/// </remarks>
public static class FixtureModel
{
    /// <summary>The file's <c>general.name</c>.</summary>
    public const string Name = "fixture";

    /// <summary>A word found nowhere but in <see cref="Answer"/>: what must never be seen outside the node and the caller. One token.</summary>
    public const string Canary = "brindlewick";

    /// <summary>What the model says to every prompt at temperature 0, to the character.</summary>
    public const string Answer =
        "This is the fixture model of ConfidentialChat, and it gives the same answer to every prompt. " +
        "It does not think; it only shows that a real engine ran. " +
        "These words were made inside the node and each piece was sealed before it left. " +
        "The rare word brindlewick marks them, so that a leak would be easy to find. " +
        "Some letters take more than one token: é and 封 or 🔒. " +
        "Nobody should believe a fixture; look at the bytes instead.";

    /// <summary>Comes between two answers when the end of turn is forbidden, as <c>logit_bias</c> can.</summary>
    public const string Separator = "\n\n";

    /// <summary>Tokens that prompt and answer may have together: the file's <c>llama.context_length</c>.</summary>
    public const uint ContextLength = 32768;

    /// <summary>The chat template that the file carries: ChatML.</summary>
    public const string ChatTemplate =
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" +
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    private static readonly BigramTable Table = new();

    /// <summary>The token that ends the answer, <c>&lt;|im_end|&gt;</c>. With a bias of -100 on it the model speaks for ever.</summary>
    public static int EndOfTurnTokenId => Table.EndOfTurn;

    /// <summary>Tokens of <see cref="Answer"/>, without the one that ends it.</summary>
    public static int AnswerTokenCount => Table.Chain.Count;

    /// <summary>The id of a token by its text, such as <c>" sealed"</c>, for a <c>logit_bias</c>.</summary>
    /// <exception cref="KeyNotFoundException">The vocabulary has no such token.</exception>
    public static int TokenId(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Table.Vocabulary.Find(text);
    }

    /// <summary>Writes the model to <paramref name="path"/>, over what is there.</summary>
    public static void Write(string path)
    {
        using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 16);
        Write(file);
    }

    /// <summary>Writes the model at the stream's position; the same bytes each time.</summary>
    public static void Write(Stream stream) => Write(stream, ChatTemplate);

    /// <summary>As <see cref="Write(Stream)"/> with another chat template, or with none; for tests of what an engine refuses to load.</summary>
    public static void Write(Stream stream, string? chatTemplate)
    {
        ArgumentNullException.ThrowIfNull(stream);
        var vocabulary = Table.Vocabulary;
        var gguf = new GgufWriter();
        gguf.Add("general.architecture", "llama");
        gguf.Add("general.name", Name);
        gguf.Add("general.license", "Apache-2.0");
        gguf.Add("llama.context_length", ContextLength);
        gguf.Add("llama.embedding_length", BigramTable.Width);
        gguf.Add("llama.block_count", 1u);
        gguf.Add("llama.feed_forward_length", FeedForward);
        gguf.Add("llama.attention.head_count", 1u);
        gguf.Add("llama.attention.head_count_kv", 1u);
        gguf.Add("llama.attention.key_length", HeadSize);
        gguf.Add("llama.attention.value_length", HeadSize);
        gguf.Add("llama.rope.dimension_count", HeadSize);
        gguf.Add("llama.attention.layer_norm_rms_epsilon", 1e-6f);
        gguf.Add("llama.vocab_size", (uint)vocabulary.Texts.Count);
        gguf.Add("tokenizer.ggml.model", "gpt2");
        gguf.Add("tokenizer.ggml.pre", "gpt-2");
        gguf.Add("tokenizer.ggml.tokens", vocabulary.Texts);
        gguf.Add("tokenizer.ggml.token_type", vocabulary.Types);
        gguf.Add("tokenizer.ggml.merges", vocabulary.Merges);
        gguf.Add("tokenizer.ggml.eos_token_id", (uint)Table.EndOfTurn);
        gguf.Add("tokenizer.ggml.add_bos_token", false);
        if (chatTemplate is not null)
            gguf.Add("tokenizer.chat_template", chatTemplate);

        var width = (int)BigramTable.Width;
        var feedForward = (int)FeedForward;
        var head = (int)HeadSize;
        gguf.AddTensor("token_embd.weight", [width, vocabulary.Texts.Count], Table.Embedding());
        gguf.AddTensor("output.weight", [width, vocabulary.Texts.Count], Table.Output());
        gguf.AddTensor("output_norm.weight", [width], Ones(width));
        gguf.AddTensor("blk.0.attn_norm.weight", [width], Ones(width));
        gguf.AddTensor("blk.0.attn_q.weight", [width, head], new float[width * head]);
        gguf.AddTensor("blk.0.attn_k.weight", [width, head], new float[width * head]);
        gguf.AddTensor("blk.0.attn_v.weight", [width, head], new float[width * head]);
        gguf.AddTensor("blk.0.attn_output.weight", [head, width], new float[width * head]);
        gguf.AddTensor("blk.0.ffn_norm.weight", [width], Ones(width));
        gguf.AddTensor("blk.0.ffn_gate.weight", [width, feedForward], new float[width * feedForward]);
        gguf.AddTensor("blk.0.ffn_up.weight", [width, feedForward], new float[width * feedForward]);
        gguf.AddTensor("blk.0.ffn_down.weight", [feedForward, width], new float[width * feedForward]);
        gguf.WriteTo(stream);
    }

    private const uint HeadSize = 32;
    private const uint FeedForward = 32;

    private static float[] Ones(int count)
    {
        var ones = new float[count];
        Array.Fill(ones, 1f);
        return ones;
    }
}
