// spec/inference.md section 6.
namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>Whether a stream has said all: every choice that began has its finish reason, and there was one.</summary>
internal sealed class StreamEnding
{
    private readonly HashSet<long> open = [];
    private readonly HashSet<long> finished = [];

    public bool IsReached => open.Count == 0 && finished.Count > 0;

    public void Note(IEnumerable<ChoiceProgress> choices)
    {
        foreach (var (index, isFinished) in choices)
        {
            if (isFinished)
            {
                finished.Add(index);
                open.Remove(index);
            }
            else if (!finished.Contains(index))
            {
                open.Add(index);
            }
        }
    }
}

/// <summary>A choice that a chunk goes on with.</summary>
/// <param name="Index">Its <c>index</c>; 0 where it says none.</param>
/// <param name="IsFinished">Whether it has its <c>finish_reason</c>.</param>
internal readonly record struct ChoiceProgress(long Index, bool IsFinished);
