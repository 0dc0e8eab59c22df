using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>A sealed request as the gateway sees it: headers, and bytes that it cannot read.</summary>
internal sealed record SealedCall(long Node, KeySetDigest KeySet)
{
    public Guid Id { get; init; } = Guid.NewGuid();

    public HttpContent Body { get; init; } = new ByteArrayContent(RandomNumberGenerator.GetBytes(2048));

    /// <summary>The node's own, where it is null.</summary>
    public string? Url { get; init; }

    public string? Units { get; init; } = "4096";

    /// <summary>Headers in the place of its own; null takes one away.</summary>
    public (string Name, string? Value)[] Changes { get; init; } = [];

    public HttpRequestMessage Request()
    {
        var request = new HttpRequestMessage(HttpMethod.Post, Url ?? $"/v2/nodes/{Node}/relay") { Content = Body };
        Body.Headers.ContentType = new MediaTypeHeaderValue(ChunkedRequestSealer.MediaType);
        var headers = new Dictionary<string, string?>(StringComparer.Ordinal)
        {
            [RelayHeaders.Model] = GatewayUnderTest.Model,
            [RelayHeaders.RequestId] = Id.ToString(),
            [RelayHeaders.KeySet] = KeySet.ToString(),
            [RelayHeaders.MaxUnits] = Units,
            ["Incremental"] = "?1",
        };
        foreach (var (name, value) in Changes)
            headers[name] = value;
        foreach (var (name, value) in headers.Where(header => header.Value is not null))
            request.Headers.TryAddWithoutValidation(name, value);
        return request;
    }
}

internal static class Problems
{
    /// <summary>Asks for an error as a problem document.</summary>
    public static async Task ShouldBeProblemAsync(this HttpResponseMessage response, RequestError error, bool? forwarded, string? param = null)
    {
        var body = await response.Content.ReadAsStringAsync();
        var row = error.Row();
        ((int)response.StatusCode).ShouldBe(row.Status, body);
        response.Content.Headers.ContentType!.ToString().ShouldBe("application/problem+json");
        using var document = JsonDocument.Parse(body);
        var problem = document.RootElement;
        problem.GetProperty("code").GetString().ShouldBe(row.Code);
        problem.GetProperty("status").GetInt32().ShouldBe(row.Status);
        problem.GetProperty("title").GetString().ShouldBe(row.Message);
        problem.GetProperty("type").GetString().ShouldBe(error == RequestError.UnknownNodeKey ? ProblemDocument.OhttpKey : "about:blank");
        (problem.TryGetProperty("forwarded", out var said) ? said.GetBoolean() : (bool?)null).ShouldBe(forwarded, row.Code);
        (problem.TryGetProperty("param", out var named) ? named.GetString() : null).ShouldBe(param);
        response.Headers.CacheControl!.NoStore.ShouldBeTrue();
        if (row.HasRetryAfter)
            response.Headers.RetryAfter!.Delta.ShouldNotBeNull();
    }
}
