// spec/inference.md sections 4 and 8.
using System.Buffers.Text;
using System.Collections.Frozen;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>An opened request as it is to reach an HTTP engine: the caller's bytes, but for the members that the node answers for.</summary>
internal sealed class UpstreamRequest
{
    private const int MembersMax = InferenceJson.MembersMax;
    private const int ChoicesMax = 128; // n of the API
    private const int SideMax = 1 << 14; // pixels of an image
    private const long DefaultSide = 1024;
    private const string TemplateArguments = "chat_template_kwargs";

    /// <summary>
    /// Taken out always: whoever sets them could find another's cache, slot, session or
    /// request, send the engine to a machine of theirs, or go before others.
    /// </summary>
    private static readonly string[] Removed =
    [
        "cache_salt", "cache_prompt", "id_slot", "slot_id", "n_cache_reuse", "extra_key", "session_id", "session_params", "request_id", "rid",
        "kv_transfer_params", "bootstrap_host", "bootstrap_port", "bootstrap_room", "prompt_cache_key", "prompt_cache_retention",
        "priority", "vllm_xargs",
    ];

    /// <summary>
    /// Other spellings of what is bounded, and a template that could make a long prompt of a
    /// short request; the API has no such members, and an engine may.
    /// </summary>
    private static readonly string[] Refused = ["n_predict", "n_cmpl", "num_predict", "max_new_tokens", "max_length", "chat_template", "prompt_embeds"];

    /// <summary>
    /// Arguments that engines hand to the template's function: a template, a conversation or a
    /// length of the caller's own. So is all that begins with <c>return_</c>.
    /// </summary>
    private static readonly FrozenSet<string> RefusedOfTemplate = FrozenSet.ToFrozenSet(
        ["chat_template", "tokenize", "tools", "documents", "conversation", "messages", "padding", "truncation", "max_length"], StringComparer.Ordinal);

    private static readonly string[] RefusedOfImages = ["width", "height", "num_images_per_prompt"];

    /// <summary>Members that the node reads or writes: each stands once, in this spelling. Some engines read names without regard to case.</summary>
    private static readonly FrozenSet<string> Controlled = FrozenSet.ToFrozenSet(
        [
            "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "best_of", "store", "prompt", "messages", "input", "size",
            TemplateArguments,
            .. Removed, .. Refused, .. RefusedOfImages,
        ],
        StringComparer.Ordinal);

    private static readonly FrozenSet<string> ControlledOfNamed =
        FrozenSet.ToFrozenSet([.. Controlled, .. OutsideReferences.Controlled], StringComparer.Ordinal);

    private readonly JsonMembers members;
    private readonly InferenceRequest request;
    private readonly ContextBound? context;

    private UpstreamRequest(InferenceRequest request, JsonMembers members, ContextBound? context)
    {
        this.request = request;
        this.context = context;
        this.members = members;
        ModelJson = members.Find("model")!.Value.ToArray(); // wanted for as long as there is an answer
        PromptBound = request.Body.Span.TrimEnd(" \t\r\n"u8).Length;
    }

    public InferenceEndpoint Endpoint => request.Endpoint;

    public InferenceEndpointRow Row => request.Endpoint.Row();

    public bool Stream => request.Stream;

    /// <summary>Headers of the caller's that an engine gets.</summary>
    public IReadOnlyList<(string Name, string Value)> Headers =>
    [
        .. Row.Api is InferenceApi.Messages && request.AnthropicVersion is { } version ? [("anthropic-version", version)] : Array.Empty<(string, string)>(),
        .. Row.Api is InferenceApi.Messages && request.AnthropicBeta is { } beta ? [("anthropic-beta", beta)] : Array.Empty<(string, string)>(),
    ];

    /// <summary>The model's name as the caller spelled it.</summary>
    public ReadOnlyMemory<byte> ModelJson { get; }

    /// <summary>
    /// Tokens that the prompt cannot exceed: the request's bytes, blinding apart. A token stands for a
    /// byte at the least, and a template writes less around a message than JSON does.
    /// </summary>
    public long PromptBound { get; }

    /// <summary>The prompt's tokens where nobody counted them: ordinary text has four bytes to a token.</summary>
    public long PromptEstimate => (PromptBound + 3) / 4;

