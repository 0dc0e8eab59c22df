using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;
using ConfidentialChat.Sidecar;
using ZstdSharp;
using static ConfidentialChat.EndToEnd.Tests.Sidecar.SidecarUnderTest;

namespace ConfidentialChat.EndToEnd.Tests.Sidecar;

/// <summary>spec/sidecar.md section 2: what coding agents send, over real sockets and envelope v2.</summary>
public sealed class SidecarAgentTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private const string Messages = "/v1/messages?beta=true", Responses = "/v1/responses", ChatPath = "/v1/chat/completions";

    // Of Claude Code 2.1.332, and three more.
    private const string Betas =
        "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,mid-conversation-tool-changes-2026-07-01,"
        + "thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,effort-2025-11-24,context-1m-2025-08-07,prompt-caching-scope-2026-01-05,fast-mode-2026-02-01";

    private Task<SidecarUnderTest> StartAsync(Func<SidecarOptions, SidecarOptions>? with = null) => SidecarUnderTest.StartAsync(stack.Stack.Options(), with);

    [Fact]
    public async Task A_conversation_of_messages_reaches_the_engine_byte_for_byte_with_its_betas()
    {
        await using var sidecar = await StartAsync();
        var conversation = """
            "system":[{"type":"text","text":"You are an agent.","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text","text":"CANARY"}]},{"role":"system","content":"Mind the folder."},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"curl https://x.example"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"ok"}],"cache_control":{"type":"ephemeral"}}]}],"tools":[{"name":"Bash","description":"d","input_schema":{"type":"object"},"defer_loading":true}],"metadata":{"user_id":"{\"device\":1}"},"thinking":{"type":"adaptive"},"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"output_config":{"effort":"high"}
            """.Trim().Replace("CANARY", ScriptedStack.PromptCanary, StringComparison.Ordinal);
        using var answer = await sidecar.PostAsync(
            Messages, $$"""{"model":"{{ScriptedStack.Model}}",{{conversation}},"max_tokens":16,"stream":true}""",
            ("anthropic-version", "2023-06-01"), ("anthropic-beta", Betas), ("x-stainless-lang", "js"), ("User-Agent", "claude-cli/2.1.332 (external, cli)"));
        var (text, isWhole) = await ReadAsync(answer);

        answer.StatusCode.ShouldBe(HttpStatusCode.OK, text);
        (isWhole, text.TrimEnd().EndsWith("{\"type\":\"message_stop\"}", StringComparison.Ordinal)).ShouldBe((true, true), text);
        var seen = stack.Engine.Requests[^1];
        seen.Body.ShouldContain(conversation);
        (Betas.Length > 256).ShouldBeTrue();
        seen.Headers["anthropic-beta"].ShouldBe(Betas);
        seen.Headers.ContainsKey("x-stainless-lang").ShouldBeFalse();
    }

    [Fact]
    public async Task A_conversation_of_responses_reaches_the_engine_with_its_tools()
    {
        await using var sidecar = await StartAsync();
        const string conversation = """
            "input":[{"type":"message","role":"developer","content":[{"type":"input_text","text":"Rules."}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"AAAA"},{"type":"function_call","call_id":"c","name":"exec_command","arguments":"{\"cmd\":\"ls\"}"},{"type":"function_call_output","call_id":"c","output":"a"}],"tools":[{"type":"function","name":"exec_command","strict":false,"parameters":{"type":"object"}},{"type":"custom","name":"apply_patch","description":"d"},{"type":"namespace","name":"multi_agent_v1","description":"d","tools":[{"type":"function","name":"spawn_agent","parameters":{}}]}],"tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"summary":"auto"},"include":["reasoning.encrypted_content"],"client_metadata":{"x-codex-window-id":"1"}
            """;
        using var answer = await sidecar.PostAsync(
            Responses, $$"""{"model":"{{ScriptedStack.Model}}",{{conversation.Trim()}},"store":false,"stream":true,"prompt_cache_key":"k"}""");
        var (text, isWhole) = await ReadAsync(answer);

        answer.StatusCode.ShouldBe(HttpStatusCode.OK, text);
        (isWhole, text.Contains("event: response.completed", StringComparison.Ordinal)).ShouldBe((true, true), text);
        var body = stack.Engine.Requests[^1].Body;
        body.ShouldContain(conversation.Trim());
        body.ShouldNotContain("prompt_cache_key");
    }

    [Fact]
    public async Task A_tool_that_runs_at_a_vendor_is_refused_in_the_words_of_the_API()
    {
        await using var sidecar = await StartAsync();
        using var responses = await sidecar.PostAsync(Responses, $$"""{"model":"{{ScriptedStack.Model}}","input":"Hi","tools":[{"type":"web_search"}]}""");
        var (status, code, message) = await ErrorAsync(responses);
        (status, code).ShouldBe((400, "INVALID_FIELD"));
        message.ShouldContain("tools");

        using var messages = await sidecar.PostAsync(
            Messages,
            $$"""{"model":"{{ScriptedStack.Model}}","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"web_search_20250305","name":"web_search"}]}""");
        var refusal = JsonNode.Parse(await messages.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!;
        ((string?)refusal["type"], (string?)refusal["error"]!["type"]).ShouldBe(("error", "invalid_request_error"));
        ((string?)refusal["error"]!["message"])!.ShouldContain("tools");
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("x-gzip")]
    [InlineData("deflate")]
    [InlineData("br")]
    [InlineData("zstd")]
    [InlineData("ZSTD")]
    public async Task A_compressed_request_is_unpacked_before_it_is_sealed(string coding)
    {
        await using var sidecar = await StartAsync();
        foreach (var isChunked in (bool[])[false, true])
        {
            var packed = Pack(coding, Encoding.UTF8.GetBytes(Chat(ScriptedStack.Model, $"packed by {coding}")));
            using var answer = await SendPackedAsync(sidecar, coding, packed, isChunked);
            var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
            answer.StatusCode.ShouldBe(HttpStatusCode.OK, text);
            stack.Engine.Requests[^1].Body.ShouldContain($"packed by {coding}");
        }
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("zstd")]
    public async Task What_unpacks_to_too_much_or_not_at_all_is_refused_and_the_sidecar_goes_on(string coding)
    {
        await using var sidecar = await StartAsync(options => options with { MaxBodyBytes = 1024 * 1024 });
        var asked = stack.Engine.Requests.Count;
        using var bomb = await SendPackedAsync(sidecar, coding, Pack(coding, new byte[64 * 1024 * 1024]));
        (await ErrorAsync(bomb)).Code.ShouldBe("BODY_TOO_LARGE");

        var good = Pack(coding, Encoding.UTF8.GetBytes(Chat(ScriptedStack.Model)));
        foreach (var broken in (byte[][])[good[..^24], [.. good[..8], .. new byte[8]], "{}"u8.ToArray(), [.. good.Reverse()]])
        {
            using var refused = await SendPackedAsync(sidecar, coding, broken);
            (await ErrorAsync(refused)).Code.ShouldBe("INVALID_REQUEST", $"{coding}: {Convert.ToHexString(broken)}");
        }

        stack.Engine.Requests.Count.ShouldBe(asked);
        using var next = await SendPackedAsync(sidecar, coding, good);
        next.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_window_of_zstd_beyond_eight_MiB_is_refused()
    {
        await using var sidecar = await StartAsync();
        using var compressor = new Compressor(3);
        compressor.SetParameter(ZstdSharp.Unsafe.ZSTD_cParameter.ZSTD_c_windowLog, 25);
        compressor.SetParameter(ZstdSharp.Unsafe.ZSTD_cParameter.ZSTD_c_contentSizeFlag, 0);
        using var packed = new MemoryStream();
        await using (var stream = new CompressionStream(packed, compressor, leaveOpen: true))
            await stream.WriteAsync(Encoding.UTF8.GetBytes(Chat(ScriptedStack.Model)), TestContext.Current.CancellationToken);
        using var answer = await SendPackedAsync(sidecar, "zstd", packed.ToArray());
        (await ErrorAsync(answer)).Code.ShouldBe("INVALID_REQUEST");
    }

    [Fact]
    public async Task Models_come_in_the_shape_of_who_asks()
    {
        await using var sidecar = await StartAsync();
        using var list = await sidecar.GetAsync("/v1/models?limit=1000", ("anthropic-version", "2023-06-01"));
        var anthropic = JsonNode.Parse(await list.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!;
        var model = anthropic["data"]!.AsArray().Single()!;
        ((string?)model["type"], (string?)model["id"], (string?)model["display_name"]).ShouldBe(("model", ScriptedStack.Model, ScriptedStack.Model));
        DateTimeOffset.Parse((string)model["created_at"]!, null).ShouldBeGreaterThan(DateTimeOffset.UnixEpoch);
        ((bool)anthropic["has_more"]!).ShouldBeFalse();
        ((string?)anthropic["first_id"], (string?)anthropic["last_id"]).ShouldBe((ScriptedStack.Model, ScriptedStack.Model));

        using var one = await sidecar.GetAsync($"/v1/models/{ScriptedStack.Model}", ("anthropic-version", "2023-06-01"));
        ((string?)JsonNode.Parse(await one.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!["type"]).ShouldBe("model");
        using var unknown = await sidecar.GetAsync("/v1/models/none", ("anthropic-version", "2023-06-01"));
        ((string?)JsonNode.Parse(await unknown.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!["type"]).ShouldBe("error");

        using var openai = await sidecar.GetAsync("/v1/models?client_version=0.171.0");
        ((string?)JsonNode.Parse(await openai.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!["object"]).ShouldBe("list");
    }

    [Fact]
    public async Task Tokens_are_counted_by_the_engine_or_estimated_here()
    {
        await using var sidecar = await StartAsync();
        var script = stack.Engine.Script;
        using var counted = await CountAsync(sidecar, "one two three");
        counted.Headers.Contains("confidential-count").ShouldBeFalse();
        (await TokensAsync(counted)).ShouldBe(3);
        try
        {
            // an engine without the endpoint, before the node has looked again: it says 404
            stack.Engine.Script = script with { Paths = [.. script.Paths.Where(path => path != "/v1/messages/count_tokens")] };
            var words = string.Join(' ', Enumerable.Repeat("word", 800)); // 4,000 bytes
            HttpResponseMessage estimated = null!;
            await Waiting.UntilAsync(async () =>
            {
                estimated = await CountAsync(sidecar, words);
                return estimated.Headers.Contains("confidential-count");
            });
            using (estimated)
            {
                estimated.StatusCode.ShouldBe(HttpStatusCode.OK);
                estimated.Headers.GetValues("confidential-count").ShouldBe(["estimated"]);
                (await TokensAsync(estimated)).ShouldBeInRange(1000, 1050);
            }

            using var image = await CountAsync(sidecar, "see", $$$""",{"type":"image","source":{"type":"base64","media_type":"image/png","data":"{{{new string('A', 400_000)}}}"}}""");
            (await TokensAsync(image)).ShouldBeInRange(1600, 1660); // not one for each four bytes
        }
        finally
        {
            stack.Engine.Script = script;
        }
    }

    [Fact]
    public async Task Agents_look_whether_anybody_is_there()
    {
        await using var sidecar = await StartAsync();
        using var head = await sidecar.SendAsync(HttpMethod.Head, "/", null);
        (head.StatusCode, head.Content.Headers.ContentLength > 0).ShouldBe((HttpStatusCode.OK, true));
    }

    [Fact]
    public async Task Many_streams_of_one_agent_pass_at_once_and_a_large_one_among_them()
    {
        await using var sidecar = await StartAsync();
        stack.Engine.Script = stack.Engine.Script with { DelayMs = 5 };
        try
        {
            var large = new string('x', 300_000);
            var asked = Enumerable.Range(0, 16).Select(async i =>
            {
                using var answer = await sidecar.PostAsync(
                    Messages,
                    $$"""{"model":"{{ScriptedStack.Model}}","max_tokens":8,"stream":true,"messages":[{"role":"user","content":"{{(i == 7 ? large : $"number {i}")}}"}]}""",
                    ("anthropic-version", "2023-06-01"));
                return await ReadAsync(answer);
            });
            foreach (var (text, isWhole) in await Task.WhenAll(asked))
                (isWhole, text.Contains("message_stop", StringComparison.Ordinal)).ShouldBe((true, true), text);
        }
        finally
        {
            stack.Engine.Script = stack.Engine.Script with { DelayMs = 0 };
        }
    }

    private static Task<HttpResponseMessage> CountAsync(SidecarUnderTest sidecar, string text, string more = "") => sidecar.PostAsync(
        "/v1/messages/count_tokens?beta=true",
        $$"""{"model":"{{ScriptedStack.Model}}","messages":[{"role":"user","content":[{"type":"text","text":"{{text}}"}{{more}}]}]}""",
        ("anthropic-version", "2023-06-01"));

    private static async Task<long> TokensAsync(HttpResponseMessage answer)
    {
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        answer.StatusCode.ShouldBe(HttpStatusCode.OK, text);
        return (long)JsonNode.Parse(text)!["input_tokens"]!;
    }

    private static Task<HttpResponseMessage> SendPackedAsync(SidecarUnderTest sidecar, string coding, byte[] packed, bool isChunked = false)
    {
        HttpContent content = isChunked ? new StreamContent(new MemoryStream(packed)) : new ByteArrayContent(packed);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        content.Headers.ContentEncoding.Add(coding);
        if (isChunked)
            content.Headers.ContentLength = null;
        return sidecar.SendAsync(HttpMethod.Post, ChatPath, content);
    }

    private static byte[] Pack(string coding, byte[] plain)
    {
        using var packed = new MemoryStream();
        using (Stream stream = coding.ToLowerInvariant() switch
        {
            "zstd" => new CompressionStream(packed, leaveOpen: true),
            "br" => new BrotliStream(packed, CompressionLevel.Fastest, leaveOpen: true),
            "deflate" => new ZLibStream(packed, CompressionLevel.Fastest, leaveOpen: true),
            _ => new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true),
        })
            stream.Write(plain);
        return packed.ToArray();
    }
}
