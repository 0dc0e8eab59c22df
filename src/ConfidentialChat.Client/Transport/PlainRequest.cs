using System.Text.Json;
using System.Text.Unicode;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Transport;

/// <summary>A request before it is sealed, and what of it has to be known outside.</summary>
internal sealed record PlainRequest
{
    /// <summary>Characters of a model's name, at the most.</summary>
    public const int MaxModelLength = ModelNames.MaxLength;

    private static readonly JsonReaderOptions Depth = new() { MaxDepth = InferenceJson.DepthMax };

    public required InferenceEndpoint Endpoint { get; init; }

    /// <summary>The request as the endpoint's API has it, UTF-8 JSON.</summary>
    public required ReadOnlyMemory<byte> Json { get; init; }

    public required string Model { get; init; }

    public required bool Stream { get; init; }

    /// <summary>Whether the JSON itself says true or false.</summary>
    public required bool SaysStream { get; init; }

    /// <summary>What the call is to reserve; null for the default.</summary>
    public required ComputeUnits? Units { get; init; }

    /// <summary>Whether a stream is to be paced; of envelope v2.</summary>
    public bool IsPaced { get; init; }

    /// <summary>A header of Anthropic's API; null where there is none.</summary>
    public string? AnthropicVersion { get; init; }

    /// <inheritdoc cref="AnthropicVersion"/>
    public string? AnthropicBeta { get; init; }

    /// <summary>Reads what has to be known from a request that the caller wrote, in one pass. No text of its exceptions holds a piece of it.</summary>
    /// <exception cref="ArgumentException">
    /// It is no JSON object with one <c>model</c>, asks for a stream where there is none, or has a member twice that counts here.
    /// </exception>
    public static PlainRequest Read(InferenceEndpoint endpoint, ReadOnlyMemory<byte> json)
    {
        if (!Enum.IsDefined(endpoint))
            throw new ArgumentException("There is no such endpoint.", nameof(endpoint));
        try
        {
            return Utf8.IsValid(json.Span) ? Read(endpoint, json, new Members(json.Span)) : throw NoJson();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw NoJson(); // InvalidOperationException: a lone surrogate
        }
    }

    private static PlainRequest Read(InferenceEndpoint endpoint, ReadOnlyMemory<byte> json, Members members)
    {
        if (members.Model is not { Length: > 0 and <= MaxModelLength } model)
            throw new ArgumentException($"model: a text of 1 to {MaxModelLength} characters is wanted.", nameof(json));
        if (members.Stream is true && !endpoint.Row().MayStream)
            throw new ArgumentException("stream: this endpoint answers whole only.", nameof(json));
        return new PlainRequest
        {
            Endpoint = endpoint,
            Json = json,
            Model = model,
            Stream = members.Stream ?? false,
            SaysStream = members.Stream is not null,
            Units = endpoint switch
            {
                InferenceEndpoint.ChatCompletions => NamedUnits.OfCompletion(members.MaxCompletionTokens ?? members.MaxTokens, Count(members.N)),
                InferenceEndpoint.Completions => NamedUnits.OfCompletion(members.MaxTokens, Math.Max(Count(members.N), Count(members.BestOf))),
                InferenceEndpoint.Responses => NamedUnits.OfCompletion(members.MaxOutputTokens, choices: 1),
                InferenceEndpoint.Messages => NamedUnits.OfCompletion(members.MaxTokens, choices: 1),
                InferenceEndpoint.ImageGenerations => NamedUnits.OfImages(members.Size, Count(members.N)),
                _ => null,
            },
        };
    }

    /// <summary>With what the call and the client's options say of it.</summary>
    /// <exception cref="ArgumentException">A header is none that is carried.</exception>
    public PlainRequest With(CallOptions? call, ConfidentialChatOptions options) => this with
    {
        IsPaced = call?.PacedStreams ?? options.PacedStreams,
        AnthropicVersion = Header(call?.AnthropicVersion, nameof(CallOptions.AnthropicVersion)),
        AnthropicBeta = Header(call?.AnthropicBeta, nameof(CallOptions.AnthropicBeta)),
    };

    private string? Header(string? value, string name) =>
        value is null ? null
        : Endpoint.Row().Api is not InferenceApi.Messages ? throw new ArgumentException($"{name}: this endpoint's API has no such header.", name)
        : InnerCall.IsAnthropicHeader(value) ? value
        : throw new ArgumentException($"{name}: 1 to 1024 letters, digits, blanks and ,.-_: are wanted.", name);

    private static int Count(long? number) => (int)Math.Clamp(number ?? 1, 1, int.MaxValue);

    private static ArgumentException NoJson() => Wrong("The request is no JSON object.");

    private static ArgumentException Wrong(string text, string parameter = "json") => new(text, parameter);

    /// <summary>The members that count; what has another kind than theirs is the engine's to refuse.</summary>
    private sealed class Members
    {
        private readonly HashSet<string> seen = new(StringComparer.Ordinal);

        public Members(ReadOnlySpan<byte> json)
        {
            var reader = new Utf8JsonReader(json, Depth);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                throw NoJson();
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (TryGoTo(ref reader, "model"))
                    Model = Text(ref reader);
                else if (TryGoTo(ref reader, "stream"))
                    Stream = Flag(ref reader);
                else if (TryGoTo(ref reader, "max_completion_tokens"))
                    MaxCompletionTokens = Number(ref reader);
                else if (TryGoTo(ref reader, "max_tokens"))
                    MaxTokens = Number(ref reader);
                else if (TryGoTo(ref reader, "max_output_tokens"))
                    MaxOutputTokens = Number(ref reader);
                else if (TryGoTo(ref reader, "n"))
                    N = Number(ref reader);
                else if (TryGoTo(ref reader, "best_of"))
                    BestOf = Number(ref reader);
                else if (TryGoTo(ref reader, "size"))
                    Size = Text(ref reader);
                else
                    reader.Read();
                reader.Skip();
            }

            if (reader.TokenType != JsonTokenType.EndObject || reader.Read())
                throw NoJson();
        }

        public string? Model { get; }

        public bool? Stream { get; }

        public long? MaxCompletionTokens { get; }

        public long? MaxTokens { get; }

        public long? MaxOutputTokens { get; }

        public long? N { get; }

        public long? BestOf { get; }

        public string? Size { get; }

        // A member that counts stands once: two readers of one body must never see two different values.
        private bool TryGoTo(ref Utf8JsonReader reader, string name)
        {
            if (!reader.ValueTextEquals(name))
                return false;
            reader.Read();
            return seen.Add(name) ? true : throw Wrong($"{name}: it stands twice.");
        }

        private static string? Text(ref Utf8JsonReader reader) => reader.TokenType == JsonTokenType.String ? reader.GetString() : null;

        private static bool? Flag(ref Utf8JsonReader reader) => reader.TokenType switch
        {
            JsonTokenType.True => true,
            JsonTokenType.False => false,
            JsonTokenType.Null => null,
            _ => throw Wrong("stream: true or false is wanted."),
        };

        // Also 1e4 and 100.0, which are the same numbers to an engine.
        private static long? Number(ref Utf8JsonReader reader) =>
            reader.TokenType != JsonTokenType.Number ? null
            : reader.TryGetInt64(out var number) ? number
            : reader.TryGetDouble(out var real) ? (long)Math.Clamp(Math.Ceiling(real), 0, ComputeUnits.MaxValue)
            : null;
    }
}
