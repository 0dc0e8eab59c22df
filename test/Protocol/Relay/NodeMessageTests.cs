using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Protocol.Tests.Relay;

/// <summary>spec/gateway.md sections 2, 3 and 5: what a node and its gateway write to each other, literally.</summary>
public sealed class NodeMessageTests
{
    private const string Status =
        """{"state":"ready","models":["tiny"],"key_sets":[{"digest":"AAAA","x25519":"DDDD","bundle":null,"expires":1800003600}],"running":1,"queued":0}""";

    private const string Enrolment =
        $$"""{"address":"https://node.example:8443","tls_pin":"BBBB","agreement_key":"CCCC","status":{{Status}}}""";

    private const string EnrolmentAnswer = """{"node_id":3,"gateway_key":"AAAA","agreement_key":"BBBB","heartbeat_seconds":10}""";

    private const string Reports =
        """{"reports":[{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","model":"tiny","prompt":40,"completion":2,"pixels":0}]}""";

    private const string Acknowledgement = """{"acknowledged":["7f2c1e6a-3f0b-4c55-9d7e-0123456789ab"]}""";

    [Fact]
    public void Every_message_is_written_as_it_was_read()
    {
        RoundTrips(Status, NodeMessageJson.Default.NodeStatus);
        RoundTrips(Status.Replace("ready", "draining", StringComparison.Ordinal), NodeMessageJson.Default.NodeStatus);
        RoundTrips(Enrolment, NodeMessageJson.Default.EnrolmentRequest);
        RoundTrips(Enrolment.Replace("\"BBBB\"", "null", StringComparison.Ordinal), NodeMessageJson.Default.EnrolmentRequest);
        RoundTrips(EnrolmentAnswer, NodeMessageJson.Default.EnrolmentAnswer);
        RoundTrips(Reports, NodeMessageJson.Default.UsageReports);
        RoundTrips(Acknowledgement, NodeMessageJson.Default.UsageAcknowledgement);
    }

    [Fact]
    public void A_member_that_is_unknown_doubled_missing_or_null_is_refused_in_every_message()
    {
        Faults(Status, NodeMessageJson.Default.NodeStatus);
        Faults(Enrolment, NodeMessageJson.Default.EnrolmentRequest, optional: "tls_pin");
        Faults(EnrolmentAnswer, NodeMessageJson.Default.EnrolmentAnswer);
        Faults(Reports, NodeMessageJson.Default.UsageReports);
        Faults(Acknowledgement, NodeMessageJson.Default.UsageAcknowledgement);
    }

    [Theory]
    [InlineData("\"READY\"")]
    [InlineData("\"Ready\"")]
    [InlineData("\"ready, draining\"")]
    [InlineData("\"\"")]
    [InlineData("\"1\"")]
    [InlineData("0")]
    [InlineData("7")]
    [InlineData("null")]
    public void A_state_in_any_other_spelling_is_refused(string state) => Should.Throw<JsonException>(() =>
        JsonSerializer.Deserialize(Status.Replace("\"ready\"", state, StringComparison.Ordinal), NodeMessageJson.Default.NodeStatus));

    [Fact]
    public void A_report_has_its_usage_in_parts_and_names_the_first_that_is_negative()
    {
        var report = new UsageReport(Guid.NewGuid(), "tiny", Prompt: 40, Completion: 2, Pixels: 5);
        (report.Usage.PromptTokens, report.Usage.CompletionTokens, report.Usage.Pixels, report.Usage.Units).ShouldBe((40, 2, 5, new ComputeUnits(47)));
        report.FaultIn().ShouldBeNull();
        (report with { Prompt = -1, Pixels = -1 }).FaultIn().ShouldBe("prompt");
        (report with { Completion = -1 }).FaultIn().ShouldBe("completion");
        (report with { Pixels = long.MinValue }).FaultIn().ShouldBe("pixels");
    }

    [Theory]
    [InlineData(100, 40, 20, 5)]
    [InlineData(65, 40, 20, 5)]
    [InlineData(62, 40, 20, 2)]
    [InlineData(50, 40, 10, 0)]
    [InlineData(7, 7, 0, 0)]
    [InlineData(0, 0, 0, 0)]
    public void Usage_above_the_reservation_loses_pixels_first_and_the_prompt_last(long units, long prompt, long completion, long pixels) =>
        new Usage(40, 20) { Pixels = 5 }.CappedAt(new ComputeUnits(units)).ShouldBe(new Usage(prompt, completion) { Pixels = pixels });

    private static void RoundTrips<T>(string json, JsonTypeInfo<T> type) =>
        JsonNode.DeepEquals(JsonNode.Parse(JsonSerializer.Serialize(JsonSerializer.Deserialize(json, type)!, type)), JsonNode.Parse(json))
            .ShouldBeTrue(json);

    // The members of the object itself and of the first object within each of its lists.
    private static void Faults<T>(string json, JsonTypeInfo<T> type, string? optional = null)
    {
        Refused(json[..^1] + ",\"more\":1}", type);
        Refused(json + "{}", type);
        Refused("null", type, mayBeNull: true);
        foreach (var (name, value) in JsonNode.Parse(json)!.AsObject())
        {
            Refused($"{json[..^1]},\"{name}\":{value!.ToJsonString()}}}", type);
            if (name != optional)
            {
                Refused(Change(json, name, remove: true), type);
                Refused(Change(json, name, remove: false), type);
            }

            if (value is JsonArray list && list[0] is JsonObject item)
            {
                var text = item.ToJsonString();
                Refused(json.Replace(text, text[..^1] + ",\"more\":1}", StringComparison.Ordinal), type);
                foreach (var (inner, _) in item)
                    Refused(json.Replace(text, Change(text, inner, remove: true), StringComparison.Ordinal), type);
            }
        }
    }

    private static string Change(string json, string name, bool remove)
    {
        var changed = JsonNode.Parse(json)!.AsObject();
        if (remove)
            changed.Remove(name);
        else
            changed[name] = null;
        return changed.ToJsonString();
    }

    private static void Refused<T>(string json, JsonTypeInfo<T> type, bool mayBeNull = false)
    {
        try
        {
            var read = JsonSerializer.Deserialize(json, type);
            (mayBeNull && read is null).ShouldBeTrue($"taken: {json}");
        }
        catch (JsonException)
        {
        }
    }
}
