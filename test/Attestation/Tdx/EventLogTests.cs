using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>spec/attestation.md section 7.</summary>
public sealed class EventLogTests
{
    private const string Ccel = "tdx/05-v4-gcp-ccel-00806f";
    private const string Dstack = "tdx/09-v4-dstack-eventlog-90c06f";

    [Theory]
    [InlineData(Ccel, "ccel_data.bin")]
    [InlineData(Dstack, "event_log.json")]
    [InlineData("tdx/08-v4-outofdate-nearai-gateway-b0c06f", "event_log.json")]
    public void A_recorded_log_gives_the_registers_of_its_quote(string set, string file)
    {
        var verification = Verify(set, Evidence.Bytes($"{set}/{file}"));
        verification.Verdict.Factors.Single(factor => factor.Name == TdxFactors.EventLog).Outcome.ShouldBe(Outcome.Pass, verification.Verdict.ToText());
        var expected = Vectors.Json($"{set}/expected.json").GetProperty("event_log_replay");
        if (!expected.TryGetProperty("imr3_events", out var events))
            return;
        var found = verification.EventLog!.Events.Where(measured => measured.Name is not null).ToList();
        found.Select(measured => measured.Name).ShouldBe(events.EnumerateArray().Select(item => item.String("event")));
        found.Select(measured => Shown.Hex(measured.Payload.Span)).Zip(events.EnumerateArray().Select(item => item.String("payload").TrimEnd('.')))
            .ShouldAllBe(pair => pair.First.StartsWith(pair.Second));
    }

    [Fact]
    public void A_log_of_another_machine_is_refused_and_nothing_else()
    {
        var verification = Verify(Dstack, Evidence.Bytes("tdx/08-v4-outofdate-nearai-gateway-b0c06f/event_log.json"));
        verification.Verdict.Refusals().ShouldBe(["tdx.event_log"]);
        verification.Verdict.CodeOf(TdxFactors.EventLog).ShouldBe(RejectionCode.Mismatch);
    }

    [Fact]
    public void An_event_that_is_dropped_doubled_or_moved_breaks_the_replay()
    {
        var log = JsonNode.Parse(Vectors.Text($"{Dstack}/event_log.json"))!.AsArray();
        var moved = (JsonArray)log.DeepClone();
        var last = moved[^1]!;
        moved.RemoveAt(moved.Count - 1);
        Refused(moved);
        moved.Insert(moved.Count - 1, last);
        Refused(moved);
        var doubled = (JsonArray)log.DeepClone();
        doubled.Add(doubled[0]!.DeepClone());
        Refused(doubled);
    }

    [Fact]
    public void A_false_name_beside_a_true_digest_is_refused()
    {
        var log = Vectors.Text($"{Dstack}/event_log.json");
        foreach (var (from, to) in new[]
        {
            ("\"event\":\"app-id\"", "\"event\":\"app-xx\""), ("3763bc34552cf3a27ff71ad5f7a90471562a1a2d\"", "3763bc34552cf3a27ff71ad5f7a90471562a1a2e\""),
        })
        {
            log.ShouldContain(from);
            var verification = Verify(Dstack, Encoding.UTF8.GetBytes(log.Replace(from, to, StringComparison.Ordinal)));
            verification.Verdict.Refusals().ShouldBe(["tdx.event_log"]);
        }
    }

    [Fact]
    public void An_event_cannot_be_split_otherwise_than_it_was_written()
    {
        var digest = Shown.Hex(SHA384.HashData([1, 0, 0, 8, .. ":compose:hash:evil"u8]));
        Parse("compose", "hash:evil").ShouldBeNull();
        Parse("compose:hash", "evil")!.Code.ShouldBe(RejectionCode.Malformed);

        Rejection? Parse(string name, string payload)
        {
            var log = new JsonArray(new JsonObject
            {
                ["imr"] = 3,
                ["event_type"] = 0x08000001,
                ["digest"] = digest,
                ["event"] = name,
                ["event_payload"] = Shown.Hex(Encoding.UTF8.GetBytes(payload)),
            });
            return EventLog.TryParse(Encoding.UTF8.GetBytes(log.ToJsonString()), out _);
        }
    }

    [Fact]
    public void Runtime_events_without_digests_have_those_of_their_names_and_payloads()
    {
        EventLog.TryParse(Evidence.Bytes("../faults/tdx/dstack/dstack-0.6-runtime-events.json"), out var log).ShouldBeNull();
        Shown.Hex(log!.Replay(3)).ShouldBe(Vectors.Text("../faults/tdx/dstack/dstack-0.6-runtime-events.rtmr3.txt").Trim());
        log.IsRtmr3Recorded.ShouldBeTrue();
        EventLog.TryParse(Evidence.Bytes("../faults/tdx/dstack/dstack-log-v1-empty-digest.json"), out var one).ShouldBeNull();
        one!.Events.Single().Digest.ToArray().ShouldBe(SHA384.HashData([1, 0, 0, 8, .. ":compose-hash:"u8, 1, 2, 3]));
        // Another name gives other registers, so that nothing is believed that the quote does not say.
        var renamed = Vectors.Text("../faults/tdx/dstack/dstack-0.6-runtime-events.json").Replace("app-id", "app-xx", StringComparison.Ordinal);
        EventLog.TryParse(Encoding.UTF8.GetBytes(renamed), out log).ShouldBeNull();
        Shown.Hex(log!.Replay(3)).ShouldNotBe(Vectors.Text("../faults/tdx/dstack/dstack-0.6-runtime-events.rtmr3.txt").Trim());
        EventLog.TryParse("""[{"imr":0,"event_type":1,"digest":"","event":"","event_payload":""}]"""u8.ToArray(), out _)!.Code
            .ShouldBe(RejectionCode.Malformed);
    }

