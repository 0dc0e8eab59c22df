// spec/envelope-v1.md section 8.
namespace ConfidentialChat.Client.Transport;

/// <summary>Whether a stream has said all: every choice that began has a finish reason, and there was one.</summary>
internal sealed class StreamEnding
{
    private readonly HashSet<int> open = [];
    private readonly HashSet<int> finished = [];

    public bool IsReached => open.Count == 0 && finished.Count > 0;

    public void Note(IStreamChunk chunk)
    {
        foreach (var (index, isFinished) in chunk.Progress)
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

/// <summary>A piece of a streamed answer.</summary>
internal interface IStreamChunk
{
    /// <summary>The choices that it goes on with, and whether each has its finish reason.</summary>
    IEnumerable<(int Index, bool IsFinished)> Progress { get; }
}
