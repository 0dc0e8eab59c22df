using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Client;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Sidecar;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.EndToEnd.Tests.Sidecar;

/// <summary>A sidecar within the process of the tests, on a free port, and a program that asks it.</summary>
internal sealed class SidecarUnderTest : IAsyncDisposable
{
    private readonly WebApplication app;

    private SidecarUnderTest(WebApplication app)
    {
        this.app = app;
        Url = new Uri(SidecarHost.BaseUrl(app).GetLeftPart(UriPartial.Authority));
        Http = new HttpClient { BaseAddress = Url, Timeout = TimeSpan.FromSeconds(60) };
    }

    public Uri Url { get; }

    public HttpClient Http { get; }

    public WebApplication App => app;

    public static async Task<SidecarUnderTest> StartAsync(
        ConfidentialChatOptions client, Func<SidecarOptions, SidecarOptions>? with = null, ILoggerProvider? log = null)
    {
        var options = new SidecarOptions { Client = client with { Retries = RetryConfig.None }, Port = 0, DrainTimeout = TimeSpan.FromSeconds(5) };
        var app = SidecarHost.Create(with?.Invoke(options) ?? options, builder =>
        {
            builder.Logging.ClearProviders();
            if (log is not null)
                builder.Logging.AddProvider(log);
        });
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new SidecarUnderTest(app);
    }

    public static string Chat(string model, string prompt = "Hello?", bool stream = false, string more = "") => RawClient.Chat(model, prompt, stream, more);

    public async Task<HttpResponseMessage> PostAsync(string path, string json, params (string Name, string Value)[] headers)
    {
        var content = new StringContent(json, Encoding.UTF8);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return await SendAsync(HttpMethod.Post, path, content, headers);
    }

    public Task<HttpResponseMessage> GetAsync(string path, params (string Name, string Value)[] headers) => SendAsync(HttpMethod.Get, path, null, headers);

    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, path) { Content = content };
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value).ShouldBeTrue();
        return Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
    }

    /// <summary>An error as it came, of either API.</summary>
    public static async Task<(int Status, string? Code, string Message)> ErrorAsync(HttpResponseMessage answer)
    {
        var error = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["error"]!;
        error["type"].ShouldNotBeNull();
        return ((int)answer.StatusCode, (string?)error["code"], (string)error["message"]!);
    }

    /// <summary>What comes of a body until it ends, and whether it ended as a body does.</summary>
    public static async Task<(string Text, bool IsWhole)> ReadAsync(HttpResponseMessage answer)
    {
        using var text = new MemoryStream();
        try
        {
            await using var body = await answer.Content.ReadAsStreamAsync();
            await body.CopyToAsync(text);
            return (Encoding.UTF8.GetString(text.ToArray()), true);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            return (Encoding.UTF8.GetString(text.ToArray()), false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await app.StopAsync();
        await app.DisposeAsync();
    }
}
