using System.Text;

namespace ConfidentialChat.Attestation.Tests;

/// <summary>spec/attestation.md sections 5 and 11: what a member may be, at its edges, and that the first fault is the one that is told.</summary>
public sealed class JsonFieldsTests
{
    private const string Digest = "00000000000000000000000000000000000000000000000000000000000000af";

    [Fact]
    public void A_member_is_read_up_to_its_bound()
    {
        Read("""{"a":"xyz"}""", fields => fields.Text("a", 3)).ShouldBe("xyz");
        Read("""{"a":"xyz"}""", fields => fields.NullableText("a", 3)).ShouldBe("xyz");
        Read("""{"a":null}""", fields => fields.NullableText("a")).ShouldBeNull();
        Read("""{"a":-1}""", fields => fields.Number("a", -1, 5)).ShouldBe(-1);
        Read("""{"a":5}""", fields => fields.Number("a", -1, 5)).ShouldBe(5);
        Read("""{"a":"2026-05-20T01:02:03Z"}""", fields => fields.Date("a")).ShouldBe(new DateTimeOffset(2026, 5, 20, 1, 2, 3, TimeSpan.Zero));
        Read("""{"a":"Ff0a"}""", fields => fields.Hex("a", 2)).ShouldBe([0xFF, 0x0A]);
        Read("""{"a":"/wo="}""", fields => fields.Base64("a", 2)).ShouldBe([0xFF, 0x0A]);
        Read("""{"a":""}""", fields => fields.Base64("a", 0)).ShouldBeEmpty();
        Read("""{"a":[{"b":"x"},{"b":"y"}]}""", fields => fields.List("a", 2).Select(item => item.Text("b")).ToList()).ShouldBe(["x", "y"]);
        Read("""{"a":["x","yz"]}""", fields => fields.Texts("a", 2, 2)).ShouldBe(["x", "yz"]);
        Read($$"""{"a":["{{Digest}}"]}""", fields => fields.Digests("a", 1)).Single().ShouldBe(Convert.FromHexString(Digest));
        Read("""{"a":{"b":"x"}}""", fields => fields.Object("a").Text("b")).ShouldBe("x");
        Read("""{"a":{"b":"x"}}""", fields => fields.OptionalObject("a")!.Text("b")).ShouldBe("x");
        Read("""{"b":1,"a":2}""", fields => fields.Names.ToList()).ShouldBe(["b", "a"]);
    }

    [Fact]
    public void What_is_optional_may_be_absent()
    {
        Read("{}", fields => fields.OptionalObject("a")).ShouldBeNull();
        Read("{}", fields => fields.OptionalList("a", 1)).ShouldBeEmpty();
        Read("{}", fields => fields.OptionalTexts("a", 1)).ShouldBeEmpty();
        Read("""{"a":[{}]}""", fields => fields.OptionalList("a", 1)).Count.ShouldBe(1);
        Read("""{"a":["x"]}""", fields => fields.OptionalTexts("a", 1)).ShouldBe(["x"]);
    }

    [Theory]
    [InlineData("\"wxyz\"", "a text of at most 3 characters")]
    [InlineData("1", "a text of at most 3 characters")]
    [InlineData("null", "a text of at most 3 characters")]
    public void A_text_that_is_none_or_too_long_is_refused(string value, string expected)
    {
        Wrong(value, fields => fields.Text("a", 3).ShouldBe(""), expected);
        if (value != "null")
            Wrong(value, fields => fields.NullableText("a", 3).ShouldBe(""), expected);
    }

    [Theory]
    [InlineData("-2")]
    [InlineData("6")]
    [InlineData("1.5")]
    [InlineData("\"1\"")]
    [InlineData("99999999999999999999")]
    public void A_number_beyond_its_bounds_is_refused(string value) =>
        Wrong(value, fields => fields.Number("a", -1, 5).ShouldBe(0), "a number from -1 to 5");

    [Theory]
    [InlineData("\"2026-05-20\"")]
    [InlineData("\"2026-05-20T01:02:03+00:00\"")]
    [InlineData("\"2026-05-20T01:02:03.5Z\"")]
    [InlineData("\"2026-13-20T01:02:03Z\"")]
    public void A_date_of_another_form_is_refused(string value) => Wrong(value, fields => fields.Date("a").ShouldBe(default), "a date");

    [Theory]
    [InlineData("\"ff0\"")]
    [InlineData("\"ff\"")]
    [InlineData("\"ff0g\"")]
    public void Hexadecimal_of_another_size_is_refused(string value) => Wrong(value, fields => fields.Hex("a", 2), "2 bytes in hexadecimal");

    [Theory]
    [InlineData("\"AAAA\"")] // three bytes
    [InlineData("\"/wp=\"")] // bits that mean nothing
    [InlineData("\"/w o=\"")]
    [InlineData("\"/wo\"")]
    [InlineData("1")]
    public void Base64_that_is_longer_or_spelled_otherwise_is_refused(string value) =>
        Wrong(value, fields => fields.Base64("a", 2).ShouldBeEmpty(), "at most 2 bytes in base64");

    [Theory]
    [InlineData("[{},{},{}]")]
    [InlineData("{}")]
    public void A_list_that_is_none_or_too_long_is_refused(string value) => Wrong(value, fields => fields.List("a", 2).ShouldBeEmpty(), "a list of at most 2");

