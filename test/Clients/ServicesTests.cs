using System.Collections;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Client;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Extensions.AI;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace ConfidentialChat.Clients.Tests;

/// <summary>Programs with a host: registration, settings, health, telemetry.</summary>
public sealed class ServicesTests(ScriptedStack scripted) : IClassFixture<ScriptedStack>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_section_of_the_configuration_is_enough()
    {
        using var host = Build(Settings(), (services, section) => services.AddConfidentialChat(section));
        await host.StartAsync(Cancellation);
        var answer = await host.Services.GetRequiredService<IChatClient>().GetResponseAsync("a b", cancellationToken: Cancellation);
        answer.Usage!.InputTokenCount.ShouldBe(2);
        var vectors = await Generator(host).GenerateAsync(["a"], cancellationToken: Cancellation);
        vectors.Single().Dimensions.ShouldBe(8);
        host.Services.GetRequiredService<IChatClient>().GetService<ConfidentialChatClient>()
            .ShouldBeSameAs(host.Services.GetRequiredService<ConfidentialChatClient>());
    }

    [Fact]
    public async Task Two_stand_beside_each_other_under_their_names()
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddKeyedConfidentialChat("one", Fill).UseFunctionInvocation();
        builder.Services.AddKeyedConfidentialChat("two", settings =>
        {
            Fill(settings);
            settings.Model = "typo";
        });
        using var host = builder.Build();
        await host.StartAsync(Cancellation);
        (await host.Services.GetRequiredKeyedService<IChatClient>("one").GetResponseAsync("a", cancellationToken: Cancellation)).Text.ShouldNotBeEmpty();
        await Should.ThrowAsync<GatewayApiException>(
            () => host.Services.GetRequiredKeyedService<IChatClient>("two").GetResponseAsync("a", cancellationToken: Cancellation));
        host.Services.GetRequiredKeyedService<ConfidentialChatClient>("one")
            .ShouldNotBeSameAs(host.Services.GetRequiredKeyedService<ConfidentialChatClient>("two"));
        host.Services.GetService<IChatClient>().ShouldBeNull();
    }

    [Theory]
    [InlineData("BearerKey", null, "There is no API key")]
    [InlineData("BearerKey", "with blank", "API key")]
    [InlineData("ServerUrl", null, "There is no gateway")]
    [InlineData("ServerUrl", "http://gateway.example", "plain HTTP")]
    [InlineData("PolicyFile", "/nowhere/policy.toml", "PolicyFile names /nowhere/policy.toml")]
    public async Task What_is_missing_or_wrong_stops_the_start_with_a_hint(string name, string? value, string expected)
    {
        var settings = Settings();
        settings[name] = value;
        using var host = Build(settings, (services, section) => services.AddConfidentialChat(section));
        var failure = await Should.ThrowAsync<OptionsValidationException>(() => host.StartAsync(Cancellation));
        failure.Message.ShouldContain(expected);
        failure.Message.ShouldContain("hint: ");
        failure.ToString().ShouldNotContain("with blank");
    }

    [Theory]
    [InlineData("ApiKey", "x")]
    [InlineData("Timeout", "soon")]
    public async Task A_member_that_is_mistyped_stops_the_start(string name, string value)
    {
        var settings = Settings();
        settings[name] = value;
        using var host = Build(settings, (services, section) => services.AddConfidentialChat(section));
        (await Should.ThrowAsync<InvalidOperationException>(() => host.StartAsync(Cancellation))).Message.ShouldContain(name);
    }

    [Fact]
    public async Task Code_has_the_last_word()
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddConfidentialChat(Fill, (_, options) => options with { PolicyFile = null, Policy = Policy.Default });
        using var host = builder.Build();
        await host.StartAsync(Cancellation);
        var failure = await Should.ThrowAsync<AttestationException>(
            () => host.Services.GetRequiredService<IChatClient>().GetResponseAsync("a", cancellationToken: Cancellation));
        failure.Message.ShouldContain("bundle.tee"); // the check that fails
        failure.Message.ShouldContain("allow_simulated"); // what to do about it
    }

    [Fact]
    public async Task Health_says_whether_a_node_would_be_sealed_to_and_what_keeps_one_from_it()
    {
        (await HealthAsync(Fill)).ShouldSatisfyAllConditions(
            good => good.Status.ShouldBe(HealthStatus.Healthy), good => good.Data["confidentialchat.node.tee"].ShouldBe("simulated"));
        (await HealthAsync(settings =>
        {
            Fill(settings);
            settings.Model = settings.EmbeddingModel = null;
        })).Description.ShouldBe("The gateway answers.");
        (await HealthAsync(Fill, options => options with { PolicyFile = null, Policy = Policy.Default })).ShouldSatisfyAllConditions(
            bad => bad.Status.ShouldBe(HealthStatus.Unhealthy), bad => bad.Description!.ShouldContain("bundle.tee"));
        (await HealthAsync(Fill, options => options with { ServerUrl = new Uri("http://127.0.0.1:9"), Retries = RetryConfig.None })).Description!
            .ShouldContain("http://127.0.0.1:9");
    }

    [Fact]
    public async Task Spans_and_metrics_follow_the_conventions_and_hold_no_content()
    {
        // The variable by which others turn content on.
        Environment.SetEnvironmentVariable("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true");
        var spans = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == ConfidentialChatServices.TelemetrySource,
            Sample = (ref _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = spans.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        var instruments = new ConcurrentDictionary<string, string>();
        var units = new ConcurrentDictionary<string, string?>();
        using var meters = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name != ConfidentialChatServices.TelemetrySource)
                    return;
                units[instrument.Name] = instrument.Unit;
                self.EnableMeasurementEvents(instrument);
            },
        };
        meters.SetMeasurementEventCallback<double>((instrument, _, tags, _) => instruments[instrument.Name] = Text(tags));
        meters.SetMeasurementEventCallback<int>((instrument, _, tags, _) => instruments[instrument.Name] = Text(tags));
        meters.SetMeasurementEventCallback<long>((instrument, _, tags, _) => instruments[instrument.Name] = Text(tags));
        meters.Start();

        using var host = Build(Settings(), (services, section) => services.AddConfidentialChat(section));
        var chat = host.Services.GetRequiredService<IChatClient>();
        const string canary = ScriptedStack.PromptCanary;
        var options = new ChatOptions
        {
            Instructions = canary,
            StopSequences = [canary],
            Tools = [AIFunctionFactory.Create((string city) => city, canary, canary)],
            AdditionalProperties = new() { ["note"] = canary },
        };
        await chat.GetResponseAsync(canary, options, Cancellation);
        await foreach (var _ in chat.GetStreamingResponseAsync(canary, options, Cancellation))
        {
        }

        var image = new ChatMessage(ChatRole.User, [new UriContent($"https://{canary}.example/", "image/png")]);
        await Should.ThrowAsync<NotSupportedException>(() => chat.GetResponseAsync([image], cancellationToken: Cancellation));
        await Generator(host).GenerateAsync([canary], cancellationToken: Cancellation);

        spans.Select(span => span.DisplayName).ShouldBe(["chat scripted", "chat scripted", "chat scripted", "embeddings scripted"]);
        foreach (var span in spans)
        {
            var said = string.Join('\n', span.TagObjects.Select(tag => $"{tag.Key}={Shown(tag.Value)}")
                .Concat(span.Events.SelectMany(happened => happened.Tags).Select(tag => $"{tag.Key}={Shown(tag.Value)}"))
                .Append(span.StatusDescription));
            said.ShouldNotContain(canary);
            said.ShouldNotContain("......0"); // of the answer
            said.ShouldContain("gen_ai.request.model=scripted");
            said.ShouldContain("gen_ai.provider.name=confidentialchat");
            said.ShouldContain($"server.address={scripted.Stack.Gateway.Host}");
            said.ShouldContain($"server.port={scripted.Stack.Gateway.Port}");
            span.Kind.ShouldBe(ActivityKind.Client);
            if (span.Status is ActivityStatusCode.Error)
                said.ShouldContain("error.type=System.NotSupportedException");
            else
                said.ShouldContain("confidentialchat.node.tee=simulated");
        }

        string[] chats =
        [
            "gen_ai.operation.name=chat", "gen_ai.response.id=scripted-1", "gen_ai.response.model=scripted", "gen_ai.response.finish_reasons=[\"stop\"]",
            "gen_ai.usage.input_tokens=2", "gen_ai.usage.output_tokens=8",
        ];
        foreach (var span in spans.Take(2))
            chats.ShouldBeSubsetOf(span.TagObjects.Select(tag => $"{tag.Key}={Shown(tag.Value)}"));
        spans.ElementAt(1).TagObjects.Select(tag => tag.Key).ShouldContain("gen_ai.response.time_to_first_chunk");
        spans.Last().GetTagItem("gen_ai.operation.name").ShouldBe("embeddings");
        units["gen_ai.client.operation.duration"].ShouldBe("s");
        units["gen_ai.client.token.usage"].ShouldBe("{token}");
        instruments.Keys.ShouldBeSubsetOf(units.Keys);
        ((string[])["gen_ai.client.operation.duration", "gen_ai.client.token.usage", "gen_ai.client.operation.time_to_first_chunk"])
            .ShouldBeSubsetOf(instruments.Keys);
        instruments.Values.ShouldAllBe(tags => !tags.Contains(canary));

        static string Text(ReadOnlySpan<KeyValuePair<string, object?>> tags) => string.Join(' ', tags.ToArray().Select(tag => Shown(tag.Value)));
        static string Shown(object? value) => value is IEnumerable list and not string ? string.Join(' ', list.Cast<object?>()) : $"{value}";
    }

    [Fact]
    public async Task Every_setting_of_a_section_is_taken_and_a_keyed_section_is_its_own()
    {
        var settings = Settings();
        foreach (var (name, value) in new Dictionary<string, string>
        {
            ["Timeout"] = "00:03:00",
            ["EventTimeout"] = "00:00:41",
            ["PacedStreams"] = "true",
            ["RequireReceipts"] = "true",
            ["DangerousPlainHttp"] = "true",
        })
            settings[name] = value;
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection(
            settings.Select(setting => new KeyValuePair<string, string?>($"Second:{setting.Key}", setting.Value)));
        ConfidentialChatOptions? made = null;
        builder.Services.AddConfidentialChat(Fill);
        builder.Services.AddKeyedConfidentialChat("second", builder.Configuration.GetSection("Second"), (_, options) => made = options);
        builder.Services.AddHealthChecks().AddConfidentialChat("second", isKeyed: true);
        using var host = builder.Build();
        await host.StartAsync(Cancellation);
        made.ShouldNotBeNull();
        (made.Timeout, made.EventTimeout).ShouldBe((TimeSpan.FromMinutes(3), TimeSpan.FromSeconds(41)));
        (made.PacedStreams, made.RequireReceipts, made.DangerousPlainHttp).ShouldBe((true, true, true));
        (made.ServerUrl, made.BearerKey, made.PolicyFile).ShouldBe((scripted.Stack.Gateway, scripted.Stack.ApiKey, scripted.Stack.PolicyFile));
        typeof(ConfidentialChatSettings).GetProperties().Select(member => member.Name).ShouldBe(settings.Keys, ignoreOrder: true); // none is left out

        var vectors = host.Services.GetRequiredKeyedService<IEmbeddingGenerator<string, Embedding<float>>>("second");
        (await vectors.GenerateAsync(["a"], cancellationToken: Cancellation)).Count.ShouldBe(1);
        var report = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(Cancellation);
        report.Entries["second"].Status.ShouldBe(HealthStatus.Healthy);
        host.Services.GetRequiredService<ConfidentialChatClient>()
            .ShouldNotBeSameAs(host.Services.GetRequiredKeyedService<ConfidentialChatClient>("second"));
    }

    [Fact]
    public void Settings_do_not_show_the_key()
    {
        var settings = new ConfidentialChatSettings();
        Fill(settings);
        settings.ToString().ShouldNotContain(scripted.Stack.ApiKey);
    }

    private static IEmbeddingGenerator<string, Embedding<float>> Generator(IHost host) =>
        host.Services.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>();

    private async Task<HealthReportEntry> HealthAsync(
        Action<ConfidentialChatSettings> configure, Func<ConfidentialChatOptions, ConfidentialChatOptions>? options = null)
    {
        var services = new ServiceCollection().AddLogging();
        services.AddConfidentialChat(configure, (_, made) => options?.Invoke(made) ?? made);
        services.AddHealthChecks().AddConfidentialChat();
        await using var provider = services.BuildServiceProvider();
        return (await provider.GetRequiredService<HealthCheckService>().CheckHealthAsync(Cancellation)).Entries.Single().Value;
    }

    private static IHost Build(Dictionary<string, string?> settings, Action<IServiceCollection, IConfiguration> add)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection(
            settings.Where(setting => setting.Value is not null)
                .Select(setting => new KeyValuePair<string, string?>($"ConfidentialChat:{setting.Key}", setting.Value)));
        add(builder.Services, builder.Configuration.GetSection(ConfidentialChatServices.SectionName));
        return builder.Build();
    }

    private Dictionary<string, string?> Settings() => new()
    {
        ["ServerUrl"] = scripted.Stack.Gateway.ToString(),
        ["BearerKey"] = scripted.Stack.ApiKey,
        ["PolicyFile"] = scripted.Stack.PolicyFile,
        ["Model"] = ScriptedStack.Model,
        ["EmbeddingModel"] = ScriptedStack.Model,
        ["Timeout"] = "00:01:00",
    };

    private void Fill(ConfidentialChatSettings settings)
    {
        settings.ServerUrl = scripted.Stack.Gateway;
        settings.BearerKey = scripted.Stack.ApiKey;
        settings.PolicyFile = scripted.Stack.PolicyFile;
        settings.Model = settings.EmbeddingModel = ScriptedStack.Model;
    }
}
