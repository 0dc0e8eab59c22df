using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>A loaded model with its vocabulary and its chat template. Safe for concurrent calls.</summary>
internal sealed unsafe class LlamaModel : IDisposable
{
    // Some vocabularies cut text up by std::regex, which recurses with the length of a run and so can exhaust the stack.
    // Longer text is cut into runs of this many bytes at most, at a space where there is one.
    private const int RunMax = 4096;

    private readonly nint vocabulary;
    private readonly bool cutsLongText;
    private readonly byte[] template;
    private readonly string[] structural;

    private LlamaModel(ModelHandle handle, string name, byte[] template)
    {
        Handle = handle;
        Name = name;
        this.template = template;
        vocabulary = LlamaNative.Vocabulary(handle);
        cutsLongText = LlamaNative.VocabularyType(vocabulary) == LlamaNative.VocabularyBytePair;
        TokenCount = LlamaNative.TokenCount(vocabulary);
        var beginning = LlamaNative.BeginningOfSequence(vocabulary);
        Beginning = LlamaNative.AddsBeginningOfSequence(vocabulary) && beginning != LlamaNative.NoToken ? beginning : null;
        LongestToken = 1;
        var structural = new List<string>();
        var templateText = Encoding.UTF8.GetString(template);
        for (var token = 0; token < TokenCount; token++)
        {
            var text = TextOf(token);
            LongestToken = Math.Max(LongestToken, text.Length);
            if (AttributesOf(token).HasFlag(LlamaNative.TokenAttributes.UserDefined) && text.AsSpan().Trim().Length > 1 &&
                (IsEnd(token) || templateText.Contains(text, StringComparison.Ordinal)))
            {
                structural.Add(text);
            }
        }

        this.structural = [.. structural];
    }

    public ModelHandle Handle { get; }

    /// <summary>By which callers ask for it.</summary>
    public string Name { get; }

    public int TokenCount { get; }

    /// <summary>The token that every prompt begins with, where the model wants one.</summary>
    public int? Beginning { get; }

    /// <summary>No token stands for more bytes of text than this.</summary>
    public int LongestToken { get; }

    public int TrainedContext => LlamaNative.TrainedContext(Handle);

    /// <summary>Bytes of the weights.</summary>
    public ulong Size => LlamaNative.ModelSize(Handle);

    /// <summary>Reads all but the weights: whether architecture, vocabulary and chat template can be served.</summary>
    /// <exception cref="ModelLoadException">They cannot.</exception>
    public static void Check(string path)
    {
        var parameters = LlamaNative.DefaultModelParameters();
        parameters.VocabularyOnly = 1;
        Load(path, name: null, parameters).Dispose();
    }

    /// <exception cref="ModelLoadException">The file cannot be served.</exception>
    public static LlamaModel Load(string path, string? name)
    {
        var parameters = LlamaNative.DefaultModelParameters();
        parameters.CheckTensors = 1; // the format has no checksum, and numbers that are none make nonsense of every answer
        return Load(path, name, parameters);
    }

    // What the file says of itself, where a gateway would take that.
    private static string NameOf(GgufFile file, string path)
    {
        if (ModelNames.CanBeServed(file.Name))
            return file.Name;
        var name = Path.GetFileNameWithoutExtension(path);
        return ModelNames.CanBeServed(name) ? name : throw new ModelLoadException(
            $"The model file {ForeignText.Line(path)} has no name that a gateway would take.",
            $"give the file a name of at most {ModelNames.MaxLength} characters, all of which are seen");
    }

