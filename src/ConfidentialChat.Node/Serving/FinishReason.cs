// spec/inference.md section 6; spec/envelope-v1.md section 8; spec/envelope-v2.md section 6.
using ConfidentialChat.Node.Inference;

namespace ConfidentialChat.Node.Serving;

/// <summary>What ends a stream of chunk objects: without one it was cut off, and passes for whole under no envelope.</summary>
internal static class FinishReason
{
    /// <summary>Whether a chunk has one.</summary>
    /// <remarks>Looked for and not parsed: every event of a stream is asked. In a text the name stands with escaped quotes, and is not found.</remarks>
    public static bool IsIn(ReadOnlySpan<byte> json)
    {
        var name = "\"finish_reason\""u8;
        while (json.IndexOf(name) is >= 0 and var found)
        {
            json = json[(found + name.Length)..];
            var value = json.TrimStart(" \t:"u8);
            if (value.Length > 0 && value[0] == '"')
                return true;
        }

        return false;
    }

    public static InferenceException Missing() => new(InferenceFailure.Failed, "The engine ended its events before it gave a finish reason.");
}