    [Fact]
    public void A_runtime_event_of_version_2_hashes_canonical_JSON()
    {
        EventLog.TryParse(Evidence.Bytes("../faults/tdx/dstack/dstack-log-v2.json"), out var log).ShouldBeNull();
        var expected = Vectors.Json("../faults/tdx/dstack/dstack-log-v2-preimage.json")[0];
        log!.Events.Single().Digest.ToArray().ShouldBe(SHA384.HashData(expected.Hex("preimage")));
        EventLog.TryParse(Evidence.Bytes("../faults/tdx/dstack/dstack-log-v2-preimage.json"), out _).ShouldBeNull();
        foreach (var (from, to) in new[]
        {
            ("010203", "010204"), ("compose", "composf"), ("\"version\":2", "\"version\":1"), ("\"version\":2", "\"version\":3"),
        })
        {
            var changed = Vectors.Text("../faults/tdx/dstack/dstack-log-v2.json").Replace(from, to, StringComparison.Ordinal);
            EventLog.TryParse(Encoding.UTF8.GetBytes(changed), out _).ShouldNotBeNull(to);
        }
    }

    [Fact]
    public void A_name_of_version_2_is_escaped_as_RFC_8785_has_it()
    {
        var preimage = """{"event":"a:\"\\\n\u0001é/","event_type":134217729,"payload":"ff","version":2}""";
        var log = $$"""[{"imr":3,"event_type":134217729,"digest":"{{Shown.Hex(SHA384.HashData(Encoding.UTF8.GetBytes(preimage)))}}","event":"a:\"\\\n\u0001é/","event_payload":"FF","version":2}]""";
        EventLog.TryParse(Encoding.UTF8.GetBytes(log), out _).ShouldBeNull();
    }

    [Theory]
    [InlineData("")]
    [InlineData("[")]
    [InlineData("[{}]")]
    [InlineData("[],\"events\":[]")]
    [InlineData("[],\"more\":[]")]
    [InlineData("[{\"imr\":4,\"event_type\":1,\"digest\":\"00\"}]")]
    [InlineData("{}")]
    [InlineData("CCEL")]
    public void What_is_no_log_is_refused(string text)
    {
        var verification = Verify(Dstack, Encoding.UTF8.GetBytes(text));
        verification.Verdict.Refusals().ShouldBe(["tdx.event_log"]);
    }

    [Fact]
    public void A_log_cut_anywhere_is_read_or_refused()
    {
        var whole = Evidence.Bytes($"{Ccel}/ccel_data.bin")[..18_200];
        TdxQuote.TryParse(Evidence.Bytes($"{Ccel}/quote.bin"), out var quote);
        foreach (var length in Daily.Of(18_101, 20))
        {
            // Cut at an event's end, it is a log; only the replay tells.
            if (EventLog.TryParse(whole.AsMemory(0, length), out var log) is null)
                log!.Fault(quote!.Report).ShouldNotBeNull($"{length} bytes");
        }

        EventLog.TryParse(whole.AsMemory(0, 18_101), out var all).ShouldBeNull();
        all!.Fault(quote!.Report).ShouldBeNull();
    }

    [Fact]
    public void A_log_beyond_its_bounds_is_refused_before_it_is_read()
    {
        Verify(Dstack, new byte[Bounds.EventLog + 1]).Verdict.CodeOf(TdxFactors.EventLog).ShouldBe(RejectionCode.TooLarge);
        var many = $"[{string.Join(',', Enumerable.Repeat($"{{\"imr\":0,\"event_type\":1,\"digest\":\"{new string('0', 96)}\"}}", Bounds.EventCount + 1))}]";
        EventLog.TryParse(Encoding.UTF8.GetBytes(many), out _).ShouldNotBeNull();
        EventLog.TryParse(Encoding.ASCII.GetBytes("[]".PadRight(Bounds.EventLog)), out var log).ShouldBeNull();
        log!.IsRtmr3Recorded.ShouldBeTrue();
        EventLog.TryParse(new byte[Bounds.EventLog], out _)!.Code.ShouldBe(RejectionCode.Malformed);
    }

    [Theory]
    [InlineData("abc")]
    [InlineData("zz")]
    public void A_payload_that_is_no_hexadecimal_is_refused(string payload)
    {
        var log = $$"""[{"imr":3,"event_type":134217729,"digest":"","event":"a","event_payload":"{{payload}}"}]""";
        EventLog.TryParse(Encoding.UTF8.GetBytes(log), out _)!.Expected.ShouldContain("event_payload: hexadecimal");
    }

    private static void Refused(JsonArray log) => Verify(Dstack, Encoding.UTF8.GetBytes(log.ToJsonString())).Verdict.Refusals().ShouldBe(["tdx.event_log"]);

    private static TdxVerification Verify(string set, byte[] log)
    {
        var (collateral, at) = Evidence.First(set);
        return TdxVerifier.Verify(Evidence.Bytes($"{set}/quote.bin"), collateral, Policy.Default, at, eventLog: log);
    }
}
