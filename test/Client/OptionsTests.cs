using System.Net;

namespace ConfidentialChat.Client.Tests;

/// <summary>Where the key and the gateway come from, and what is refused.</summary>
public sealed class OptionsTests
{
    private static readonly Uri Gateway = new("https://gateway.example/");

    [Fact]
    public void Without_a_key_the_user_is_told_where_to_put_one()
    {
        using var environment = new Variables(key: null, url: null);
        Fault(new ConfidentialChatOptions { ServerUrl = Gateway }).ShouldContain($"hint: set BearerKey, or {ConfidentialChatOptions.BearerKeyVariable}");
        Fault(new ConfidentialChatOptions { ServerUrl = Gateway, BearerKey = " " }).ShouldContain("hint:");
    }

    [Fact]
    public void Without_a_gateway_the_user_is_told_where_to_put_one()
    {
        using var environment = new Variables(key: null, url: null);
        Fault(new ConfidentialChatOptions { BearerKey = "k" }).ShouldContain($"hint: set ServerUrl, or {ConfidentialChatOptions.ServerUrlVariable}");
    }

    [Fact]
    public void Key_and_gateway_come_from_the_environment_where_the_options_name_none()
    {
        using var environment = new Variables(key: "k", url: "https://other.example/v1");
        using var client = new ConfidentialChatClient();
        client.ToString().ShouldBe("ConfidentialChatClient { https://other.example/ }");
        using var chosen = new ConfidentialChatClient(new ConfidentialChatOptions { ServerUrl = Gateway });
        chosen.ToString().ShouldBe("ConfidentialChatClient { https://gateway.example/ }");
    }

    [Theory]
    [InlineData("k\n", true)]
    [InlineData("k\r\n", true)]
    [InlineData("k\n\n", false)]
    [InlineData("k ", false)]
    public void A_key_in_the_environment_may_end_as_the_file_ended_that_it_came_from_and_in_no_other_way(string key, bool isTaken)
    {
        using var environment = new Variables(key, url: "https://other.example/v1");
        if (!isTaken)
        {
            Should.Throw<ConfigurationException>(() => new ConfidentialChatClient()).ToString().ShouldContain("holds a sign that no key has");
            return;
        }

        using var client = new ConfidentialChatClient();
        client.ToString().ShouldBe("ConfidentialChatClient { https://other.example/ }");
    }

    [Theory]
    [InlineData("k\r\nX-Header: 1")]
    [InlineData("k\n")]
    [InlineData("ké")]
    [InlineData("two words")]
    public void A_key_that_would_split_the_header_is_refused_and_not_shown(string key) =>
        Fault(new ConfidentialChatOptions { ServerUrl = Gateway, BearerKey = key }).ShouldNotContain(key);

    [Theory]
    [InlineData("https://gateway.example")]
    [InlineData("https://gateway.example/")]
    [InlineData("https://gateway.example/v1")]
    [InlineData("https://gateway.example/v1/")]
    public void A_slash_or_v1_at_the_end_changes_nothing(string url)
    {
        using var client = new ConfidentialChatClient(new ConfidentialChatOptions { BearerKey = "k", ServerUrl = new Uri(url) });
        client.ToString().ShouldBe("ConfidentialChatClient { https://gateway.example/ }");
    }

    [Fact]
    public void A_gateway_below_a_path_keeps_it()
    {
        using var client = new ConfidentialChatClient(new ConfidentialChatOptions { BearerKey = "k", ServerUrl = new Uri("https://x.example/chat/v1/") });
        client.ToString().ShouldBe("ConfidentialChatClient { https://x.example/chat/ }");
    }

    [Theory]
    [InlineData("http://gateway.example/")]
    [InlineData("http://10.0.0.1/")]
    [InlineData("http://127.0.0.1.example/")]
    [InlineData("ftp://gateway.example/")]
    [InlineData("https://user:secret@gateway.example/")]
    [InlineData("https://gateway.example/?a=b")]
    [InlineData("https://gateway.example/#a")]
    [InlineData("gateway.example")]
    public void An_address_that_is_unsafe_or_no_gateways_is_refused(string url) =>
        Fault(new ConfidentialChatOptions { BearerKey = "k", ServerUrl = new Uri(url, UriKind.RelativeOrAbsolute) }).ShouldNotContain("secret");

    [Theory]
    [InlineData("http://127.0.0.1:5000/")]
    [InlineData("http://localhost:5000/")]
    [InlineData("http://[::1]:5000/")]
    public void Plain_HTTP_is_for_loopback(string url)
    {
        using var client = new ConfidentialChatClient(new ConfidentialChatOptions { BearerKey = "k", ServerUrl = new Uri(url) });
        client.ToString().ShouldContain(url);
    }

    [Fact]
    public void Plain_HTTP_to_others_needs_the_dangerous_word()
    {
        using var client = new ConfidentialChatClient(
            new ConfidentialChatOptions { BearerKey = "k", ServerUrl = new Uri("http://gateway.example/"), DangerousPlainHttp = true });
        client.ToString().ShouldContain("http://gateway.example/");
    }

