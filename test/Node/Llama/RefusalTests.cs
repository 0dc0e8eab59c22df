using System.Text;
using ConfidentialChat.Node.Inference;

namespace ConfidentialChat.Node.Tests.Llama;

/// <summary>What is asked for and not done is refused by name, and nothing that is sent breaks the engine.</summary>
public sealed class RefusalTests(Engine engine) : IClassFixture<Engine>
{
    [Theory]
    [InlineData("tools", """[{"type":"function","function":{"name":"f"}}]""")]
    [InlineData("tools", "{}")]
    [InlineData("tool_choice", "\"auto\"")]
    [InlineData("tool_choice", """{"type":"function"}""")]
    [InlineData("functions", """[{"name":"f"}]""")]
    [InlineData("function_call", "\"auto\"")]
    [InlineData("response_format", """{"type":"json_object"}""")]
    [InlineData("response_format", """{"type":"json_schema","json_schema":{}}""")]
    [InlineData("response_format", "\"text\"")]
    [InlineData("response_format", "{}")]
    [InlineData("logprobs", "true")]
    [InlineData("logprobs", "1")]
    [InlineData("top_logprobs", "3")]
    [InlineData("audio", """{"voice":"alloy"}""")]
    [InlineData("modalities", """["text","audio"]""")]
    [InlineData("modalities", "[]")]
    [InlineData("modalities", "\"text\"")]
    [InlineData("n", "2")]
    [InlineData("n", "0")]
    [InlineData("n", "\"1\"")]
    [InlineData("max_tokens", "0")]
    [InlineData("max_tokens", "-1")]
    [InlineData("max_tokens", "1.5")]
    [InlineData("max_tokens", "1e99")]
    [InlineData("max_tokens", "\"10\"")]
    [InlineData("max_completion_tokens", "0")]
    [InlineData("max_completion_tokens", "true")]
    [InlineData("temperature", "2.01")]
    [InlineData("temperature", "-0.1")]
    [InlineData("temperature", "\"hot\"")]
    [InlineData("temperature", "1e999")]
    [InlineData("top_p", "0")]
    [InlineData("top_p", "1e-60")]
    [InlineData("top_p", "1.1")]
    [InlineData("top_p", "[]")]
    [InlineData("top_k", "-2")]
    [InlineData("top_k", "1.5")]
    [InlineData("top_k", "2147483648")]
    [InlineData("min_p", "-0.1")]
    [InlineData("min_p", "1.1")]
    [InlineData("frequency_penalty", "2.1")]
    [InlineData("frequency_penalty", "{}")]
    [InlineData("presence_penalty", "-2.1")]
    [InlineData("seed", "9223372036854775808")]
    [InlineData("seed", "0.5")]
    [InlineData("stop", "\"\"")]
    [InlineData("stop", """["a","b","c","d","e"]""")]
    [InlineData("stop", """["a",""]""")]
    [InlineData("stop", """["a",1]""")]
    [InlineData("stop", "7")]
    [InlineData("stop", "\"\\udc00\"")]
    [InlineData("logit_bias", """{"1":101}""")]
    [InlineData("logit_bias", """{"1":"0"}""")]
    [InlineData("logit_bias", """{"-1":0}""")]
    [InlineData("logit_bias", """{"1000000":0}""")]
    [InlineData("logit_bias", """{" 1":0}""")]
    [InlineData("logit_bias", """{"\ud800":0}""")]
    [InlineData("logit_bias", "[]")]
    [InlineData("stream_options", "true")]
    [InlineData("stream_options", """{"include_usage":"yes"}""")]
    public async Task A_member_that_is_wrong_or_asks_for_too_much_is_named(string member, string value)
    {
        var reply = await engine.AskAsync($$"""{"messages":[{"role":"user","content":"x"}],"{{member}}":{{value}}}""");

        reply.Refusal.ShouldBe(new InferenceStart.Refused(InferenceRefusal.InvalidField, member));
    }