    /// <summary>Answers that are made: prompts times choices.</summary>
    public long Choices { get; private set; } = 1;

    /// <summary>The largest completion that the caller asks for, of one choice.</summary>
    public long? MaxTokens { get; private set; }

    /// <summary>Pixels of all images.</summary>
    public long Pixels { get; private set; }

    /// <summary>Whether the caller wants the usage at the end of a stream.</summary>
    public bool WantsUsage { get; private set; }

    /// <summary>Whether the caller wants it in every chunk.</summary>
    public bool WantsContinuousUsage { get; private set; }

    /// <summary>Total over all byte strings that are a request with a <c>model</c>.</summary>
    /// <param name="request">An opened request.</param>
    /// <param name="context">What the largest context of an engine can hold; null where none is known.</param>
    /// <param name="refused">Why the result is null.</param>
    public static UpstreamRequest? Read(InferenceRequest request, ContextBound? context, out InferenceStart.Refused? refused)
    {
        refused = new InferenceStart.Refused(InferenceRefusal.InvalidField);
        if (JsonMembers.Read(request.Body, MembersMax) is not { } members || members.Find("model") is null)
            return null;
        try
        {
            var read = new UpstreamRequest(request, members, context);
            read.Check();
            refused = null;
            return read;
        }
        catch (RefusedFieldException e)
        {
            refused = new InferenceStart.Refused(e.Reason, e.Field);
            return null;
        }
    }

    /// <summary>A member as the caller wrote it; null where it is absent.</summary>
    public ReadOnlyMemory<byte>? Find(string name) => members.Find(name) is { } value && !JsonMembers.IsNull(value) ? value : JsonMembers.Gone;

    /// <summary>Whether the caller wrote such a member.</summary>
    public bool Has(string name) => members.Find(name) is not null;

    /// <summary>The body for the engine, in pieces: most of them lie in the request.</summary>
    /// <param name="state">What the engine is: how a request is kept out of its prefix cache.</param>
    /// <param name="engineModel">The engine's own name of the model.</param>
    /// <param name="sharesCache">Whether it need not be kept out.</param>
    /// <param name="maxTokens">What the completion of one choice may have; null where the engine bounds it by itself.</param>
    public IReadOnlyList<ReadOnlyMemory<byte>> Write(UpstreamState state, string engineModel, bool sharesCache, long? maxTokens)
    {
        var kind = state.Kind;
        var isText = Endpoint is InferenceEndpoint.ChatCompletions or InferenceEndpoint.Completions;
        var added = new List<(string, ReadOnlyMemory<byte>)>();
        if (isText && Stream && Find("stream_options") is null)
            added.Add(("stream_options", StreamOptions(null, kind)));
        if ((MaxTokens ?? maxTokens) is { } wanted)
        {
            // An engine that does not know the one name would take the request for one without a bound.
            var isBoth = Endpoint == InferenceEndpoint.ChatCompletions && kind is not (EngineKind.Vllm or EngineKind.Sglang);
            var most = Number(Math.Min(wanted, maxTokens ?? wanted));
            if (isText && Find("max_tokens") is null && (isBoth || Endpoint == InferenceEndpoint.Completions || Find("max_completion_tokens") is null))
                added.Add(("max_tokens", most));
            if (isBoth && Find("max_completion_tokens") is null)
                added.Add(("max_completion_tokens", most));
            if (Endpoint == InferenceEndpoint.Responses && Find("max_output_tokens") is null)
                added.Add(("max_output_tokens", most));
        }

        if (Endpoint == InferenceEndpoint.Responses && members.Find("store") is null)
            added.Add(("store", "false"u8.ToArray()));
        if (Endpoint == InferenceEndpoint.ImageGenerations && JsonMembers.String(Find("size") ?? default) is null or "auto")
            added.Add(("size", Encoding.UTF8.GetBytes($"\"{DefaultSide}x{DefaultSide}\"")));
        if (!sharesCache && state.CacheMember(Endpoint) is { } member)
        {
            added.Add(
                (member, member == UpstreamState.Salt
                    ? Encoding.UTF8.GetBytes($"\"{Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32))}\"")
                    : "false"u8.ToArray()));
        }

        return members.Write(Change, added);

        ReadOnlyMemory<byte>? Change(JsonMember member, ReadOnlyMemory<byte> value) => member.Name switch
        {
            "model" => JsonSerializer.SerializeToUtf8Bytes(engineModel, UpstreamJson.Default.String),
            "store" => "false"u8.ToArray(),
            "stream_options" when isText && Stream => JsonMembers.IsNull(value) ? JsonMembers.Gone : StreamOptions(value, kind),
            { } name when name == Bound || (isText && (name is "max_tokens" or "max_completion_tokens")) =>
                JsonMembers.Integer(value) is { } asked ? maxTokens is { } most && asked > most ? Number(most) : Plain(value, asked) : JsonMembers.Gone,
            "n" or "best_of" when JsonMembers.Integer(value) is { } asked => Plain(value, asked),
            "size" when Endpoint == InferenceEndpoint.ImageGenerations && JsonMembers.String(value) is null or "auto" => JsonMembers.Gone,
            { } name when Removed.Contains(name, StringComparer.Ordinal) => JsonMembers.Gone,
            _ => value,
        };
    }

