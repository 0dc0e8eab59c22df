using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Node.Tests.Serving;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>spec/inference.md sections 2 and 3: which engines are asked, and which are not.</summary>
public sealed class EngineTests
{
    [Fact]
    public async Task An_engine_that_is_down_at_the_start_is_served_once_it_is_up()
    {
        await using var engine = await ScriptedEngine.StartAsync();
        var url = engine.Url;
        await engine.LeaveAsync();
        await using var backend = await UpstreamUnderTest.OpenAsync(null, url);
        backend.IsAlive.ShouldBeFalse();
        backend.Faults.Single().ShouldStartWith($"The engine at {url.Authority} was not reached");
        await Should.ThrowAsync<InferenceException>(() => UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat()));

        var changed = new TaskCompletionSource();
        backend.AliveChanged += changed.SetResult;
        await engine.ReturnAsync();
        await changed.Task.Soon();
        (backend.IsAlive, backend.Faults.Count).ShouldBe((true, 0));
        (await UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop");
    }

    [Theory]
    [InlineData(null, null, "wants a key (it answered 401)")]
    [InlineData(null, EngineKind.Vllm, "wants a key (it answered 401)")]
    [InlineData("another", null, "does not take the key that it was shown (it answered 401)")]
    public async Task An_engine_that_wants_a_key_says_so_and_nobody_is_told_to_give_up_isolation(string? key, EngineKind? kind, string fault)
    {
        await using var engine = await ScriptedEngine.StartAsync(new EngineScript { ApiKey = "the-engines-key" });
        var error = await Should.ThrowAsync<UpstreamException>(
            () => UpstreamUnderTest.OpenAsync(options => options with { ApiKey = key, Kind = kind }, engine.Url));
        error.Message.ShouldBe($"The engine at {engine.Url.Authority} {fault}.");
        error.Hint.ShouldContain("--upstream-key-env");
        (error.Message + error.Hint).ShouldNotContain("dangerous");
        (error.Message + error.Hint).ShouldNotContain("another");
        await using var backend = await UpstreamUnderTest.OpenAsync(options => options with { ApiKey = "the-engines-key" }, engine.Url);
        backend.IsAlive.ShouldBeTrue();
    }

    [Theory]
    [InlineData("vllm", false)]
    [InlineData("tei", true)] // has no list
    [InlineData("llamacpp", true)] // has one model, whatever it is called
    public async Task A_misspelled_model_is_named_beside_what_the_engine_has(string kind, bool isServed)
    {
        await using var engine = await ScriptedEngine.StartAsync(new EngineScript { Engine = kind, Model = "scripted\u001b[31m" });
        var opening = UpstreamUnderTest.OpenAsync(options => options with { EngineModel = "scirpted" }, engine.Url);
        if (isServed)
        {
            await using var backend = await opening;
            backend.IsAlive.ShouldBeTrue();
            return;
        }

        var error = await Should.ThrowAsync<UpstreamException>(opening);
        error.Message.ShouldBe($"The engine at {engine.Url.Authority} has no model \"scirpted\"; it has \"scripted\uFFFD[31m\".");
        error.Hint.ShouldContain("--upstream-model");
    }

