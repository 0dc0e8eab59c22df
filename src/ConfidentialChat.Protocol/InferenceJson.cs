// spec/inference.md section 4, the depth, the members and the values of a request.
namespace ConfidentialChat.Protocol;

/// <summary>The JSON of a request for inference and of its answer, whichever envelope it came in and whichever engine reads it.</summary>
public static class InferenceJson
{
    /// <summary>Levels of objects and arrays, the outermost one too, of a body and of all that is read of it.</summary>
    /// <remarks>A parser's work is length times depth: without a bound, one deep body would keep whatever reads it busy for minutes.</remarks>
    public const int DepthMax = 256;

    /// <summary>Members of a request, and of an object in it that is taken apart. The API has some forty; each costs its reader more than its bytes say.</summary>
    public const int MembersMax = 1024;

    /// <summary>Names and values within the members, in all: the tokens of 2048 texts, the most that the API embeds at once, with 1024 each.</summary>
    public const int ValuesMax = 2048 * 1024;
}
