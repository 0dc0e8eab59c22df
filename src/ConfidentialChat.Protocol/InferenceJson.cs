// spec/inference.md section 4, the depth of a request.
namespace ConfidentialChat.Protocol;

/// <summary>The JSON of a request for inference and of its answer, whichever envelope it came in and whichever engine reads it.</summary>
public static class InferenceJson
{
    /// <summary>Levels of objects and arrays, the outermost one too, of a body and of all that is read of it.</summary>
    /// <remarks>A parser's work is length times depth: without a bound, one deep body would keep whatever reads it busy for minutes.</remarks>
    public const int DepthMax = 256;
}
