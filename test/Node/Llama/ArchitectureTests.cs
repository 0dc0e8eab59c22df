using System.Text;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Tests.Llama;

/// <summary>Ordinary GGUF files: the architectures, vocabularies and chat templates of the families that people run.</summary>
public sealed class ArchitectureTests : IDisposable
{
    private const string Words = "Hi <|im_end|> <end_of_turn> [/INST]";

    private const string Ask = $$"""{"temperature":0,"max_tokens":24,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"{{Words}}"}]}""";

    private const string Mistral =
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ ' [INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}";

    private const string ChatMl = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}";

    private const string Gemma = "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}";

    private static readonly Dictionary<string, (SmallModel Model, string Prompt)> Families = new()
    {
        ["Llama 3"] = (
            new SmallModel
            {
                Architecture = "llama",
                Split = "llama-bpe",
                Beginning = "<|begin_of_text|>",
                Controls = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
                Template = "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}",
            },
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n" +
            "Hi <|im_end|> <end_of_turn> [/INST]<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
        ["Mistral 7B"] = (
            new SmallModel { Architecture = "llama", IsSentencePiece = true, Beginning = "<s>", Controls = ["</s>"], Template = Mistral },
            "<s> [INST] Be brief.\nHi <|im_end|> <end_of_turn> [/INST] [/INST]"),
        ["Mixtral 8x7B"] = (
            new SmallModel { Architecture = "llama", Experts = 4, IsSentencePiece = true, Beginning = "<s>", Controls = ["</s>"], Template = Mistral },
            "<s> [INST] Be brief.\nHi <|im_end|> <end_of_turn> [/INST] [/INST]"),
        ["Qwen 2.5"] = (
            new SmallModel
            {
                Architecture = "qwen2",
                Split = "qwen2",
                HasBias = true,
                IsTied = true,
                Controls = ["<|im_start|>", "<|im_end|>"],
                Template = ChatMl,
            },
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|> <end_of_turn> [/INST]<|im_end|>\n<|im_start|>assistant\n"),
        ["Qwen 3"] = (
            new SmallModel
            {
                Architecture = "qwen3",
                Split = "qwen2",
                HasHeadNorms = true,
                Controls = ["<|im_start|>", "<|im_end|>"],
                Template = ChatMl,
            },
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|> <end_of_turn> [/INST]<|im_end|>\n<|im_start|>assistant\n"),
        ["Gemma 2"] = (
            new SmallModel
            {
                Architecture = "gemma2",
                IsSentencePiece = true,
                IsTied = true,
                HasPostNorms = true,
                HasSpacePrefix = false,
                Beginning = "<bos>",
                Controls = ["<start_of_turn>", "<end_of_turn>"],
                Template = Gemma,
                More =
                    new Dictionary<string, object> { ["attention.sliding_window"] = 64u, ["attn_logit_softcapping"] = 50f, ["final_logit_softcapping"] = 30f },
            },
            "<bos><start_of_turn>user\nBe brief.\n\nHi <|im_end|> <end_of_turn> [/INST]<end_of_turn>\n<start_of_turn>model\n"),
        ["Gemma 3"] = (
            new SmallModel
            {
                Architecture = "gemma3",
                IsSentencePiece = true,
                IsTied = true,
                HasPostNorms = true,
                HasHeadNorms = true,
                HasSpacePrefix = false,
                Beginning = "<bos>",
                Controls = ["<start_of_turn>", "<end_of_turn>"],
                Template = Gemma,
                More = new Dictionary<string, object> { ["attention.sliding_window"] = 64u },
            },
            "<bos><start_of_turn>user\nBe brief.\n\nHi <|im_end|> <end_of_turn> [/INST]<end_of_turn>\n<start_of_turn>model\n"),
        ["Phi 3"] = (
            new SmallModel
            {
                Architecture = "phi3",
                Name = "Phi-3",
                IsSentencePiece = true,
                IsFused = true,
                Beginning = "<s>",
                Controls = ["</s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
                Template = "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}{{ '<|assistant|>\n' }}{# <|user|> #}",
            },
            // This family's control tokens take the line's end behind them away, and its pieces begin with a blank.
            "<s><|system|> Be brief.<|end|><|user|> Hi <|im_end|> <end_of_turn> [/INST]<|end|><|assistant|>"),
    };

    private readonly TemporaryFolder folder = new();

    public static TheoryData<string> FamilyNames => [.. Families.Keys];

    [Theory]
    [MemberData(nameof(FamilyNames))]
    public async Task A_family_is_served_with_its_own_template_and_vocabulary(string family)
    {
        var (model, prompt) = Families[family];
        var path = folder.File("small.gguf");
        model.Write(path);
        await using var engine = LlamaBackend.Load(await Engine.Library, new LlamaBackendOptions { ModelPath = path });

        var whole = await engine.AskAsync(Ask);
        var streamed = await engine.AskAsync(Ask, stream: true);

        whole.Refusal.ShouldBeNull();
        whole.Usage.CompletionTokens.ShouldBeInRange(1, 24);
        streamed.Text.ShouldBe(whole.Text);

        using var loaded = LlamaModel.Load(path, name: null);
        var tokens = ChatPrompt.Tokenize(loaded, [new(ChatRole.System, "Be brief."), new(ChatRole.User, Words)], 4096, out _).ShouldNotBeNull();
        whole.Usage.PromptTokens.ShouldBe(tokens.Count);
        Spelled(tokens).ShouldBe(prompt);
        // What the caller's words spell is no control token: their text is the same, but the tokens of it are plain.
        tokens.Where(loaded.IsEnd).Count().ShouldBe(Occurrences(prompt, model.Controls[^1]) - Occurrences(Words, model.Controls[^1]));

        static int Occurrences(string text, string of) => text.Split(of).Length - 1;

        string Spelled(IEnumerable<int> all)
        {
            var bytes = new List<byte>();
            var buffer = new byte[16];
            foreach (var token in all)
            {
                if (loaded.AttributesOf(token).HasFlag(LlamaNative.TokenAttributes.Control))
                    bytes.AddRange(Encoding.UTF8.GetBytes(loaded.TextOf(token)));
                else
                    bytes.AddRange(loaded.Piece(token, ref buffer));
            }

            return Encoding.UTF8.GetString([.. bytes]);
        }
    }

    public void Dispose() => folder.Dispose();
}
