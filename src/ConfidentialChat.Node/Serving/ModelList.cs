// spec/envelope-v2.md section 4: GET /v1/models.
using System.Buffers;
using System.Text.Json;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Serving;

/// <summary>The models that this node serves now, as the OpenAI API lists them. No engine is asked, and nothing is charged.</summary>
internal sealed class ModelList(IReadOnlyList<string> models) : InferenceAnswer
{
    public const string Path = "/v1/models";

    public override string ContentType => Json;

    public override Usage Usage => default;

    public override async IAsyncEnumerable<AnswerPart> ReadPartsAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        await Task.CompletedTask;
        yield return new AnswerPart(Write());
    }

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private byte[] Write()
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        foreach (var model in models)
        {
            json.WriteStartObject();
            json.WriteString("id", model);
            json.WriteString("object", "model");
            json.WriteNumber("created", 0);
            json.WriteString("owned_by", "confidentialchat");
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }
}
