using System.Text;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>spec/envelope-v1.md section 7: what a client takes for a sealed answer.</summary>
public sealed class SealedAnswerTests
{
    private const string Ciphertext = "\"ciphertext\":\"AAAAAAAAAAAAAAAAAAAAAA==\"";
    private const string Nonce = "\"nonce\":\"AAAAAAAAAAAAAAAA\"";
    private const string Hash = "\"response_hash\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"";

    [Theory]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}}}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"response_hash":null,"signature":null}""")]
    [InlineData($$"""{{{Nonce}},{{Hash}},{{Ciphertext}},"signature":"x","usage":{"prompt_tokens":1},"more":[1]}""")]
    [InlineData($$"""{"\u0063iphertext":"AAAA\u0041AAAAAAAAAAAAAAAAA==",{{Nonce}},"more":{"nonce":1,"nonce":2},"usage":[{}]}""")]
    public void The_spellings_of_ours_and_of_the_origin_are_taken(string json) =>
        SealedAnswer.TryParse(Encoding.UTF8.GetBytes(json), out _).ShouldBeTrue();

    [Theory]
    [InlineData("")]
    [InlineData("[DONE]")]
    [InlineData("null")]
    [InlineData($$"""[{{{Ciphertext}},{{Nonce}}}]""")]
    [InlineData($$"""{{{Ciphertext}}}""")]
    [InlineData($$"""{{{Nonce}}}""")]
    [InlineData($$"""{{{Ciphertext}},"nonce":null}""")]
    [InlineData($$"""{{{Ciphertext}},"nonce":7}""")]
    [InlineData($$"""{{{Ciphertext}},"nonce":"AAAA"}""")]
    [InlineData($$"""{{{Ciphertext}},"nonce":"AAAAAAAAAAAAAA=="}""")]
    [InlineData($$"""{{{Ciphertext}},"nonce":"AAAAAAAAAAAAAAAA "}""")]
    [InlineData($$"""{"ciphertext":"AAAA",{{Nonce}}}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"response_hash":"AAAA"}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"response_hash":false}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},{{Nonce}}}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"\u006eonce":"BBBBBBBBBBBBBBBB"}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},{{Hash}},"response_hash":null}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"signature":null,"signature":null}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"signature":"\ud800"}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"usage":{},"usage":{} }""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"usage":{"prompt_tokens":1,"prompt_tokens":1} }""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}}}{}""")]
    [InlineData($$"""{{{Ciphertext}},{{Nonce}},"x":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}""")]
    public void Anything_else_is_refused(string json) => SealedAnswer.TryParse(Encoding.UTF8.GetBytes(json), out _).ShouldBeFalse();
}
