using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>spec/envelope-v1.md section 9.</summary>
public sealed class RejectionTests
{
    [Fact]
    public void Every_error_has_one_row_and_one_code_and_the_statuses_of_the_specification()
    {
        RequestErrors.Table.Select(row => row.Error).Order().ShouldBe(Enum.GetValues<RequestError>().Order());
        RequestErrors.Table.Select(row => row.Code).Distinct(StringComparer.Ordinal).Count().ShouldBe(RequestErrors.Table.Count);
        RequestErrors.Table.ShouldAllBe(row => row.Status >= 400 && row.Status < 600);
    }

    [Fact]
    public void An_error_body_looks_like_this() =>
        Encoding.UTF8.GetString(new Rejection(RequestError.InvalidField, "nonce").ToJson())
            .ShouldBe("""{"error":{"code":"INVALID_FIELD","message":"nonce: is missing or not valid.","param":"nonce"}}""");

    [Fact]
    public void An_error_body_without_a_field_looks_like_this() =>
        Encoding.UTF8.GetString(new Rejection(RequestError.Replay).ToJson())
            .ShouldBe("""{"error":{"code":"REPLAY","message":"This very request was served already."}}""");

    [Fact]
    public void Every_rejection_is_read_back_as_it_was_written()
    {
        foreach (var error in Enum.GetValues<RequestError>())
        {
            Rejection.TryParse(new Rejection(error, "messages.0").ToJson(), out var rejection).ShouldBeTrue();
            rejection.ShouldBe(new Rejection(error, "messages.0"));
        }
    }

    [Theory]
    [InlineData("""{"error":{"code":"SOMETHING","message":"x"}}""")]
    [InlineData("""{"error":{"code":7,"message":"x"}}""")]
    [InlineData("""{"error":{"code":"REPLAY","code":"INVALID_KEY","message":"x"}}""")]
    [InlineData("""{"error":{"message":"x"}}""")]
    [InlineData("""{"error":"REPLAY"}""")]
    [InlineData("""{"code":"REPLAY"}""")]
    [InlineData("""[{"error":{"code":"REPLAY"}}]""")]
    [InlineData("Bad Gateway")]
    [InlineData("")]
    public void What_is_no_error_body_of_ours_is_not_taken_for_one(string body) =>
        Rejection.TryParse(Encoding.UTF8.GetBytes(body), out _).ShouldBeFalse();

    [Theory]
    [InlineData("the user's prompt was: hello")]
    [InlineData("UPPER")]
    [InlineData("a b")]
    [InlineData("")]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    public void A_node_cannot_smuggle_text_out_through_a_fields_name_or_a_message(string text)
    {
        var body = Encoding.UTF8.GetBytes($$$"""{"error":{"code":"INVALID_FIELD","message":"{{{text}}}","param":"{{{text}}}"}}""");
        Rejection.TryParse(body, out var rejection).ShouldBeTrue();
        rejection.ShouldBe(new Rejection(RequestError.InvalidField));
        rejection!.Message.ShouldBe("is missing or not valid.");
    }
}