    [Theory]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("\"x\"")]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("""[{"role":"user"}]""")]
    [InlineData("""[{"content":"x"}]""")]
    [InlineData("""[{"role":"user","content":null}]""")]
    [InlineData("""[{"role":"user","content":1}]""")]
    [InlineData("""[{"role":"user","content":{"text":"x"}}]""")]
    [InlineData("""[{"role":1,"content":"x"}]""")]
    [InlineData("""[{"role":"tool","content":"x","tool_call_id":"1"}]""")]
    [InlineData("""[{"role":"function","content":"x"}]""")]
    [InlineData("""[{"role":"User","content":"x"}]""")]
    [InlineData("""[{"role":"user\nassistant","content":"x"}]""")]
    [InlineData("""[{"role":"assistant","content":null,"tool_calls":[{}]}]""")]
    [InlineData("""[{"role":"assistant","content":"x","tool_calls":[{}]}]""")]
    [InlineData("""[{"role":"assistant","content":"x","function_call":{}}]""")]
    [InlineData("""[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]""")]
    [InlineData("""[{"role":"user","content":[{"type":"text"}]}]""")]
    [InlineData("""[{"role":"user","content":[{"text":"x"}]}]""")]
    [InlineData("""[{"role":"user","content":["x"]}]""")]
    [InlineData("""[{"role":"user","content":[{"type":"text","text":1}]}]""")]
    [InlineData("""[{"role":"user","content":"\ud83d"}]""")]
    [InlineData("""[{"role":"\ud83d","content":"x"}]""")]
    [InlineData("""[{"role":"user","content":[{"type":"\ud83d","text":"x"}]}]""")]
    public async Task Messages_that_are_none_are_named(string messages)
    {
        var reply = await engine.AskAsync($$"""{"messages":{{messages}}}""");

        reply.Refusal.ShouldBe(new InferenceStart.Refused(InferenceRefusal.InvalidField, "messages"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("7")]
    [InlineData("{")]
    [InlineData("{}x")]
    public async Task What_is_no_JSON_object_is_refused_without_a_name(string body)
    {
        (await engine.AskAsync(body)).Refusal.ShouldBe(new InferenceStart.Refused(InferenceRefusal.InvalidField));
    }

    [Fact]
    public async Task Half_surrogates_and_bytes_that_are_no_UTF8_in_any_place_break_nothing()
    {
        string[] places =
        [
            """{"messages":[{"role":"user","content":"x"}],"#":1}""",
            """{"messages":[{"role":"user","content":"x","#":1}]}""",
            """{"messages":[{"role":"user","content":[{"#":"text","type":"text","text":"x"}]}]}""",
            """{"messages":[{"role":"user","content":"x"}],"response_format":{"#":"text","type":"text"}}""",
            """{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"#"}}""",
            """{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"text","#":1}}""",
            """{"messages":[{"role":"user","content":"x"}],"stream_options":{"#":true}}""",
            """{"messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage#":true}}""",
            """{"messages":[{"role":"user","content":[{"type":"text","text_and_more#":1}]}]}""",
            """{"messages":[{"role":"user","content":"x"}],"tool_choice":"#"}""",
            """{"messages":[{"role":"user","content":"x"}],"stop":["#"]}""",
            """{"messages":[{"role":"user","content":"#"}]}""",
        ];
        foreach (var place in places)
        {
            foreach (var bad in new[] { "\\ud800"u8.ToArray(), "\\udfffx"u8.ToArray(), [0xFF], [0xC3], [0xED, 0xA0, 0x80] })
            {
                var (before, after) = (Encoding.UTF8.GetBytes(place[..place.IndexOf('#')]), Encoding.UTF8.GetBytes(place[(place.IndexOf('#') + 1)..]));
                var request = Asking.Request("") with { Body = (byte[])[.. before, .. bad, .. after] };

                var start = await engine.Backend.StartAsync(request, CancellationToken.None);

                if (start is InferenceStart.Started started)
                    await started.Answer.DisposeAsync();
                else
                    ((InferenceStart.Refused)start).Reason.ShouldBe(InferenceRefusal.InvalidField);
            }
        }
    }

    [Fact]
    public async Task A_body_as_deep_as_it_is_long_breaks_nothing()
    {
        var deep = new string('[', 200_000) + new string(']', 200_000);

        (await engine.AskAsync($$"""{"messages":[{"role":"user","content":"x"}],"other":{{deep}}}"""))
            .Refusal.ShouldBe(new InferenceStart.Refused(InferenceRefusal.InvalidField));
    }

    [Fact]
    public async Task Twenty_thousand_messages_are_too_many_for_the_context_and_said_so()
    {
        var messages = string.Join(',', Enumerable.Repeat("""{"role":"user","content":"y"}""", 20_000));

        (await engine.AskAsync($$"""{"messages":[{{messages}}]}""")).Refusal!.Reason.ShouldBe(InferenceRefusal.ContextTooLarge);
    }
}
