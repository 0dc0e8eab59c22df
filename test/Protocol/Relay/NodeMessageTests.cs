using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Tests.Relay;

/// <summary>spec/gateway.md sections 2, 3 and 5: what a node and its gateway write to each other, literally.</summary>
public sealed class NodeMessageTests
{
    private const string Status =
        """{"time_ms":1800000000000,"state":"ready","models":["tiny"],"keys":[{"x25519":"AAAA","expires":1800003600}],"running":1,"queued":0}""";

    private const string Enrolment =
        $$"""{"identity_key":"AAAA","address":"https://node.example:8443","tls_pin":"BBBB","status":{{Status}}}""";

    private const string EnrolmentAnswer = """{"node_id":3,"gateway_key":"AAAA","heartbeat_seconds":10}""";

    private const string Reports =
        """{"time_ms":1800000000000,"reports":[{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","stack":7,"model":"tiny","units":42}]}""";

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
    public void A_signature_holds_for_one_path_and_one_body()
    {
        using var key = Ed25519PrivateKey.Generate(out _);
        using var other = Ed25519PrivateKey.Generate(out _);
        var signature = NodeSignature.Sign(key, NodePaths.Heartbeat, "{}"u8);
        NodeSignature.Verify(key.PublicKey, NodePaths.Heartbeat, "{}"u8, signature).ShouldBeTrue();
        NodeSignature.Verify(key.PublicKey, NodePaths.UsageReports, "{}"u8, signature).ShouldBeFalse();
        NodeSignature.Verify(key.PublicKey, NodePaths.Heartbeat, "{ }"u8, signature).ShouldBeFalse();
        NodeSignature.Verify(other.PublicKey, NodePaths.Heartbeat, "{}"u8, signature).ShouldBeFalse();
        NodeSignature.Verify(key.PublicKey, NodePaths.Heartbeat + "\0{", "}"u8, signature).ShouldBeFalse();
        NodeSignature.Verify(key.PublicKey, NodePaths.Heartbeat, "{}"u8, signature + "\n").ShouldBeFalse();
        NodeSignature.Verify(key.PublicKey, NodePaths.Heartbeat, "{}"u8, null).ShouldBeFalse();
    }

    [Fact]
    public void A_relay_token_does_not_pass_for_a_node_message()
    {
        using var key = Ed25519PrivateKey.Generate(out _);
        var payload = "{}"u8.ToArray();
        var signature = Convert.ToBase64String(key.Sign([.. "ConfidentialChat relay token v1\0"u8, .. payload]));
        NodeSignature.Verify(key.PublicKey, NodePaths.Heartbeat, payload, signature).ShouldBeFalse();
    }

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
