using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>A client that can be told to misbehave: every step by hand, on the real protocol types.</summary>
public sealed class RawClient(RunningStack stack, string? apiKey = null) : IDisposable
{
    private readonly HttpClient http = new() { BaseAddress = stack.Gateway, Timeout = TimeSpan.FromSeconds(60) };

    public void Dispose() => http.Dispose();

    public static string Chat(string model, string prompt, bool stream, string more = "") =>
        $$"""{"model":{{JsonSerializer.Serialize(model)}},"messages":[{"role":"user","content":{{JsonSerializer.Serialize(prompt)}}}],"temperature":0,"stream":{{(stream ? "true" : "false")}}{{more}}}""";

    public async Task<(X25519PublicKey NodeKey, StackId Stack)> LockAsync(int? timeout = null)
    {
        using var answer = await PostAsync("/v1/nodes/lock", new JsonObject { ["model"] = stack.Model, ["timeout"] = timeout }.ToJsonString());
        var body = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
        answer.IsSuccessStatusCode.ShouldBeTrue(body.ToJsonString());
        X25519PublicKey.TryParse((string)body["public_key"]!, out var key).ShouldBeTrue();
        return (key!, new StackId((long)body["stack_small_id"]!));
    }

    /// <summary>Locks and seals.</summary>
    public async Task<SealedRequest> SealAsync(string json, bool stream = false, int? timeout = null)
    {
        var (nodeKey, stackId) = await LockAsync(timeout);
        var outer = new OuterFields { NodeKey = nodeKey, Model = stack.Model, Stack = stackId, Stream = stream };
        SealedRequest.TrySeal(Encoding.UTF8.GetBytes(json), outer, out var request).ShouldBeTrue();
        return request!;
    }

    public static JsonObject ToJson(SealedRequest request)
    {
        var body = new ArrayBufferWriter<byte>();
        request.Envelope.Write(body);
        return JsonNode.Parse(body.WrittenSpan)!.AsObject();
    }

    public Task<HttpResponseMessage> SendAsync(JsonObject envelope, CancellationToken cancellation = default) =>
        PostAsync("/v1/confidential/chat/completions", envelope.ToJsonString(), cancellation);

    public Task<HttpResponseMessage> PostAsync(string path, string body, CancellationToken cancellation = default) =>
        PostAsync(path, new StringContent(body, Encoding.UTF8, "application/json"), cancellation);

    public Task<HttpResponseMessage> PostAsync(string path, HttpContent body, CancellationToken cancellation = default) =>
        SendAsync(new HttpRequestMessage(HttpMethod.Post, path) { Content = body }, cancellation);

    /// <summary>Promises a body, sends one byte of it and waits for what is said to that.</summary>
    public async Task<HttpResponseMessage> HaltAsync(string path)
    {
        using var connection = new TcpClient();
        await connection.ConnectAsync(stack.Gateway.Host, stack.Gateway.Port);
        await using var wire = connection.GetStream();
        await wire.WriteAsync(Encoding.ASCII.GetBytes(
            $"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {apiKey ?? stack.ApiKey}\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{{"));
        using var reader = new StreamReader(wire);
        var answer = await reader.ReadToEndAsync();
        return new HttpResponseMessage(Enum.Parse<HttpStatusCode>(answer[9..12]))
        {
            Content = new StringContent(answer[(answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..]),
        };
    }

    public Task<HttpResponseMessage> GetAsync(string path) => SendAsync(new HttpRequestMessage(HttpMethod.Get, path), default);

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellation)
    {
        request.Headers.ExpectContinue = request.Content?.Headers.ContentLength > 1024 * 1024; // an answer that comes before the body is read
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", apiKey ?? stack.ApiKey);
        return await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
    }

    /// <summary>Opens a whole answer.</summary>
    public static async Task<JsonNode> OpenAsync(SealedRequest request, HttpResponseMessage answer)
    {
        answer.IsSuccessStatusCode.ShouldBeTrue(await answer.Content.ReadAsStringAsync());
        request.Answer.TryOpen(await answer.Content.ReadAsByteArrayAsync(), out var plaintext).ShouldBeTrue();
        return JsonNode.Parse(plaintext)!;
    }

    public static async Task<(int Status, string? Code, string? Param)> ErrorAsync(HttpResponseMessage answer)
    {
        var error = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["error"]!;
        return ((int)answer.StatusCode, (string?)error["code"], (string?)error["param"]);
    }
}