    private static LlamaModel Load(string path, string? name, LlamaNative.ModelParameters parameters)
    {
        var file = GgufFile.Read(path);
        if (!file.HasChatTemplate)
        {
            throw new ModelLoadException(
                $"The model file {path} has no chat template, so messages cannot be made into a prompt.",
                "use an instruction-tuned model whose file has tokenizer.chat_template");
        }

        LlamaLog.BeginCapture();
        ModelHandle handle;
        string errors;
        try
        {
            handle = new ModelHandle(LlamaNative.LoadModel(path, parameters));
        }
        finally
        {
            errors = LlamaLog.EndCapture();
        }

        try
        {
            if (handle.IsInvalid)
            {
                throw new ModelLoadException(
                    $"llama.cpp cannot load the model file {path} (architecture {ForeignText.Line(file.Architecture)}){(errors.Length > 0 ? ": " + errors : "")}.",
                    "fetch the file again, or use a model that llama.cpp 0.5.0 knows");
            }

            if (!LlamaNative.HasDecoder(handle) || LlamaNative.HasEncoder(handle) || LlamaNative.IsDiffusion(handle))
                throw new ModelLoadException($"The model in {path} does not write text token by token.", "use a decoder-only language model");
            var template = LlamaNative.ChatTemplate(handle, null);
            if (template is null)
                throw new ModelLoadException($"The model file {path} has no chat template.", "use an instruction-tuned model");
            var model = new LlamaModel(
                handle, name ?? NameOf(file, path), [.. MemoryMarshal.CreateReadOnlySpanFromNullTerminated(template), 0]);
            model.CheckTemplate(path);
            return model;
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Writes the messages as the model's template has them, ready for the assistant to speak.</summary>
    /// <param name="contents">Without zero characters, for C ends a text there: not what callers wrote, but markers that stand for it.</param>
    /// <returns>Null where there is no known template.</returns>
    public string? ApplyTemplate(IReadOnlyList<(ChatRole Role, string Content)> contents)
    {
        // One block of zero-terminated texts, and the pointers into it.
        var texts = new MemoryStream();
        var starts = new List<(int Role, int Content)>(contents.Count);
        foreach (var (role, content) in contents)
        {
            var roleStart = Append(role switch { ChatRole.System => "system", ChatRole.User => "user", _ => "assistant" });
            starts.Add((roleStart, Append(content)));
        }

        var messages = new LlamaNative.ChatMessage[starts.Count];
        fixed (byte* text = texts.GetBuffer())
        fixed (byte* template = this.template)
        fixed (LlamaNative.ChatMessage* first = messages)
        {
            for (var i = 0; i < messages.Length; i++)
                messages[i] = new LlamaNative.ChatMessage { Role = text + starts[i].Role, Content = text + starts[i].Content };
            var buffer = ArrayPool<byte>.Shared.Rent((int)(texts.Length * 2) + 1024);
            try
            {
                while (true)
                {
                    int length;
                    fixed (byte* output = buffer)
                        length = LlamaNative.ApplyChatTemplate(template, first, (nuint)messages.Length, addAssistant: true, output, buffer.Length);
                    if (length < 0)
                        return null;
                    if (length <= buffer.Length)
                        return Encoding.UTF8.GetString(buffer, 0, length);
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = ArrayPool<byte>.Shared.Rent(length);
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }

        int Append(string value)
        {
            var start = (int)texts.Length;
            texts.Write(Encoding.UTF8.GetBytes(value));
            texts.WriteByte(0);
            return start;
        }
    }

    /// <summary>Appends the tokens of text in which no control token is seen, whatever the text spells.</summary>
    /// <returns>Whether they fit; where not, <paramref name="tokens"/> has been filled up in part.</returns>
    public bool AppendPlain(string text, List<int> tokens, int tokensMax)
    {
        // Too long for any tokens of this vocabulary: not worth the work of finding out.
        if (text.Length / LongestToken > tokensMax - tokens.Count)
            return false;
        foreach (var run in Runs(text))
        {
            if (!Append(run, tokens, tokensMax, parseSpecial: false))
                return false;
        }

        return true;
    }

    /// <summary>Appends the tokens of text that a caller wrote as a whole prompt: what spells a control token is one.</summary>
    /// <returns>Whether they fit; where not, <paramref name="tokens"/> has been filled up in part.</returns>
    public bool AppendRaw(string text, List<int> tokens, int tokensMax)
    {
        if (text.Length / LongestToken > tokensMax - tokens.Count)
            return false;
        for (var start = 0; start < text.Length;)
        {
            var end = cutsLongText && text.Length - start > RunMax ? CutBefore(text, start, start + RunMax) : text.Length;
            if (!Append(text[start..end], tokens, tokensMax, parseSpecial: true))
                return false;
            start = end;
        }

        return true;
    }

    /// <summary>The tokens of a piece of the template, control tokens among them.</summary>
    public List<int> TokenizeTemplate(string text)
    {
        var tokens = new List<int>();
        Append(text, tokens, int.MaxValue, parseSpecial: true);
        return tokens;
    }

    public string TextOf(int token)
    {
        var text = LlamaNative.TokenText(vocabulary, token);
        return text is null ? "" : Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text));
    }

    public LlamaNative.TokenAttributes AttributesOf(int token) => LlamaNative.TokenAttributesOf(vocabulary, token);

    public bool IsEnd(int token) => LlamaNative.IsEndOfGeneration(vocabulary, token);

    /// <summary>The bytes that a generated token adds to the text; none for a control token. Not always whole characters.</summary>
    /// <param name="token">The token.</param>
    /// <param name="buffer">Made larger where it is too small.</param>
    public ReadOnlySpan<byte> Piece(int token, ref byte[] buffer)
    {
        while (true)
        {
            int length;
            fixed (byte* output = buffer)
                length = LlamaNative.TokenToPiece(vocabulary, token, output, buffer.Length, leadingSpaces: 0, special: false);
            if (length >= 0)
                return buffer.AsSpan(0, length);
            buffer = new byte[-length];
        }
    }

    public void Dispose() => Handle.Dispose();

    private void CheckTemplate(string path)
    {
        const string Hint = "use a model with one of the templates of llama_chat_apply_template, such as ChatML or Llama 3";
        if (ApplyTemplate([(ChatRole.User, "x")]) is null)
            throw new ModelLoadException($"The chat template in {path} is none that llama.cpp's C interface knows.", Hint);
        // Harmony answers in channels, thoughts among them, that would have to be taken apart.
        if (template.AsSpan().IndexOf("<|channel|>"u8) >= 0)
            throw new ModelLoadException($"The model in {path} answers in channels, which this engine does not take apart.", Hint);
    }

    // Tokens of the kind "user-defined" are seen in plain text too. Where the template is built of such, the text is cut inside of them.
    private IEnumerable<string> Runs(string text)
    {
        var next = new int[structural.Length];
        Array.Fill(next, -1);
        var start = 0;
        while (start < text.Length)
        {
            var end = cutsLongText && text.Length - start > RunMax ? CutBefore(text, start, start + RunMax) : text.Length;
            for (var i = 0; i < next.Length; i++)
            {
                if (next[i] < start)
                    next[i] = text.IndexOf(structural[i], start, StringComparison.Ordinal) is >= 0 and var found ? found : int.MaxValue;
                if (next[i] < end)
                    end = next[i] + (char.IsHighSurrogate(text[next[i]]) ? 2 : 1);
            }

            yield return text[start..end];
            start = end;
        }
    }

    // A space begins a token in these vocabularies, so a cut before one changes nothing.
    private static int CutBefore(string text, int start, int limit)
    {
        var space = text.LastIndexOf(' ', limit - 1, limit - start - 1);
        if (space > start)
            return space;
        return char.IsLowSurrogate(text[limit]) ? limit - 1 : limit;
    }

    private bool Append(string text, List<int> tokens, int tokensMax, bool parseSpecial)
    {
        if (text.Length == 0)
            return true;
        var utf8 = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(text.Length));
        // A token stands for a byte at the least, but for the prefix space and the like.
        var ids = ArrayPool<int>.Shared.Rent(utf8.Length + 8);
        try
        {
            var length = Encoding.UTF8.GetBytes(text, utf8);
            int count;
            fixed (byte* input = utf8)
            fixed (int* output = ids)
                count = LlamaNative.Tokenize(vocabulary, input, length, output, ids.Length, addSpecial: false, parseSpecial);
            if (count < 0)
                throw new InferenceException(InferenceFailure.Failed, "The text has more tokens than bytes.");
            if (count > tokensMax - tokens.Count)
                return false;
            tokens.AddRange(ids.AsSpan(0, count));
            return true;
        }
        finally
        {
            ArrayPool<int>.Shared.Return(ids);
            ArrayPool<byte>.Shared.Return(utf8, clearArray: true);
        }
    }
}
