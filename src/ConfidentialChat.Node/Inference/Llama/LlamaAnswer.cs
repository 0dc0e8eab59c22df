using System.Runtime.CompilerServices;
using System.Text;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The answer of one request: the text of its generation, written as OpenAI objects.</summary>
internal sealed class LlamaAnswer : InferenceAnswer
{
    private readonly DecodeLoop loop;
    private readonly Generation generation;
    private readonly CompletionJson json;
    private readonly bool isStream;
    private readonly bool includesUsage;
    private readonly CancellationTokenRegistration callerGone;
    private int isRead;

    /// <param name="loop">Has the generation already.</param>
    /// <param name="generation">Owned by the loop.</param>
    /// <param name="json">Owned by the answer.</param>
    /// <param name="isStream">Chunks, or one whole.</param>
    /// <param name="includesUsage">Whether a stream ends with its usage.</param>
    /// <param name="cancellation">Stops the generation, read or not.</param>
    public LlamaAnswer(
        DecodeLoop loop, Generation generation, CompletionJson json, bool isStream, bool includesUsage, CancellationToken cancellation)
    {
        this.loop = loop;
        this.generation = generation;
        this.json = json;
        this.isStream = isStream;
        this.includesUsage = includesUsage;
        callerGone = cancellation.UnsafeRegister(_ => loop.Stop(generation), null);
    }

    public override string ContentType => isStream ? EventStream : Json;

    public override Usage Usage => generation.Usage;

    public override async IAsyncEnumerable<AnswerPart> ReadPartsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        if (Interlocked.Exchange(ref isRead, 1) != 0)
            throw new InvalidOperationException("An answer is read once.");
        if (isStream)
        {
            // The first object waits for the first text: until that is there nothing has been answered, and a failure can still be told.
            await using var texts = ReadTextAsync(cancellation).GetAsyncEnumerator(cancellation);
            var more = await texts.MoveNextAsync();
            if (json.IsChat)
                yield return new AnswerPart(json.RoleChunk());
            for (; more; more = await texts.MoveNextAsync())
                yield return new AnswerPart(json.TextChunk(texts.Current));
            yield return new AnswerPart(json.FinishChunk(FinishReason()));
            if (includesUsage)
                yield return new AnswerPart(json.UsageChunk(Usage));
        }
        else
        {
            var whole = new StringBuilder();
            await foreach (var text in ReadTextAsync(cancellation))
                whole.Append(text);
            yield return new AnswerPart(json.Whole(whole.ToString(), FinishReason(), Usage));
        }
    }

    public override async ValueTask DisposeAsync()
    {
        loop.Stop(generation);
        await generation.Ended;
        await callerGone.DisposeAsync();
        json.Dispose();
    }

    private async IAsyncEnumerable<string> ReadTextAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (var text in generation.Pieces.ReadAllAsync(cancellation))
        {
            if (generation.WaitsForReader)
                loop.Wake();
            yield return text;
        }
    }

    // The text has ended without an exception, so there is one.
    private string FinishReason() => generation.FinishReason!;
}
