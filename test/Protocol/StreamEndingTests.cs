using System.Text;
using System.Text.Json;

namespace ConfidentialChat.Protocol.Tests;

/// <summary>spec/inference.md sections 6 and 8, the end of a stream, and section 4, whole numbers: what nodes and clients read alike.</summary>
public sealed class StreamEndingTests
{
    [Theory]
    [InlineData("""{"choices":[{"index":0,"finish_reason":"stop"}]}""", true)]
    [InlineData("""{"choices":[{"index":0,"finish_reason":"new_reason"}]}""", true)]
    [InlineData("""{"choices":[{"finish\u005freason":"stop"}]}""", true)]
    [InlineData("""{"\ud800":1,"choices":[{"\udc00":"\ud800","finish_reason":"stop"}]}""", true)]
    [InlineData("""{"choices":[{"finish_reason":"\ud83d"}]}""", true)]
    [InlineData("""{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":null}]}""", false)]
    [InlineData("""{"choices":[{"finish_reason":"stop"},{"delta":{}}]}""", false)] // two places, and so two choices
    [InlineData("""{"choices":[{"index":"0","finish_reason":"stop"},{"index":0.0,"delta":{}}]}""", true)]
    [InlineData("""{"choices":[{"index":0,"finish_reason":""}]}""", false)]
    [InlineData("""{"choices":[{"index":0,"finish_reason":"null"}]}""", false)]
    [InlineData("""{"choices":[{"index":0,"finish_reason":null}]}""", false)]
    [InlineData("""{"choices":[{"index":0,"finish_reason":{"type":"stop"}}]}""", false)]
    [InlineData("""{"choices":[{"index":0,"finish_reason":"stop","finish_reason":null}]}""", false)]
    [InlineData("""{"choices":[{"index":0}]}""", false)]
    [InlineData("""{"choices":[]}""", false)]
    [InlineData("""{"choices":{"finish_reason":"stop"}}""", false)]
    [InlineData("""{"x":[{"index":0,"finish_reason":"stop"}]}""", false)]
    [InlineData("""[{"finish_reason":"stop"}]""", false)]
    [InlineData("[DONE]", false)]
    [InlineData("", false)]
    public void A_stream_is_whole_once_each_choice_that_began_has_a_reason_that_says_something(string chunk, bool isWhole)
    {
        var ending = new StreamEnding();
        ending.Note(Encoding.UTF8.GetBytes(chunk));
        ending.IsReached.ShouldBe(isWhole);
    }

    [Theory]
    [InlineData(InferenceApi.Responses, true, """{"type":"response.completed"}""")]
    [InlineData(InferenceApi.Responses, true, """{"response":{"type":"x"},"type":"response.incomplete"}""")]
    [InlineData(InferenceApi.Responses, true, """{"type":"response.failed"}""")]
    [InlineData(InferenceApi.Responses, true, """{"type":"response.completed"}""", """{"type":"response.created"}""")]
    [InlineData(InferenceApi.Responses, false, """{"type":"response.created"}""", """{"type":"response.output_item.done"}""")]
    [InlineData(InferenceApi.Responses, false, """{"type":"message_stop"}""")]
    [InlineData(InferenceApi.Responses, false, """{"choices":[{"finish_reason":"stop"}]}""")]
    [InlineData(InferenceApi.Responses, false, """{"type":"response.completed","type":"response.created"}""")]
    [InlineData(InferenceApi.Responses, false, """{"type":["response.completed"]}""")]
    [InlineData(InferenceApi.Responses, false, """{"response":{"type":"response.completed"}}""")]
    [InlineData(InferenceApi.Responses, false, "[DONE]", "", "[]", """{"type":"response.completed""")]
    [InlineData(InferenceApi.Messages, true, """{"type":"message_delta","delta":{"stop_reason":"end_turn"}}""", """{"type":"message_stop"}""")]
    [InlineData(InferenceApi.Messages, true, """{"delta":{"stop_reason":"later_reason"},"type":"message_delta"}""", """{"type":"message_stop"}""")]
    [InlineData(InferenceApi.Messages, false, """{"type":"message_stop"}""", """{"type":"message_delta","delta":{"stop_reason":"end_turn"}}""")]
    [InlineData(InferenceApi.Messages, false, """{"type":"message_delta","delta":{"stop_reason":null}}""", """{"type":"message_stop"}""")]
    [InlineData(InferenceApi.Messages, false, """{"type":"message_delta","delta":{"stop_reason":""}}""", """{"type":"message_stop"}""")]
    [InlineData(InferenceApi.Messages, false, """{"type":"message_delta","delta":"end_turn"}""", """{"type":"message_stop"}""")]
    [InlineData(InferenceApi.Messages, false, """{"type":"content_block_delta","delta":{"stop_reason":"end_turn"}}""", """{"type":"message_stop"}""")]
    [InlineData(InferenceApi.Messages, false, """{"type":"message_delta","stop_reason":"end_turn"}""", """{"type":"message_stop"}""")]
    public void A_stream_of_named_events_is_whole_with_the_last_one_of_its_API_alone(InferenceApi api, bool isWhole, params string[] events)
    {
        var ending = new StreamEnding(api);
        foreach (var one in events)
            ending.Note(Encoding.UTF8.GetBytes(one));
        ending.IsReached.ShouldBe(isWhole);
    }

