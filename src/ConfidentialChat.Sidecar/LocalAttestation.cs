// spec/sidecar.md section 6.
using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Client;
using ConfidentialChat.Protocol;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Sidecar;

/// <summary>Shows whom a model's requests are sealed to, and every check of the verdict; verifies where none is kept.</summary>
internal sealed class LocalAttestation(NodeVerdicts verdicts, SidecarOptions options)
{
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public async Task HandleAsync(HttpContext context)
    {
        try
        {
            var model = context.Request.Query["model"] is [{ } named] ? named : await verdicts.FirstModelAsync(context.RequestAborted);
            if (!ModelNames.IsValid(model))
                await SidecarRefusal.Of(SidecarError.NoModel).WriteAsync(context);
            else
                await WriteAsync(context.Response, model, await verdicts.VerifyAsync(model, context.RequestAborted));
        }
        catch (Exception e) when (SidecarRefusal.Of(e) is { } refusal)
        {
            await refusal.WriteAsync(context);
        }
    }

    private async Task WriteAsync(HttpResponse response, string model, IReadOnlyList<VerifiedNode> nodes)
    {
        var buffer = new ArrayBufferWriter<byte>(4096);
        using (var json = new Utf8JsonWriter(buffer, Readable))
        {
            json.WriteStartObject();
            json.WriteString("gateway", options.Client.ServerUrl?.GetLeftPart(UriPartial.Authority));
            json.WriteString("model", model);
            json.WriteStartArray("nodes");
            foreach (var node in nodes)
                Write(json, node);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        response.ContentType = "application/json";
        response.ContentLength = buffer.WrittenCount;
        response.Headers.CacheControl = "no-store";
        await response.Body.WriteAsync(buffer.WrittenMemory, response.HttpContext.RequestAborted);
    }

    private static void Write(Utf8JsonWriter json, VerifiedNode node)
    {
        json.WriteStartObject();
        json.WriteNumber("node", node.Id.Value);
        json.WriteString("tee", node.Tee);
        json.WriteString("key_set", node.KeySet.ToString());
        json.WriteString("sealed_to_until", Shown.Date(node.SealBefore));
        json.WriteStartObject("verdict");
        node.Verdict.WriteMembers(json);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
