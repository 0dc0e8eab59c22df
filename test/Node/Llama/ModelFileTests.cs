using System.Buffers.Binary;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Tests.Llama;

/// <summary>A file that cannot be served says so, and never takes the process with it.</summary>
public sealed class ModelFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    [Fact]
    public async Task A_file_that_is_not_there_is_named()
    {
        var failure = await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(folder.File("none.gguf")));

        failure.Message.ShouldContain("none.gguf");
        failure.Hint.ShouldNotBeEmpty();
    }

    [Fact]
    public async Task A_folder_is_no_model()
    {
        await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(folder.Path));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(23)]
    [InlineData(24)]
    [InlineData(1000)]
    [InlineData(30_000)]
    [InlineData(100_000)]
    [InlineData(2_000_000)]
    [InlineData(-1)]
    public async Task A_truncated_file_is_refused(int length)
    {
        var model = Model();

        await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(length < 0 ? model[..^1] : model[..length])));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData(3_000_000)]
    public async Task A_truncated_file_says_how_much_there_should_be(int missing)
    {
        var model = Model();

        var failure = await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(model[..^missing])));

        failure.Message.ShouldContain($"{model.Length - missing} bytes of {model.Length}");
        failure.Hint.ShouldContain("fetch it again");
    }

    [Fact]
    public async Task A_tensor_whose_size_exceeds_all_numbers_is_refused()
    {
        var model = Model();
        // Its name, two dimensions, each of them: 2^62 by 2^62 is no number of 64 bits, and wraps around to none.
        var at = model.AsSpan().IndexOf("token_embd.weight"u8) + "token_embd.weight".Length + sizeof(uint);
        BinaryPrimitives.WriteUInt64LittleEndian(model.AsSpan(at), 1UL << 62);
        BinaryPrimitives.WriteUInt64LittleEndian(model.AsSpan(at + sizeof(ulong)), 1UL << 62);

        (await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(model)))).Message.ShouldContain("too large");
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public async Task Weights_that_are_no_numbers_are_refused(float value)
    {
        var model = Model();
        BinaryPrimitives.WriteSingleLittleEndian(model.AsSpan(model.Length - 1024), value);

        (await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(model)))).Message.ShouldContain("invalid data");
    }

    [Fact]
    public async Task A_check_finds_what_cannot_be_served_without_reading_the_weights()
    {
        var whole = Save(Model());
        await EmbeddedEngine.CheckAsync(new EmbeddedEngineOptions { ModelPath = whole }, null, CancellationToken.None);

        var unknown = Model();
        "lamma"u8.CopyTo(unknown.AsSpan(unknown.AsSpan().IndexOf("llama"u8)));
        await CheckFailsAsync(unknown, "lamma");
        await CheckFailsAsync(Model()[..^1], "not all there");
        using var stream = new MemoryStream();
        FixtureModel.Write(stream, "{{ messages }}");
        await CheckFailsAsync(stream.ToArray(), "chat template");

        async Task CheckFailsAsync(byte[] model, string says)
        {
            var options = new EmbeddedEngineOptions { ModelPath = Save(model) };
            (await Should.ThrowAsync<ModelLoadException>(() => EmbeddedEngine.CheckAsync(options, null, CancellationToken.None))).Message.ShouldContain(says);
        }
    }

    [Theory]
    [InlineData(0, 0x00)] // the magic
    [InlineData(4, 0x09)] // the version
    [InlineData(14, 0x7F)] // the count of tensors
    [InlineData(22, 0x7F)] // the count of metadata
    [InlineData(30, 0x7F)] // the length of the first key
    [InlineData(34, 0xFF)] // the first key
    [InlineData(52, 0x63)] // its type
    public async Task A_file_with_a_damaged_head_is_refused(int offset, byte value)
    {
        var model = Model();
        model[offset] = value;

        await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(model)));
    }

    [Fact]
    public async Task Noise_after_the_magic_is_refused()
    {
        var random = new Random(1);
        for (var i = 0; i < 200; i++)
        {
            var noise = new byte[random.Next(8, 4096)];
            random.NextBytes(noise);
            "GGUF"u8.CopyTo(noise);
            BinaryPrimitives.WriteUInt32LittleEndian(noise.AsSpan(4), 3);
            await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(noise)));
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("{% for m in messages %}{{ m.content }}{% endfor %}")]
    public async Task A_file_without_a_template_that_is_known_is_refused(string? template)
    {
        using var stream = new MemoryStream();
        FixtureModel.Write(stream, template);

        var failure = await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(stream.ToArray())));

        failure.Message.ShouldContain("chat template");
    }

    [Fact]
    public async Task A_model_of_an_unknown_architecture_is_refused_with_what_llama_says()
    {
        var model = Model();
        var at = model.AsSpan().IndexOf("llama"u8);
        "lamma"u8.CopyTo(model.AsSpan(at));

        var failure = await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(model)));

        failure.Message.ShouldContain("lamma");
    }

    [Fact]
    public async Task A_vocabulary_with_tokens_that_are_one_up_to_a_zero_is_refused_before_native_code_aborts()
    {
        var model = Model();
        // " answer" and " answe" are tokens; with a zero for its last letter the first reads as the second.
        model[model.AsSpan().IndexOf("\u0120answer"u8) + 7] = 0;

        (await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(model)))).Message.ShouldContain("twice");
    }

    [Fact]
    public async Task A_vocabulary_with_one_token_twice_is_refused_before_native_code_aborts()
    {
        var model = Model();
        // Two letters of the vocabulary's alphabet, each a token of its own.
        var first = model.AsSpan().IndexOf("\u0100"u8);
        var second = model.AsSpan().IndexOf("\u0101"u8);
        model.AsSpan(first, 2).CopyTo(model.AsSpan(second));

        (await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(model)))).Message.ShouldContain("twice");
    }

    [Theory]
    [InlineData("llama.context_length", 0xF1008000)]
    [InlineData("llama.context_length", 0)]
    [InlineData("llama.block_count", 513)]
    [InlineData("llama.embedding_length", 0)]
    [InlineData("llama.attention.head_count", 0x80000001)]
    [InlineData("llama.vocab_size", 0)]
    public async Task A_size_that_native_code_would_abort_on_is_refused(string key, uint value)
    {
        var model = Model();
        var at = model.AsSpan().IndexOf((byte[])[.. System.Text.Encoding.UTF8.GetBytes(key), 4, 0, 0, 0]) + key.Length + sizeof(uint);
        BinaryPrimitives.WriteUInt32LittleEndian(model.AsSpan(at), value);

        (await Should.ThrowAsync<ModelLoadException>(() => LoadAsync(Save(model)))).Message.ShouldContain("damaged");
    }

    [Fact]
    public async Task More_context_than_the_model_has_is_refused()
    {
        await Should.ThrowAsync<ModelLoadException>(async () => LlamaBackend.Load(
            await Engine.Library, new LlamaBackendOptions { ModelPath = Save(Model()), ContextTokens = 100_000 }));
    }

    [Fact]
    public async Task A_template_that_trims_or_begins_by_itself_is_served_all_the_same()
    {
        // Llama 3's headers are no control tokens of this vocabulary: they are plain text to it, and no one's words are lost.
        using var stream = new MemoryStream();
        FixtureModel.Write(stream, "<|start_header_id|>{{ role }}<|end_header_id|>");
        await using var engine = LlamaBackend.Load(await Engine.Library, new LlamaBackendOptions { ModelPath = Save(stream.ToArray()), ModelName = "other" });

        var bare = await engine.AskAsync(Asking.Body("x"));
        var spaced = await engine.AskAsync(Asking.Body(" \n x \t\n"));

        engine.Models.ShouldBe(["other"]);
        bare.Text.ShouldBe(FixtureModel.Answer);
        spaced.Usage.PromptTokens.ShouldBe(bare.Usage.PromptTokens);
    }

    [Fact]
    public async Task A_role_that_the_template_leaves_out_is_refused()
    {
        // Gemma's template joins the system's words to the next user's; where none follows they would be lost.
        using var stream = new MemoryStream();
        FixtureModel.Write(stream, "<start_of_turn>");
        await using var engine = LlamaBackend.Load(await Engine.Library, new LlamaBackendOptions { ModelPath = Save(stream.ToArray()) });

        var lost = await engine.AskAsync("""{"messages":[{"role":"user","content":"x"},{"role":"system","content":"y"}]}""");
        var joined = await engine.AskAsync("""{"temperature":0,"messages":[{"role":"system","content":"y"},{"role":"user","content":"x"}]}""");

        lost.Refusal.ShouldBe(new(ConfidentialChat.Node.Inference.InferenceRefusal.InvalidField, "messages"));
        joined.Text.ShouldBe(FixtureModel.Answer);
    }

    [Fact]
    public void The_fixture_is_the_same_bytes_each_time()
    {
        Model().ShouldBe(Model());
    }

    public void Dispose() => folder.Dispose();

    private static async Task LoadAsync(string path)
    {
        await using var engine = LlamaBackend.Load(await Engine.Library, new LlamaBackendOptions { ModelPath = path });
    }

    private static byte[] Model()
    {
        using var stream = new MemoryStream();
        FixtureModel.Write(stream);
        return stream.ToArray();
    }

    private string Save(byte[] content)
    {
        var path = folder.File("model.gguf");
        File.WriteAllBytes(path, content);
        return path;
    }
}
