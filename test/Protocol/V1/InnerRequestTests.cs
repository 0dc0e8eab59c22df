using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>spec/envelope-v1.md section 5: what the node reads of an opened request.</summary>
public sealed class InnerRequestTests
{
    [Theory]
    [InlineData("""{"model":"tiny","stream":true}""", true)]
    [InlineData("""{"stream":false,"model":"tiny"}""", false)]
    [InlineData("""{"model":"tiny","messages":[{"model":"other","stream":7}],"stream":true}""", true)]
    [InlineData("""{"\u006dodel":"t\u0069ny","stream":true}""", true)]
    [InlineData(" {\"model\":\"tiny\",\"stream\":true} \t\t  ", true)]
    public void What_a_client_sends_in_good_faith_is_taken(string json, bool stream) =>
        Check(json, true, null).ShouldBe((new InnerRequest("tiny", stream), null));

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("""{"model":"tiny","stream":true""")]
    [InlineData("""{"model":"tiny","stream":true}}""")]
    [InlineData("""{"model":"tiny","stream":true} x""")]
    [InlineData("""{"model":"tiny","stream":true,}""")]
    [InlineData("""{"model":"tiny","stream":true}//""")]
    [InlineData("\uFEFF{\"model\":\"tiny\",\"stream\":true}")]
    public void What_is_not_one_JSON_object_is_INVALID_JSON(string json) =>
        Check(json, true, null).Rejection.ShouldBe(new Rejection(RequestError.InvalidJson));

    [Theory]
    [InlineData(65, true)]
    [InlineData(256, true)]
    [InlineData(257, false)]
    [InlineData(258, false)]
    [InlineData(1_000_000, false)]
    public void A_body_of_256_levels_is_taken_and_a_deeper_one_is_refused_by_name(int depth, bool isTaken)
    {
        var inner = depth - 1; // the request itself is one
        foreach (var deep in (string[])
        [
            new string('[', inner) + new string(']', inner), string.Concat(Enumerable.Repeat("{\"a\":", inner)) + "1" + new string('}', inner),
        ])
        {
            var (request, rejection) = Check($$"""{"x":{{deep}},"model":"tiny","stream":true}""", true, null);
            request.ShouldBe(isTaken ? new InnerRequest("tiny", true) : null);
            rejection.ShouldBe(isTaken ? null : new Rejection(RequestError.InvalidField, "body"));
        }
    }

    [Fact]
    public void What_is_not_UTF_8_is_INVALID_JSON()
    {
        byte[] json = [.. """{"model":"tiny","stream":true,"x":"  """u8, 0xC0, 0x80, (byte)'"', (byte)'}'];
        InnerRequest.TryCheck(json, Fixture.Blank(stream: null), true, out _, out var rejection).ShouldBeFalse();
        rejection.ShouldBe(new Rejection(RequestError.InvalidJson));
    }

    [Theory]
    [InlineData(1022, true)] // beside model and stream
    [InlineData(1023, false)]
    public void A_flood_of_members_is_refused_by_name_wherever_it_stands(int members, bool isTaken)
    {
        var flood = string.Join(',', Enumerable.Repeat("\"a\":0", members));
        foreach (var body in (string[])[$$$"""{{{{flood}}},"model":"tiny","stream":true}""", $$"""{"model":"tiny","stream":true,{{flood}}}"""])
        {
            var (request, rejection) = Check(body, true, null);
            (request is not null).ShouldBe(isTaken);
            if (!isTaken)
                rejection.ShouldBe(new Rejection(RequestError.InvalidField, "body"));
        }
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(1, false)]
    public void A_flood_of_values_is_refused_by_name_however_it_is_spread_over_the_members(int more, bool isTaken)
    {
        var half = string.Join(',', Enumerable.Repeat("[]", InferenceJson.ValuesMax / 2));
        var (request, rejection) = Check($$"""{"x":[{{half}}],"model":"tiny","stream":true,"y":[{{half}}{{string.Concat(Enumerable.Repeat(",7", more))}}]}""", true, null);
        (request is not null).ShouldBe(isTaken);
        if (!isTaken)
            rejection.ShouldBe(new Rejection(RequestError.InvalidField, "body"));
    }

    [Theory]
    [InlineData("""{"stream":true}""", "model")]
    [InlineData("""{"model":null,"stream":true}""", "model")]
    [InlineData("""{"model":7,"stream":true}""", "model")]
    [InlineData("""{"model":["tiny"],"stream":true}""", "model")]
    [InlineData("""{"model":"tiny","stream":true,"model":"tiny"}""", "model")]
    [InlineData("""{"model":"tiny","stream":true,"\u006dodel":"other"}""", "model")]
    [InlineData("""{"model":"tiny"}""", "stream")]
    [InlineData("""{"model":"tiny","stream":null}""", "stream")]
    [InlineData("""{"model":"tiny","stream":"true"}""", "stream")]
    [InlineData("""{"model":"tiny","stream":1}""", "stream")]
    [InlineData("""{"model":"tiny","stream":true,"stream":true}""", "stream")]
    [InlineData("""{"model":"tiny","stream":null,"stream":true}""", "stream")]
    public void A_member_that_is_missing_doubled_or_of_a_wrong_type_is_named(string json, string field) =>
        Check(json, true, null).Rejection.ShouldBe(new Rejection(RequestError.InvalidField, field));

    [Theory]
    [InlineData("""{"model":"tiny"}""")]
    [InlineData("""{"model":"tiny","stream":null}""")]
    public void Outside_chat_an_absent_stream_counts_as_false(string json)
    {
        Check(json, false, null).ShouldBe((new InnerRequest("tiny", false), null));
        Check(json, false, false).ShouldBe((new InnerRequest("tiny", false), null));
        Check(json, false, true).Rejection.ShouldBe(new Rejection(RequestError.StreamMismatch));
    }

    [Fact]
    public void A_caller_cannot_pay_for_one_model_and_use_another()
    {
        Check("""{"model":"large","stream":true}""", true, true).Rejection.ShouldBe(new Rejection(RequestError.ModelMismatch));
        Check("""{"model":"Tiny","stream":true}""", true, true).Rejection.ShouldBe(new Rejection(RequestError.ModelMismatch));
        Check("""{"model":"tiny ","stream":true}""", true, true).Rejection.ShouldBe(new Rejection(RequestError.ModelMismatch));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_outer_stream_says_nothing_or_the_same(bool stream)
    {
        var json = $$"""{"model":"tiny","stream":{{(stream ? "true" : "false")}}}""";
        Check(json, true, null).Rejection.ShouldBeNull();
        Check(json, true, stream).Rejection.ShouldBeNull();
        Check(json, true, !stream).Rejection.ShouldBe(new Rejection(RequestError.StreamMismatch));
    }

    [Theory]
    [InlineData("""{"model":"\ud800","stream":true}""")]
    [InlineData("""{"\udc00":1,"model":"\ud800","stream":true}""")]
    public void A_lone_surrogate_is_refused_and_breaks_nothing(string json) => Check(json, true, null).Rejection.ShouldNotBeNull();

    private static (InnerRequest? Request, Rejection? Rejection) Check(string json, bool streamRequired, bool? outerStream)
    {
        InnerRequest.TryCheck(Encoding.UTF8.GetBytes(json), Fixture.Blank(outerStream), streamRequired, out var request, out var rejection)
            .ShouldBe(rejection is null);
        return (request, rejection);
    }
}