    // Of the endpoints with named events.
    private string? Bound => Endpoint switch
    {
        InferenceEndpoint.Responses => "max_output_tokens",
        InferenceEndpoint.Messages => "max_tokens",
        _ => null,
    };

    private static byte[] StreamOptions(ReadOnlyMemory<byte>? asked, EngineKind kind)
    {
        // In every chunk, so that also a stream that is cut off has its count.
        var continuous = kind is EngineKind.Vllm or EngineKind.Sglang;
        var options = JsonMembers.Read(asked ?? "{}"u8.ToArray())!;
        var added = new List<(string, ReadOnlyMemory<byte>)> { ("include_usage", "true"u8.ToArray()) };
        if (continuous)
            added.Add(("continuous_usage_stats", "true"u8.ToArray()));
        return JsonMembers.Join(options.Write(
            (member, value) => Fold(member.Name) == "include_usage" || (continuous && Fold(member.Name) == "continuous_usage_stats") ? JsonMembers.Gone : value,
            added));
    }

    // 16.0 and 1e2 are integers to JSON, and to some engines none.
    private static ReadOnlyMemory<byte> Plain(ReadOnlyMemory<byte> value, long number) => value.Span.ContainsAny(".eE"u8) ? Number(number) : value;

    private static byte[] Number(long number) => Encoding.UTF8.GetBytes(number.ToString(CultureInfo.InvariantCulture));

    private void Check()
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var controlled = Row.HasNamedEvents ? ControlledOfNamed : Controlled;
        foreach (var member in members.All)
        {
            if (Fold(member.Name) is { } name && controlled.Contains(name) && (name != member.Name || !seen.Add(name)))
                throw new RefusedFieldException(name);
        }

