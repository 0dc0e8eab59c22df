// spec/sidecar.md section 5.
using ConfidentialChat.Protocol;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Sidecar.Errors;

/// <summary>In whose words a program is answered.</summary>
internal enum ApiShape
{
    OpenAI,
    Anthropic,
}

internal static class ApiShapes
{
    private const string AnthropicVersion = "anthropic-version"; // its clients send it with everything

    public static ApiShape Of(HttpContext context) =>
        InferenceEndpoints.OfPath(context.Request.Path.Value ?? "")?.Api is InferenceApi.Messages || context.Request.Headers.ContainsKey(AnthropicVersion)
            ? ApiShape.Anthropic
            : ApiShape.OpenAI;
}