    [Fact]
    public async Task An_engine_that_comes_up_with_another_model_is_down()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        upstream.Engine.Script = new EngineScript { Model = "other" };
        await Waiting.UntilAsync(() => !upstream.Backend.IsAlive);
        upstream.Backend.Faults.Single().ShouldEndWith("has no model \"scripted\"; it has \"other\".");
        upstream.Engine.Script = new EngineScript();
        await Waiting.UntilAsync(() => upstream.Backend.IsAlive);
    }

    [Fact]
    public async Task An_engine_that_goes_and_comes_back_is_noticed_by_asking_it_and_by_looking()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(null, options => options with { HealthInterval = TimeSpan.FromMinutes(1) });
        await upstream.Engine.LeaveAsync();
        var error = await Should.ThrowAsync<InferenceException>(() => upstream.AskAsync(UpstreamUnderTest.Chat()));
        error.Failure.ShouldBe(InferenceFailure.Failed);
        upstream.Backend.IsAlive.ShouldBeFalse(); // no look was due
        await upstream.Engine.ReturnAsync();
        await Waiting.UntilAsync(() => upstream.Backend.IsAlive); // one that is down is looked at each second
    }

    [Fact]
    public async Task Of_two_engines_the_one_that_is_not_reached_gives_way_once_and_nothing_is_lost()
    {
        await using var first = await ScriptedEngine.StartAsync();
        await using var second = await ScriptedEngine.StartAsync();
        await using var backend = await UpstreamUnderTest.OpenAsync(
            options => options with { HealthInterval = TimeSpan.FromMinutes(1) }, first.Url, second.Url);
        await first.LeaveAsync();
        for (var i = 0; i < 6; i++)
            (await UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop");
        second.Counters.Requests.ShouldBe(6);
        backend.IsAlive.ShouldBeTrue();
        backend.Faults.Count.ShouldBe(1);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, true)]
    public async Task An_engine_without_a_connection_gives_way_whether_it_hangs_or_refuses_and_also_while_the_prompt_is_counted(bool hangs, bool isCounted)
    {
        await using var first = await ScriptedEngine.StartAsync();
        await using var second = await ScriptedEngine.StartAsync();
        await using var backend = await UpstreamUnderTest.OpenAsync(Impatient, first.Url, second.Url);
        await first.LeaveAsync();
        using var hole = hangs ? await BlackHole.OpenAsync(first.Url) : null;
        for (var i = 0; i < 2; i++) // one of the two goes to the first
            (await UpstreamUnderTest.AskAsync(backend, Body(isCounted), units: Units(isCounted))).FinishReason.ShouldBe(isCounted ? "length" : "stop");
        (second.Counters.Requests, second.Counters.Tokenized).ShouldBe((2L, isCounted ? 2L : 0L));
        (backend.IsAlive, backend.Faults.Count).ShouldBe((true, 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_only_engine_without_a_connection_has_failed_and_is_down(bool isCounted)
    {
        await using var engine = await ScriptedEngine.StartAsync();
        await using var backend = await UpstreamUnderTest.OpenAsync(Impatient, engine.Url);
        await engine.LeaveAsync();
        using (await BlackHole.OpenAsync(engine.Url))
        {
            var failure = await Should.ThrowAsync<InferenceException>(() => UpstreamUnderTest.AskAsync(backend, Body(isCounted), units: Units(isCounted)));
            failure.Failure.ShouldBe(InferenceFailure.Failed);
            backend.IsAlive.ShouldBeFalse();
        }

        await engine.ReturnAsync();
        await Waiting.UntilAsync(() => backend.IsAlive);
    }

    [Fact]
    public async Task An_engine_whose_health_hangs_is_down_after_as_long_as_a_look_waits()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var engine = await ScriptedEngine.StartAsync(new EngineScript { HealthGate = "start" });
        var opening = UpstreamUnderTest.OpenAsync(options => options with { Time = time }, engine.Url);
        await engine.ReachedAsync("start").Soon();
        time.Advance(TimeSpan.FromSeconds(4));
        opening.IsCompleted.ShouldBeFalse();
        time.Advance(TimeSpan.FromSeconds(1));
        await using var backend = await opening.Soon();
        backend.Faults.ShouldBe([$"The engine at {engine.Url.Authority} did not answer in time."]);

        engine.Script = new EngineScript();
        await UntilLaterAsync(() => backend.IsAlive);
        engine.Script = new EngineScript { HealthGate = "later" };
        await UntilLaterAsync(() => engine.ReachedAsync("later").IsCompleted);
        time.Advance(TimeSpan.FromSeconds(5));
        await Waiting.UntilAsync(() => !backend.IsAlive);

        Task UntilLaterAsync(Func<bool> condition) => Waiting.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromMilliseconds(50));
            return condition();
        });
    }

    [Fact]
    public async Task An_engine_that_may_have_computed_is_not_asked_again_elsewhere()
    {
        await using var first = await ScriptedEngine.StartAsync(EngineScript.Always(EngineStep.Of("reset")));
        await using var second = await ScriptedEngine.StartAsync(EngineScript.Always(EngineStep.Of("reset")));
        await using var backend = await UpstreamUnderTest.OpenAsync(null, first.Url, second.Url);
        await Should.ThrowAsync<InferenceException>(() => UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat()));
        (first.Counters.Requests + second.Counters.Requests).ShouldBe(1);
    }

    [Fact]
    public async Task The_least_busy_engine_is_asked()
    {
        var waits = EngineScript.Always(EngineStep.Wait(), EngineStep.Of("serve"));
        await using var first = await ScriptedEngine.StartAsync(waits);
        await using var second = await ScriptedEngine.StartAsync(waits);
        await second.LeaveAsync();
        await using var backend = await UpstreamUnderTest.OpenAsync(null, first.Url, second.Url);
        var four = new List<Task<Llama.Reply>>();
        await AskTwiceAsync();
        first.Counters.InFlight.ShouldBe(2);

        // Both have room for many: only what they are busy with tells them apart.
        await second.ReturnAsync();
        await Waiting.UntilAsync(() => backend.Faults.Count == 0);
        await AskTwiceAsync();
        (first.Counters.InFlight, second.Counters.InFlight).ShouldBe((2L, 2L));
        first.Open();
        second.Open();
        foreach (var reply in await Task.WhenAll(four))
            reply.FinishReason.ShouldBe("stop");

        async Task AskTwiceAsync()
        {
            for (var i = 0; i < 2; i++)
            {
                four.Add(UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat()));
                await Waiting.UntilAsync(() => first.Counters.InFlight + second.Counters.InFlight == four.Count);
            }
        }
    }

    [Fact]
    public async Task Beyond_the_places_of_all_engines_the_caller_is_told_to_come_back()
    {
        var waits = EngineScript.Always(EngineStep.Wait(), EngineStep.Of("serve"));
        await using var first = await ScriptedEngine.StartAsync(waits);
        await using var second = await ScriptedEngine.StartAsync(waits);
        await using var backend = await UpstreamUnderTest.OpenAsync(options => options with { MaxConcurrent = 3 }, first.Url, second.Url);
        var six = new List<Task<Llama.Reply>>();
        for (var i = 0; i < 6; i++)
        {
            six.Add(UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat()));
            await Waiting.UntilAsync(() => first.Counters.InFlight + second.Counters.InFlight == six.Count);
        }

        (first.Counters.InFlight, second.Counters.InFlight).ShouldBe((3L, 3L));
        (await UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat())).Refusal!.Reason.ShouldBe(InferenceRefusal.Busy);
        first.Open();
        second.Open();
        foreach (var reply in await Task.WhenAll(six))
            reply.FinishReason.ShouldBe("stop");
        (await UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop");
    }

    [Fact]
    public async Task Connections_are_used_again_also_after_streams()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(null, options => options with { HealthInterval = TimeSpan.FromMinutes(1) });
        for (var i = 0; i < 20; i++)
            await upstream.AskAsync(UpstreamUnderTest.Chat(stream: i % 2 == 0), stream: i % 2 == 0);
        upstream.Engine.Counters.Connections.ShouldBeLessThanOrEqualTo(2);
    }

    [Fact]
    public async Task An_engine_without_a_health_path_is_looked_at_by_its_models_and_an_unhealthy_one_is_not_asked()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { HealthStatus = 404 });
        upstream.Backend.IsAlive.ShouldBeTrue();
        upstream.Engine.Script = new EngineScript { HealthStatus = 503 };
        await Waiting.UntilAsync(() => !upstream.Backend.IsAlive);
        upstream.Backend.Faults.Single().ShouldEndWith("answered 503 to /health.");
        upstream.Engine.Script = new EngineScript();
        await Waiting.UntilAsync(() => upstream.Backend.IsAlive);
    }

    [Theory]
    [InlineData("library", "Ollama")]
    [InlineData("openai", "Unknown")]
    [InlineData("", "Unknown")]
    [InlineData("sglang", "radix cache on")]
    public async Task An_engine_whose_prefix_cache_is_everybodys_is_not_served_unless_that_is_said(string engine, string named)
    {
        var script = new EngineScript { Engine = engine };
        (await Should.ThrowAsync<UpstreamException>(() => UpstreamUnderTest.StartAsync(script))).Message.ShouldContain(named);
        await using var upstream = await UpstreamUnderTest.StartAsync(script, options => options with { DangerousSharedPrefixCache = true });
        (await upstream.AskAsync(UpstreamUnderTest.Chat(members: ",\"cache_salt\":\"x\""))).FinishReason.ShouldBe("stop");
        upstream.LastBody.TryGetProperty("cache_salt", out _).ShouldBeFalse();
    }

    [Fact]
    public async Task An_engine_that_turns_out_unfit_later_is_left_alone()
    {
        await using var engine = await ScriptedEngine.StartAsync();
        var url = engine.Url;
        await engine.LeaveAsync();
        await using var backend = await UpstreamUnderTest.OpenAsync(null, url);
        engine.Script = new EngineScript { Engine = "library" };
        await engine.ReturnAsync();
        await Waiting.UntilAsync(() => backend.Faults is [var fault] && fault.Contains("Ollama", StringComparison.Ordinal));
        await Should.ThrowAsync<InferenceException>(() => UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat()));
        engine.Counters.Requests.ShouldBe(0);
    }

    [Theory]
    [InlineData("library", true)]
    [InlineData("sglang", false)]
    public async Task An_engine_that_is_restarted_as_another_is_known_by_the_next_look(string engine, bool isRadixOff)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Engine = "sglang", DisableRadixCache = true });
        upstream.Backend.IsAlive.ShouldBeTrue();
        upstream.Engine.Script = new EngineScript { Engine = engine, DisableRadixCache = isRadixOff };
        await Waiting.UntilAsync(() => !upstream.Backend.IsAlive);
        upstream.Engine.Script = new EngineScript { Engine = "llamacpp" };
        await Waiting.UntilAsync(() => upstream.Backend.IsAlive);
        (await upstream.AskAsync("""{"model":"test-model","input":"a"}""", endpoint: InferenceEndpoint.Embeddings)).Refusal.ShouldBeNull();
        upstream.LastBody.GetProperty("cache_prompt").GetBoolean().ShouldBeFalse();
    }

    [Theory]
    [InlineData("sglang")]
    [InlineData("tei")]
    [InlineData("llamacpp")]
    public async Task Engines_that_keep_callers_apart_are_known_by_themselves(string engine)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Engine = engine, DisableRadixCache = true });
        (await upstream.AskAsync(UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop");
        upstream.LastBody.TryGetProperty("cache_salt", out _).ShouldBe(engine == "sglang");
        upstream.LastBody.TryGetProperty("cache_prompt", out _).ShouldBe(engine == "llamacpp");
    }

    [Fact]
    public async Task The_engines_key_is_sent_and_shown_nowhere()
    {
        const string Key = "sk-engine-key";
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { ApiKey = Key }, options => options with { ApiKey = Key });
        (await upstream.AskAsync(UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop");
        upstream.Engine.Requests[^1].Authorization.ShouldBe($"Bearer {Key}");
        new UpstreamOptions { Model = "m", Urls = [], ApiKey = Key }.ToString().ShouldNotContain(Key);
        upstream.Engine.Script = new EngineScript { ApiKey = "another" };
        (await Should.ThrowAsync<InferenceException>(() => upstream.AskAsync(UpstreamUnderTest.Chat()))).ToString().ShouldNotContain(Key);
    }

    [Theory]
    [InlineData("http://engine.example:8000")]
    [InlineData("http://10.0.0.1:8000")]
    [InlineData("http://loopback:8000")]
    [InlineData("https://engine.example")]
    [InlineData("http://localhost.example:8000")]
    [InlineData("ftp://127.0.0.1")]
    [InlineData("http://user:word@127.0.0.1")]
    [InlineData("http://127.0.0.1/?a=b")]
    public async Task A_url_that_shows_prompts_or_secrets_is_refused(string url)
    {
        var error = await Should.ThrowAsync<UpstreamException>(() => UpstreamUnderTest.OpenAsync(null, new Uri(url)));
        error.Message.ShouldNotContain("word");
        if (url.StartsWith("http://10", StringComparison.Ordinal))
            error.Hint.ShouldContain("--dangerous-remote-engine");
    }

    [Theory]
    [InlineData("http://localhost:1")]
    [InlineData("http://LOCALHOST:1")]
    [InlineData("http://127.1.2.3:1")]
    [InlineData("http://[::1]:1")]
    public async Task An_engine_on_this_machine_may_speak_plain_http(string url)
    {
        await using var backend = await UpstreamUnderTest.OpenAsync(null, new Uri(url));
        backend.Faults.Count.ShouldBe(1); // nobody listens; the URL is taken
    }

    [Fact]
    public async Task A_base_url_may_be_written_as_clients_want_it()
    {
        await using var engine = await ScriptedEngine.StartAsync();
        foreach (var path in (string[])["", "/", "/v1", "/v1/"])
        {
            await using var backend = await UpstreamUnderTest.OpenAsync(null, new Uri(engine.Url, path));
            (await UpstreamUnderTest.AskAsync(backend, UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop");
        }
    }

    [Fact]
    public async Task Engines_stand_side_by_side_by_the_names_of_their_models()
    {
        await using var one = await UpstreamUnderTest.StartAsync(null, options => options with { Model = "one" });
        await using var two = await UpstreamUnderTest.StartAsync(null, options => options with { Model = "two" });
        await using var set = new EngineSet([one.Backend, two.Backend]);
        set.Models.ShouldBe(["one", "two"]);
        var request = UpstreamUnderTest.Request("""{"model":"two","messages":[]}""") with { Model = "two" };
        await using (var answer = (await set.StartAsync(request, CancellationToken.None)).ShouldBeOfType<InferenceStart.Started>().Answer)
            two.Engine.Counters.Requests.ShouldBe(1);
        one.Engine.Counters.Requests.ShouldBe(0);

        var changed = new TaskCompletionSource();
        set.AliveChanged += changed.SetResult;
        await two.Engine.LeaveAsync();
        await changed.Task.Soon();
        (set.IsAlive, set.AliveModels.Single()).ShouldBe((true, "one"));
        Should.Throw<ArgumentException>(() => new EngineSet([one.Backend, one.Backend]));
    }

    private static UpstreamOptions Impatient(UpstreamOptions options) =>
        options with { ConnectTimeout = TimeSpan.FromMilliseconds(300), HealthInterval = TimeSpan.FromMinutes(1) };

    private static string Body(bool isCounted) => UpstreamUnderTest.Chat(members: isCounted ? ",\"max_tokens\":2" : "");

    // Three words and a token: by the bytes of the messages it does not fit.
    private static long Units(bool isCounted) => isCounted ? Body(true).Length - """[{"role":"user","content":"one two three"}]""".Length + 4 : 8192;
}