    [Fact]
    public void No_text_of_options_or_client_shows_the_key()
    {
        var options = new ConfidentialChatOptions { BearerKey = TestGateway.Key, ServerUrl = Gateway };
        options.ToString().ShouldBe("ConfidentialChatOptions { ServerUrl = https://gateway.example/ }");
        using var client = new ConfidentialChatClient(options);
        client.ToString().ShouldNotContain(TestGateway.Key);
    }

    [Fact]
    public async Task A_given_HttpClient_is_used_and_outlives_the_client()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var http = new HttpClient();
        for (var i = 0; i < 2; i++)
        {
            using var client = gateway.Client(options => options with { HttpClient = http });
            await client.ConfidentialChat.CreateAsync(Chats.Request);
        }

        http.DefaultRequestHeaders.Authorization.ShouldBeNull();
        (await http.GetAsync(gateway.Url)).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
    }

    [Fact]
    public async Task The_timeout_of_a_given_HttpClient_is_told_as_a_timeout()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.HangAsync());
        using var http = new HttpClient { Timeout = TimeSpan.FromMilliseconds(300) };
        using var client = gateway.Client(options => options with { HttpClient = http });
        await Should.ThrowAsync<CallTimeoutException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
    }

    [Fact]
    public async Task A_client_that_was_disposed_of_sends_nothing()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var http = new HttpClient();
        foreach (var options in new[] { gateway.Options, gateway.Options with { HttpClient = http } })
        {
            var client = new ConfidentialChatClient(options);
            client.Dispose();
            await Should.ThrowAsync<ObjectDisposedException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        }

        gateway.Paths.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_client_that_is_disposed_of_while_it_waits_says_so()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var gateway = await TestGateway.StartAsync(call =>
        {
            asked.SetResult();
            return call.HangAsync();
        });
        using var client = gateway.Client();
        var running = client.ConfidentialChat.CreateAsync(Chats.Request);
        await asked.Task;
        client.Dispose();
        await Should.ThrowAsync<ObjectDisposedException>(() => running);
    }

    [Fact]
    public async Task The_policy_comes_from_the_file_that_the_environment_names_where_the_options_have_none()
    {
        await using var gateway = await RelayGateway.StartAsync();
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, TestNode.Simulated.ToToml(), TestContext.Current.CancellationToken);
        using (new Variable(ConfidentialChatOptions.PolicyVariable, file))
        using (var client = gateway.Client(options => options with { Policy = null }))
            await client.ConfidentialChat.CreateAsync(Chats.Request);
        File.Delete(file);
        using var other = gateway.Client(options => options with { Policy = null }); // nothing named: the default, which accepts no such node
        await Should.ThrowAsync<AttestationException>(() => other.ConfidentialChat.CreateAsync(Chats.Request));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("version = 2")]
    [InlineData("version = 1\nunknown = true")]
    [InlineData("version = 1\nversion = 1")]
    [InlineData("\uD800")]
    public void A_policy_that_cannot_be_read_is_refused_and_its_file_named(string? text)
    {
        var file = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString());
        if (text is not null)
            File.WriteAllBytes(file, text[0] == '\uD800' ? [0xFF, 0xFE] : System.Text.Encoding.UTF8.GetBytes(text));
        using (new Variable(ConfidentialChatOptions.PolicyVariable, file))
        {
            var fault = Fault(new ConfidentialChatOptions { ServerUrl = Gateway, BearerKey = "k" });
            fault.ShouldContain("hint: ");
            fault.ShouldContain(file);
        }

        File.Delete(file);
    }

    [Fact]
    public void A_policy_in_the_options_leaves_the_file_unread()
    {
        using var environment = new Variable(ConfidentialChatOptions.PolicyVariable, "/nowhere");
        using var client = new ConfidentialChatClient(new ConfidentialChatOptions { ServerUrl = Gateway, BearerKey = "k", Policy = TestNode.Simulated });
        client.ToString().ShouldContain("gateway.example");
    }

    [Fact]
    public void An_envelope_that_there_is_not_is_refused() =>
        Fault(new ConfidentialChatOptions { ServerUrl = Gateway, BearerKey = "k", Envelope = (EnvelopeVersion)3 }).ShouldContain("Envelope");

    private static string Fault(ConfidentialChatOptions options) =>
        Should.Throw<ConfigurationException>(() => new ConfidentialChatClient(options)).ToString();

    // The environment is the process's: the tests of this class run one after the other, and no other reads these variables.
    private sealed class Variables : IDisposable
    {
        public Variables(string? key, string? url) => Set(key, url);

        public void Dispose() => Set(null, null);

        private static void Set(string? key, string? url)
        {
            Environment.SetEnvironmentVariable(ConfidentialChatOptions.BearerKeyVariable, key);
            Environment.SetEnvironmentVariable(ConfidentialChatOptions.ServerUrlVariable, url);
        }
    }

    private sealed class Variable : IDisposable
    {
        private readonly string name;

        public Variable(string name, string value)
        {
            this.name = name;
            Environment.SetEnvironmentVariable(name, value);
        }

        public void Dispose() => Environment.SetEnvironmentVariable(name, null);
    }
}
