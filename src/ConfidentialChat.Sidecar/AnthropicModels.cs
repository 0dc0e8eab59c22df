// spec/sidecar.md section 2: the gateway's models in the words of Anthropic's API.
using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Sidecar;

/// <summary>Models as <c>GET /v1/models</c> of Anthropic's API has them, UTF-8 JSON. All stand on one page.</summary>
internal static class AnthropicModels
{
    private const long LastSecond = 253402300799; // of the year 9999
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static byte[] List(ModelList list) => Written(json =>
    {
        json.WriteStartObject();
        json.WriteStartArray("data");
        foreach (var model in list.Data)
            Write(json, model);
        json.WriteEndArray();
        json.WriteBoolean("has_more", false);
        json.WriteString("first_id", list.Data.FirstOrDefault()?.Id);
        json.WriteString("last_id", list.Data.LastOrDefault()?.Id);
        json.WriteEndObject();
    });

    public static byte[] One(Model model) => Written(json => Write(json, model));

    private static void Write(Utf8JsonWriter json, Model model)
    {
        json.WriteStartObject();
        json.WriteString("type", "model");
        json.WriteString("id", model.Id);
        json.WriteString("display_name", model.Id);
        json.WriteString("created_at", Date(model.Created));
        json.WriteEndObject();
    }

    // What the gateway says is a number of its own: one that is no date is the epoch, as the API has it where none is known.
    private static string Date(long? seconds) =>
        DateTimeOffset.FromUnixTimeSeconds(seconds is >= 0 and <= LastSecond and var known ? known : 0).UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", null);

    private static byte[] Written(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer, Readable))
            write(json);
        return buffer.WrittenSpan.ToArray();
    }
}
