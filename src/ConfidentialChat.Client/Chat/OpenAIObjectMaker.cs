using System.Collections;
using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Client.Completions;
using ConfidentialChat.Client.Embeddings;
using ConfidentialChat.Client.Images;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// Makes empty objects and lists of one type of the API. The types are named one by one: a program that is compiled ahead has no constructor that
/// nobody names.
/// </summary>
internal sealed class OpenAIObjectMaker
{
    private static readonly FrozenDictionary<Type, OpenAIObjectMaker> Makers = new[]
    {
        Of<ChatChoice>(), Of<ChatChunkChoice>(), Of<ChatCompletion>(), Of<ChatCompletionChunk>(), Of<ChatCompletionRequest>(),
        Of<ChatCompletionTokensDetails>(), Of<ChatContentPart>(), Of<ChatDelta>(), Of<ChatFunction>(), Of<ChatFunctionCall>(), Of<ChatImageUrl>(),
        Of<ChatJsonSchema>(), Of<ChatLogprobs>(), Of<ChatMessage>(), Of<ChatPromptTokensDetails>(), Of<ChatResponseFormat>(), Of<ChatStreamOptions>(),
        Of<ChatTokenLogprob>(), Of<ChatTool>(), Of<ChatToolCall>(), Of<ChatUsage>(), Of<Completion>(), Of<CompletionChoice>(), Of<CompletionRequest>(),
        Of<Embedding>(), Of<EmbeddingList>(), Of<EmbeddingRequest>(), Of<GeneratedImage>(), Of<ImageList>(), Of<ImageRequest>(), Of<Model>(),
        Of<ModelList>(),
    }.ToFrozenDictionary(maker => maker.type);

    private readonly Type type;

    private OpenAIObjectMaker(Type type, Func<OpenAIObject> make, Func<IList> makeList) => (this.type, Make, MakeList) = (type, make, makeList);

    /// <summary>An object whose required members are yet to be set.</summary>
    public Func<OpenAIObject> Make { get; }

    public Func<IList> MakeList { get; }

    /// <exception cref="KeyNotFoundException">The type is not named above.</exception>
    public static OpenAIObjectMaker Of(Type type) => Makers[type];

    private static OpenAIObjectMaker Of<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicParameterlessConstructor)] T>()
        where T : OpenAIObject =>
        new(typeof(T), Activator.CreateInstance<T>, () => new List<T>());
}