    [Fact]
    public void What_goes_on_after_its_reason_stays_finished_and_what_begins_later_is_open()
    {
        var ending = new StreamEnding();
        ending.Note(3, isFinished: true);
        ending.Note(3, isFinished: false);
        ending.IsReached.ShouldBeTrue();
        ending.Note(long.MaxValue, isFinished: false);
        ending.IsReached.ShouldBeFalse();
        ending.Note(long.MaxValue, isFinished: true);
        ending.IsReached.ShouldBeTrue();
    }

    [Theory]
    [InlineData("0", 0L)]
    [InlineData("16", 16L)]
    [InlineData("16.0", 16L)]
    [InlineData("1e2", 100L)]
    [InlineData("1.6E+1", 16L)]
    [InlineData("-1.50e1", -15L)]
    [InlineData("9223372036854775807", long.MaxValue)]
    [InlineData("-9223372036854775808", long.MinValue)]
    [InlineData("9223372036854775807.0", long.MaxValue)]
    [InlineData("9223372036854775808", null)]
    [InlineData("9223372036854775808.0", null)]
    [InlineData("1e99", null)]
    [InlineData("1e400", null)]
    [InlineData("1e-2", null)]
    [InlineData("1.5", null)]
    [InlineData("\"16\"", null)]
    [InlineData("true", null)]
    [InlineData("null", null)]
    [InlineData("[16]", null)]
    public void A_whole_number_is_one_however_it_is_written(string json, long? expected)
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(json));
        reader.Read();
        (InferenceJson.TryGetInteger(in reader, out var number) ? number : (long?)null).ShouldBe(expected);
    }

    [Fact]
    public void A_number_of_a_million_digits_costs_no_more_than_its_bytes()
    {
        InferenceJson.TryParseInteger(Encoding.ASCII.GetBytes("1." + new string('0', 1_000_000)), out _).ShouldBeFalse();
        InferenceJson.TryParseInteger(Encoding.ASCII.GetBytes(new string('9', 1_000_000)), out _).ShouldBeFalse();
    }

    [Theory]
    [InlineData("\"choices\"", true)]
    [InlineData("\"choic\\u0065s\"", true)]
    [InlineData("\"Choices\"", false)]
    [InlineData("\"choices\\ud800\"", false)]
    [InlineData("\"\\ud800hoices\"", false)]
    public void A_name_is_the_same_with_escapes_and_half_a_pair_is_none(string name, bool isChoices)
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes($"{{{name}:1}}"));
        reader.Read();
        reader.Read();
        InferenceJson.IsNamed(in reader, "choices"u8).ShouldBe(isChoices);
    }
}
