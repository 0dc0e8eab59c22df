using System.Net;
using System.Net.Http.Headers;
using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;

namespace ConfidentialChat.Client.Tests;

/// <summary>Programs that know the OpenAI API and not this SDK.</summary>
public sealed class HandlerTests
{
    private const string Request = """{"model":"tiny","messages":[{"role":"user","content":"the-prompt-that-nobody-may-see"}]}""";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("https://api.example/v1/chat/completions")]
    [InlineData("http://10.0.0.1:8000/v1/chat/completions")]
    public async Task A_program_of_another_host_is_answered_by_a_verified_node(string url)
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "sk-of-somebody-else");
        http.DefaultRequestHeaders.Add("Cookie", "a=b");
        http.DefaultRequestHeaders.UserAgent.ParseAdd("program/1");
        using var response = await http.PostAsync(new Uri(url), Json(Request), Cancellation);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/json");
        (await response.Content.ReadAsStringAsync(Cancellation)).ShouldBe(Chats.Answer);
        gateway.Calls.Single().Json.ShouldBe(Request);
        gateway.Headers.Single().Keys.ShouldNotContain("Cookie");
        gateway.Headers.Single().Keys.ShouldNotContain("User-Agent");
        gateway.Headers.Single()["Authorization"].ShouldBe($"Bearer {RelayGateway.Key}");
    }

    [Fact]
    public async Task A_relative_address_is_the_gateways()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var http = new HttpMessageInvoker(new ConfidentialHttpHandler(gateway.Options));
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri("v1/chat/completions", UriKind.Relative)) { Content = Json(Request) };
        using var response = await http.SendAsync(request, Cancellation);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_stream_comes_as_the_engine_wrote_it_without_the_padding()
    {
        var goOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync("one");
            await goOn.Task;
            await call.SendAsync("two");
            call.Writer.EndStream();
            await call.FlushAsync();
        });
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var request = new HttpRequestMessage(HttpMethod.Post, "https://api.example/v1/chat/completions") { Content = Json(Request) };
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
        await using var body = await response.Content.ReadAsStreamAsync(Cancellation);
        using var reader = new StreamReader(body);
        (await reader.ReadLineAsync(Cancellation)).ShouldBe("data: one"); // before the second exists
        goOn.SetResult();
        (await reader.ReadToEndAsync(Cancellation)).ShouldBe("\ndata: two\n\n");
    }

    [Fact]
    public async Task The_nodes_refusal_is_an_ordinary_response()
    {
        await using var gateway = await RelayGateway.StartAsync(
            call => call.RefuseAsync(RequestError.TooManyRequests, new Field("retry-after", "7")));
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var response = await http.PostAsync(new Uri("https://api.example/v1/chat/completions"), Json(Request), Cancellation);
        response.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(7));
        (await response.Content.ReadAsStringAsync(Cancellation)).ShouldContain("TOO_MANY_REQUESTS");
    }

    [Fact]
    public async Task The_gateways_refusal_is_never_shown_as_the_nodes()
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Relay = context => context.ProblemAsync(RequestError.BalanceError, forwarded: false);
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        (await Should.ThrowAsync<GatewayApiException>(() => http.PostAsync(new Uri("https://api.example/v1/chat/completions"), Json(Request), Cancellation)))
            .Code.ShouldBe("BALANCE_ERROR");
    }

    [Theory]
    [InlineData("GET", "/v1/chat/completions")]
    [InlineData("POST", "/v1/audio/transcriptions")]
    [InlineData("POST", "/v1/chat/completions?x=1")]
    [InlineData("POST", "/v1/chat/completions/")]
    [InlineData("POST", "/v1/models")]
    [InlineData("DELETE", "/v1/files/1")]
    public async Task What_cannot_be_sealed_is_refused_before_anything_is_sent(string method, string path)
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri("https://api.example" + path));
        if (method == "POST")
            request.Content = Json(Request);
        (await Should.ThrowAsync<NotSupportedException>(() => http.SendAsync(request, Cancellation))).Message.ShouldContain("nothing was sent");
        gateway.Asked.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_body_that_is_no_JSON_is_refused_before_anything_is_sent()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var text = new StringContent("secret-text", Encoding.UTF8, "text/plain");
        await Should.ThrowAsync<NotSupportedException>(() => http.PostAsync(new Uri("https://api.example/v1/completions"), text, Cancellation));
        var failure = await Should.ThrowAsync<ArgumentException>(
            () => http.PostAsync(new Uri("https://api.example/v1/completions"), Json("secret-text"), Cancellation));
        failure.ToString().ShouldNotContain("secret-text");
        gateway.Asked.ShouldBeEmpty();
    }

    [Fact]
    public async Task The_list_of_models_is_the_gateways()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        (await http.GetStringAsync(new Uri("https://api.example/v1/models"), Cancellation)).ShouldBe("""{"object":"list","data":[]}""");
        gateway.Asked.ShouldBe(["/v1/models"]);
    }

    [Fact]
    public async Task A_stream_that_is_cut_off_never_ends_as_if_it_were_whole()
    {
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync("one");
        });
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var request = new HttpRequestMessage(HttpMethod.Post, "https://api.example/v1/chat/completions") { Content = Json(Request) };
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
        await Should.ThrowAsync<StreamTruncatedException>(() => response.Content.ReadAsStringAsync(Cancellation));
    }

    [Fact]
    public void Envelope_v1_and_a_client_of_its_own_are_not_for_a_handler()
    {
        var options = new ConfidentialChatOptions { BearerKey = "k", ServerUrl = new Uri("https://x.example") };
        Should.Throw<ConfigurationException>(() => new ConfidentialHttpHandler(options with { Envelope = EnvelopeVersion.V1 }));
        using var http = new HttpClient();
        Should.Throw<ConfigurationException>(() => new ConfidentialHttpHandler(options with { HttpClient = http }));
    }

    private static StringContent Json(string text) => new(text, Encoding.UTF8, "application/json");
}