        Refuse(Refused);
        CheckTemplateArguments();
        switch (Endpoint)
        {
            case InferenceEndpoint.ChatCompletions:
                CheckSize("messages", Require("messages"), OutsideReferences.CheckChat);
                Refuse(["prompt", "input"]);
                CheckText(minimum: 1);
                break;
            case InferenceEndpoint.Completions:
                var prompt = Require("prompt");
                Refuse(["messages", "input"]);
                CheckText(minimum: 0);
                if (JsonMembers.IsString(prompt) && PromptBound > context?.Bytes)
                    throw RefusedFieldException.TooLarge("prompt");
                Choices *= Prompts(prompt);
                break;
            case InferenceEndpoint.Embeddings:
                Require("input");
                Refuse(["messages", "prompt"]);
                break;
            case InferenceEndpoint.Responses:
                CheckSize("input", Require("input"), input => OutsideReferences.CheckResponses(members, input));
                MaxTokens = Integer(Bound!, 1, long.MaxValue);
                break;
            case InferenceEndpoint.Messages or InferenceEndpoint.CountTokens:
                CheckSize("messages", Require("messages"), messages => OutsideReferences.CheckMessages(members, messages));
                if (Endpoint == InferenceEndpoint.Messages)
                    MaxTokens = Integer(Bound!, 1, long.MaxValue) ?? throw new RefusedFieldException(Bound!);
                break;
            case InferenceEndpoint.ImageGenerations:
                Require("prompt");
                Refuse(RefusedOfImages);
                Refuse(["messages", "input"]);
                Choices = Integer("n", 1, ChoicesMax) ?? 1;
                Pixels = Choices * SizePixels();
                break;
        }
    }

    // Engines pass these to the function that applies the template, beside or instead of what they read from the request.
    private void CheckTemplateArguments()
    {
        if (Find(TemplateArguments) is not { } value)
            return;
        if (JsonMembers.Read(value, MembersMax) is not { } arguments)
            throw new RefusedFieldException(TemplateArguments);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var argument in arguments.All)
        {
            if (Fold(argument.Name) is { } name
                && (RefusedOfTemplate.Contains(name) || name.StartsWith("return_", StringComparison.Ordinal) || !seen.Add(name)))
                throw new RefusedFieldException(TemplateArguments);
        }
    }

    private void CheckSize(string name, ReadOnlyMemory<byte> prompt, Func<ReadOnlyMemory<byte>, long> check)
    {
        if (context is { } most && !JsonMembers.IsString(prompt) && !most.Admits(prompt.Span))
            throw RefusedFieldException.TooLarge(name);
        var media = check(prompt);
        if (PromptBound - media > context?.Bytes)
            throw RefusedFieldException.TooLarge(name);
    }

    private void CheckText(long minimum)
    {
        var (total, completion) = (Integer("max_tokens", minimum, long.MaxValue), Integer("max_completion_tokens", minimum, long.MaxValue));
        MaxTokens = total is { } a && completion is { } b ? Math.Max(a, b) : total ?? completion;
        Choices = Math.Max(Integer("n", 1, ChoicesMax) ?? 1, Integer("best_of", 1, ChoicesMax) ?? 1);
        if (Stream && Find("stream_options") is { } options)
        {
            if (JsonMembers.Read(options, MembersMax) is not { } read)
                throw new RefusedFieldException("stream_options");
            WantsUsage = read.Find("include_usage") is { } usage && JsonMembers.IsTrue(usage);
            WantsContinuousUsage = WantsUsage && read.Find("continuous_usage_stats") is { } always && JsonMembers.IsTrue(always);
        }
    }

    private long SizePixels()
    {
        if (Find("size") is not { } value)
            return DefaultSide * DefaultSide;
        var text = JsonMembers.String(value);
        if (text == "auto")
            return DefaultSide * DefaultSide;
        return text?.Split('x') is [var width, var height] && TrySide(width, out var w) && TrySide(height, out var h)
            ? w * h
            : throw new RefusedFieldException("size");

        static bool TrySide(string side, out long pixels) =>
            long.TryParse(side, NumberStyles.None, CultureInfo.InvariantCulture, out pixels) && pixels is > 0 and <= SideMax;
    }

    // One text or one row of tokens is one prompt; an array of such is as many.
    private static long Prompts(ReadOnlyMemory<byte> prompt)
    {
        var reader = new Utf8JsonReader(prompt.Span, new JsonReaderOptions { MaxDepth = JsonMembers.DepthMax });
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            return 1;
        var count = 0L;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType == JsonTokenType.Number)
                return 1;
            reader.Skip();
            count++;
        }

        return Math.Max(count, 1);
    }

    private ReadOnlyMemory<byte> Require(string name) => Find(name) ?? throw new RefusedFieldException(name);

    private void Refuse(string[] names)
    {
        if (Array.Find(names, name => Find(name) is not null) is { } name)
            throw new RefusedFieldException(name);
    }

    private long? Integer(string name, long minimum, long maximum)
    {
        if (Find(name) is not { } value)
            return null;
        return JsonMembers.Integer(value) is { } number && number >= minimum && number <= maximum ? number : throw new RefusedFieldException(name);
    }

    // As a reader that minds no case would see it; two letters beyond ASCII fold into it.
    public static string? Fold(string? name) => name?.Replace('ſ', 's').Replace('\u212A', 'k').ToLowerInvariant();

}

[System.Text.Json.Serialization.JsonSerializable(typeof(string))]
internal sealed partial class UpstreamJson : System.Text.Json.Serialization.JsonSerializerContext;
