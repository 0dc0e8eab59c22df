// spec/envelope-v1.md section 1.
using System.Text.Encodings.Web;
using System.Text.Json;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace ConfidentialChat.Hosting;

/// <summary>Where OpenAI's and Anthropic's APIs take requests in plain, and nothing of ours does: clients are told where to go, in their own shape.</summary>
internal static class PlainEndpoints
{
    /// <param name="app">Gateway or node.</param>
    /// <param name="advice">Where to go, a sentence; the same for everybody.</param>
    public static void MapPlainEndpoints(this IEndpointRouteBuilder app, string advice)
    {
        var (openAI, anthropic) = (Write(advice, isAnthropic: false), Write(advice, isAnthropic: true));
        foreach (var endpoint in InferenceEndpoints.Table)
        {
            var body = endpoint.Api is InferenceApi.Messages ? anthropic : openAI;
            app.Map(endpoint.Path, context => AnswerAsync(context.Response, body));
        }
    }

    private static Task AnswerAsync(HttpResponse response, byte[] body)
    {
        response.StatusCode = RequestError.NotFound.Row().Status;
        response.ContentType = "application/json";
        response.ContentLength = body.Length;
        response.Headers.CacheControl = "no-store";
        response.Headers.XContentTypeOptions = "nosniff";
        return HttpMethods.IsHead(response.HttpContext.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(body).AsTask();
    }

    private static byte[] Write(string advice, bool isAnthropic)
    {
        using var output = new MemoryStream();
        using (var json = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (isAnthropic)
                json.WriteString("type", "error");
            json.WriteStartObject("error");
            json.WriteString("message", advice);
            json.WriteString("type", isAnthropic ? RequestError.NotFound.Row().AnthropicType : "invalid_request_error");
            json.WriteNull("param");
            json.WriteString("code", RequestError.NotFound.Row().Code);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return output.ToArray();
    }
}