    [Theory]
    [InlineData("[\"x\",\"y\",\"z\"]")]
    [InlineData("[\"x\",1]")]
    [InlineData("[\"xyz\"]")]
    [InlineData("\"x\"")]
    public void A_list_of_other_texts_is_refused(string value) =>
        Wrong(value, fields => fields.Texts("a", 2, 2).ShouldBeEmpty(), "a list of at most 2 texts");

    [Theory]
    [InlineData("00000000000000000000000000000000000000000000000000000000000000AF")]
    [InlineData("000000000000000000000000000000000000000000000000000000000000af")]
    [InlineData("00000000000000000000000000000000000000000000000000000000000000ag")]
    public void A_digest_of_another_spelling_is_refused(string text) =>
        Wrong($"[\"{Digest}\",\"{text}\"]", fields => fields.Digests("a", 2).ShouldBeEmpty(), "SHA-256 in lower-case hexadecimal");

    [Fact]
    public void What_is_missing_is_named_and_reads_as_empty()
    {
        foreach (var read in new Action<JsonFields>[]
        {
            fields => fields.Text("a").ShouldBe(""), fields => fields.Number("a", 1, 2).ShouldBe(0), fields => fields.Base64("a", 1).ShouldBeEmpty(),
            fields => fields.List("a", 1).ShouldBeEmpty(), fields => fields.Texts("a", 1).ShouldBeEmpty(), fields => fields.Digests("a", 1).ShouldBeEmpty(),
            fields => fields.Object("a").Text("b").ShouldBe(""), fields => fields.NullableText("a").ShouldBe(""), fields => fields.Hex("a", 1).ShouldBe([0]),
            fields => fields.Date("a").ShouldBe(default),
            fields =>
            {
                fields.Raw("a", out var bytes).Has("b").ShouldBeFalse();
                bytes.ShouldBeEmpty();
            },
        })
            Fault("{}", read).ShouldBe(Rejection.Malformed("test.a", "nothing"));
    }

    [Fact]
    public void A_member_that_nobody_asked_for_is_refused_by_name()
    {
        Fault("""{"a":null,"b":1}""", fields =>
        {
            fields.NullableText("a");
            fields.End();
        }).ShouldBe(Rejection.Malformed("test: known members only", "b"));
        Fault("""{"a":null}""", fields =>
        {
            fields.NullableText("a");
            fields.End();
        }).ShouldBeNull();
        // What was wrong before stays what is told.
        Fault("""{"a":1,"b":1}""", fields =>
        {
            fields.Text("a");
            fields.End();
            fields.Wrong("c", "something");
            fields.Wrong(new Rejection(RejectionCode.Mismatch, "x", "y"));
        })!.Expected.ShouldBe("test.a: a text of at most 256 characters");
    }

    [Fact]
    public void A_part_is_an_object_and_is_had_as_it_stands()
    {
        Read("""{"a": {"b" :1} }""", fields =>
        {
            fields.Raw("a", out var bytes).Number("b", 0, 1).ShouldBe(1);
            return Encoding.UTF8.GetString(bytes);
        }).ShouldBe("""{"b" :1}""");
        Wrong("1", fields => fields.Raw("a", out _), "an object");
        Wrong("[]", fields => fields.Object("a"), "an object");
        Fault("[]", _ => { }).ShouldBe(Rejection.Malformed("test: an object", "something else"));
        Fault("""{"a":[1]}""", fields => fields.List("a", 1)).ShouldBe(Rejection.Malformed("test.a[0]: an object", "something else"));
    }

    [Fact]
    public void A_document_is_read_up_to_its_bytes_and_tokens_and_no_further()
    {
        var json = """{"a":[1]}"""u8.ToArray(); // six tokens
        Rejected(json, json.Length, 6).ShouldBeNull();
        Rejected(json, json.Length - 1, 6)!.Code.ShouldBe(RejectionCode.TooLarge);
        Rejected(json, json.Length, 5).ShouldBe(Rejection.Malformed("test: at most 5 tokens of JSON", "more"));
        foreach (var text in new[] { """{"a":1,"a":1}""", "{", "", """{"a":1}x""", $"{{\"a\":{new string('[', 70)}{new string(']', 70)}}}" })
            Rejected(Encoding.UTF8.GetBytes(text), 1000, 1000)!.Expected.ShouldBe("test: JSON in which nothing stands twice", text);
        JsonFields.Read<object>("""{"a":1}"""u8.ToArray(), 1000, 1000, "test", fields => fields.Text("a"), out var value).ShouldNotBeNull();
        value.ShouldBeNull();
        byte[] foreign = [.. "{\""u8, 0xFF, .. "\":1}"u8]; // no UTF-8
        JsonFields.Read<object>(foreign, 99, 99, "test", fields => fields.Names.First(), out value).ShouldNotBeNull();
        value.ShouldBeNull();

        static Rejection? Rejected(byte[] json, int bound, int tokens) => JsonFields.Read<object>(json, bound, tokens, "test", fields => fields, out _);
    }

    private static T Read<T>(string json, Func<JsonFields, T> read)
    {
        T value = default!;
        Fault(json, fields => value = read(fields)).ShouldBeNull();
        return value;
    }

    private static void Wrong(string value, Action<JsonFields> read, string expected) =>
        Fault($"{{\"a\":{value}}}", read).ShouldBe(Rejection.Malformed($"test.a: {expected}", "something else"));

    private static Rejection? Fault(string json, Action<JsonFields> read) => JsonFields.Read<object>(
        Encoding.UTF8.GetBytes(json), 1000, 100, "test",
        fields =>
        {
            read(fields);
            return fields;
        },
        out _);
}
