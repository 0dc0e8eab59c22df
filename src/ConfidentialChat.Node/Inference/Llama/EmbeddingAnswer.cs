// spec/inference.md section 1.
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The embeddings of one request, computed when they are read.</summary>
internal sealed class EmbeddingAnswer(Embedder embedder, IReadOnlyList<int[]> inputs, string model, bool isBase64, CancellationToken caller) : InferenceAnswer
{
    private readonly CancellationTokenSource stopped = CancellationTokenSource.CreateLinkedTokenSource(caller);
    private Task<float[][]>? computing;
    private long decoded;
    private int isRead;
    private int isOver;

    public override string ContentType => Json;

    public override Usage Usage => new(Interlocked.Read(ref decoded), 0);

    public override async IAsyncEnumerable<AnswerPart> ReadPartsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        if (Interlocked.Exchange(ref isRead, 1) != 0)
            throw new InvalidOperationException("An answer is read once.");
        computing = embedder.ComputeAsync(inputs, count => Interlocked.Add(ref decoded, count), stopped.Token);
        yield return new AnswerPart(Write(await computing.WaitAsync(cancellation)));
    }

    public override async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref isOver, 1) != 0)
            return;
        await stopped.CancelAsync();
        if (computing is not null)
            await ((Task)computing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        embedder.Leave();
        foreach (var tokens in inputs)
            Array.Clear(tokens);
        stopped.Dispose();
    }

    private ReadOnlyMemory<byte> Write(float[][] embeddings)
    {
        var output = new ArrayBufferWriter<byte>();
        using var writer = new Utf8JsonWriter(output);
        writer.WriteStartObject();
        writer.WriteString("object", "list");
        writer.WriteStartArray("data");
        for (var i = 0; i < embeddings.Length; i++)
        {
            writer.WriteStartObject();
            writer.WriteString("object", "embedding");
            writer.WriteNumber("index", i);
            if (isBase64)
            {
                writer.WriteBase64String("embedding", MemoryMarshal.AsBytes(embeddings[i].AsSpan())); // little-endian on every platform of the library
            }
            else
            {
                writer.WriteStartArray("embedding");
                foreach (var value in embeddings[i])
                    writer.WriteNumberValue(value);
                writer.WriteEndArray();
            }

            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteString("model", model);
        writer.WriteStartObject("usage");
        writer.WriteNumber("prompt_tokens", Usage.PromptTokens);
        writer.WriteNumber("total_tokens", Usage.TotalTokens);
        writer.WriteEndObject();
        writer.WriteEndObject();
        writer.Flush();
        return output.WrittenSpan.ToArray();
    }
}
