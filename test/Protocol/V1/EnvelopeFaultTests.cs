using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>spec/envelope-v1.md section 3: every way in which one member of an envelope is wrong, and the name that the caller is told.</summary>
public sealed class EnvelopeFaultTests
{
    private static readonly Dictionary<string, string> Members = new(StringComparer.Ordinal)
    {
        ["ciphertext"] = Base64(40),
        ["nonce"] = Base64(12),
        ["salt"] = Base64(16),
        ["client_dh_public_key"] = Base64(32),
        ["node_dh_public_key"] = Base64(32),
        ["plaintext_body_hash"] = Base64(32),
        ["model_name"] = "\"tiny\"",
        ["stack_small_id"] = "7",
        ["stream"] = "false",
        ["num_compute_units"] = "100",
    };

    private static readonly string[] Binary =
        ["ciphertext", "nonce", "salt", "client_dh_public_key", "node_dh_public_key", "plaintext_body_hash"];

    public static TheoryData<string> AllMembers => [.. Members.Keys];

    public static TheoryData<string> BinaryMembers => [.. Binary];

    public static TheoryData<string> IntegerMembers => ["stack_small_id", "num_compute_units"];

    [Theory]
    [MemberData(nameof(AllMembers))]
    public void A_member_that_is_missing_is_named_unless_it_is_optional(string member) =>
        Check(Without(member), member is "stream" or "num_compute_units" ? null : member);

    [Theory]
    [MemberData(nameof(AllMembers))]
    public void A_member_that_is_null_is_named_unless_it_is_optional(string member) =>
        Check(With(member, "null"), member is "stream" or "num_compute_units" ? null : member);

    [Theory]
    [MemberData(nameof(AllMembers))]
    public void A_member_of_a_wrong_type_is_named(string member)
    {
        string[] kinds = ["\"tiny\"", "7", "true", "{}", "[]", "[\"x\"]"];
        var allowed = member switch { "model_name" => "\"tiny\"", "stack_small_id" or "num_compute_units" => "7", "stream" => "true", _ => "" };
        foreach (var wrong in kinds.Where(kind => kind != allowed))
            Check(With(member, wrong), member);
    }

    [Theory]
    [MemberData(nameof(AllMembers))]
    public void A_member_that_stands_twice_is_named_even_with_equal_values_or_null(string member)
    {
        Check(Doubled(member, Members[member]), member);
        Check(Doubled(member, "null"), member);
        Check(Doubled(member, Members[member], $"\\u{(int)member[0]:x4}{member[1..]}"), member);
    }

    [Theory]
    [MemberData(nameof(BinaryMembers))]
    public void A_member_of_a_wrong_length_is_named(string member)
    {
        var size = Convert.FromBase64String(Members[member].Trim('"')).Length;
        int[] wrong = member == "ciphertext" ? [0, 1, 15] : [0, 1, size - 1, size + 1, size * 2];
        foreach (var length in wrong)
            Check(With(member, Base64(length)), member);
    }

    [Theory]
    [MemberData(nameof(BinaryMembers))]
    public void Base64_in_any_other_spelling_is_named(string member)
    {
        var size = Convert.FromBase64String(Members[member].Trim('"')).Length;
        var bytes = new byte[size];
        bytes.AsSpan().Fill(0xFF); // many slashes, and bits in the last character
        var right = Convert.ToBase64String(bytes);
        Check(With(member, $"\"{right}\""), null);
        string[] wrong =
        [
            " " + right, right + " ", right + "\\n", right.Insert(4, "\\t"), right.Insert(4, " "),
            right.Replace('/', '_'), right + "=", right + "====", "=" + right[1..], right[..4] + "=" + right[5..],
            right.Insert(4, "\\u0000"), right.Insert(4, "é"), right[..^1],
        ];
        foreach (var text in wrong)
            Check(With(member, $"\"{text}\""), member);
        if (!right.EndsWith('='))
            return;
        Check(With(member, $"\"{right.TrimEnd('=')}\""), member);
        // "//8=" and "//9=" decode alike: the unused bits of the last character are zeros, or it is refused.
        var last = right.TrimEnd('=').Length - 1;
        var stray = right[..last] + (right[last] == '8' ? '9' : 'x') + right[(last + 1)..];
        Check(With(member, $"\"{stray}\""), member);
    }

    [Fact]
    public void Base64_whose_slashes_and_pluses_are_escaped_as_JSON_allows_is_taken()
    {
        var bytes = Enumerable.Repeat((byte)0xFB, 40).ToArray();
        var text = Convert.ToBase64String(bytes);
        text.ShouldContain("+");
        var slashes = Convert.ToBase64String(Enumerable.Repeat((byte)0xFF, 40).ToArray());
        Fixture.Parse(With("ciphertext", $"\"{text.Replace("+", "\\u002b", StringComparison.Ordinal)}\"")).Ciphertext.ToArray().ShouldBe(bytes);
        Fixture.Parse(With("ciphertext", $"\"{slashes.Replace("/", "\\/", StringComparison.Ordinal)}\"")).Ciphertext.ToArray().ShouldAllBe(b => b == 0xFF);
    }

    [Theory]
    [MemberData(nameof(IntegerMembers))]
    public void A_number_that_is_no_integer_or_out_of_range_is_named(string member)
    {
        string[] wrong = ["1.0", "1e3", "1E0", "-1", "-0.5", "9223372036854775808", "18446744073709551616", "1e400", "\"7\"", "true"];
        foreach (var number in wrong)
            Check(With(member, number), member);
    }

    [Fact]
    public void The_borders_of_the_integers_are_where_the_specification_puts_them()
    {
        Fixture.Parse(With("stack_small_id", "0")).Stack.ShouldBe(new StackId(0));
        Fixture.Parse(With("stack_small_id", "9223372036854775807")).Stack.ShouldBe(new StackId(long.MaxValue));
        Fixture.Parse(With("num_compute_units", "1")).Units.ShouldBe(new ComputeUnits(1));
        Fixture.Parse(With("num_compute_units", "1099511627776")).Units.ShouldBe(new ComputeUnits(1L << 40));
        Check(With("num_compute_units", "0"), "num_compute_units");
        Check(With("num_compute_units", "1099511627777"), "num_compute_units");
    }

    [Fact]
    public void A_model_name_is_1_to_256_UTF_16_units()
    {
        Check(With("model_name", "\"\""), "model_name");
        Check(With("model_name", $"\"{new string('é', 256)}\""), null);
        Check(With("model_name", $"\"{new string('é', 257)}\""), "model_name");
        Fixture.Parse(With("model_name", $"\"{string.Concat(Enumerable.Repeat("\\u00e9", 256))}\"")).ModelName.Length.ShouldBe(256);
    }

    [Theory]
    [InlineData("\\ud800")]
    [InlineData("x\\udc00y")]
    [InlineData("\\ud800\\ud800")]
    public void A_lone_surrogate_in_a_value_that_counts_is_named(string surrogate)
    {
        Check(With("model_name", $"\"{surrogate}\""), "model_name");
        Check(With("ciphertext", $"\"{surrogate}\""), "ciphertext");
    }

    [Fact]
    public void A_lone_surrogate_in_a_members_name_breaks_nothing()
    {
        var body = Encoding.UTF8.GetBytes(Members.Aggregate("{\"\\ud800\":1", (text, member) => $"{text},\"{member.Key}\":{member.Value}") + "}");
        if (!EnvelopeRequest.TryParse(body, out _, out var rejection))
            rejection.ShouldBe(new Rejection(RequestError.InvalidJson));
    }

    [Fact]
    public void A_body_that_is_not_one_JSON_object_in_UTF_8_is_INVALID_JSON()
    {
        var whole = Encoding.UTF8.GetString(Body(Members));
        byte[][] bodies =
        [
            [], "null"u8.ToArray(), "[]"u8.ToArray(), "\"x\""u8.ToArray(), "7"u8.ToArray(), "{"u8.ToArray(), " "u8.ToArray(),
            [.. Body(Members), (byte)'x'], [.. Body(Members), (byte)'{', (byte)'}'], [.. Body(Members), 0],
            [0xEF, 0xBB, 0xBF, .. Body(Members)],
            [.. Body(Members)[..^1], .. ",\"x\":\""u8, 0xFF, (byte)'"', (byte)'}'],
            [.. Body(Members)[..^1], .. ",\"x\":\""u8, 0xED, 0xA0, 0x80, (byte)'"', (byte)'}'],
            Encoding.UTF8.GetBytes(whole[..^1] + ",}"), Encoding.UTF8.GetBytes("/* */" + whole), Encoding.UTF8.GetBytes(whole.Replace('"', '\'')),
            Encoding.Unicode.GetBytes(whole),
        ];
        foreach (var body in bodies)
            Fixture.Refusal(body).ShouldBe(new Rejection(RequestError.InvalidJson));
    }

    [Fact]
    public void Nesting_without_end_is_refused_before_it_costs_anything()
    {
        var bomb = new string('[', 1_000_000);
        Fixture.Refusal(With("x", bomb)).ShouldBe(new Rejection(RequestError.InvalidJson));
        Fixture.Refusal(With("nonce", bomb)).ShouldBe(new Rejection(RequestError.InvalidField, "nonce"));
        Fixture.Refusal(With("x", string.Concat(Enumerable.Repeat("{\"a\":", 100_000)))).Error.ShouldBe(RequestError.InvalidJson);
    }

    [Fact]
    public void Members_that_are_not_listed_are_passed_over_whatever_they_hold()
    {
        Check(With("signature", "{\"nonce\":[1,2,{\"salt\":null}]}"), null);
        Check(With("Nonce", "7"), null);
    }

    [Fact]
    public void What_was_parsed_and_written_parses_to_the_same_bytes() =>
        Gen.Select(
            Gen.Byte.Array[16, 300], Gen.Byte.Array[12, 12], Gen.Byte.Array[16, 16], Gen.Byte.Array[32, 32], Gen.String[1, 256], Gen.Long[0, long.MaxValue],
            Gen.Int[0, 2], Gen.Long[0, 1L << 40])
            .Sample(
                (ciphertext, nonce, salt, key, model, stack, stream, units) =>
                {
                    var envelope = new EnvelopeRequest
                    {
                        Ciphertext = ciphertext,
                        Nonce = nonce,
                        Salt = salt,
                        ClientKey = new(key),
                        NodeKey = new(key),
                        PlaintextBodyHash = key,
                        ModelName = model,
                        Stack = new StackId(stack),
                        Stream = stream == 2 ? null : stream == 1,
                        Units = units == 0 ? null : new ComputeUnits(units),
                    };
                    var written = Fixture.Write(envelope);
                    return Fixture.Write(Fixture.Parse(written)).AsSpan().SequenceEqual(written);
                },
                iter: 2000);

    private static void Check(byte[] body, string? fault)
    {
        var valid = EnvelopeRequest.TryParse(body, out var envelope, out var rejection);
        var text = Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(body.Length, 400)));
        valid.ShouldBe(fault is null, text);
        (envelope is not null).ShouldBe(valid);
        if (fault is not null)
            rejection.ShouldBe(new Rejection(RequestError.InvalidField, fault), text);

        // In place the very same comes out, in the body's own bytes.
        var place = body.ToArray();
        EnvelopeRequest.TryParseInPlace(place, out var inPlace, out var otherRejection).ShouldBe(valid, text);
        otherRejection.ShouldBe(rejection, text);
        if (!valid)
            return;
        inPlace!.Ciphertext.Span.SequenceEqual(envelope!.Ciphertext.Span).ShouldBeTrue(text);
        place.AsSpan().Overlaps(inPlace.Ciphertext.Span).ShouldBeTrue(text);
    }

    private static byte[] Without(string member) => Body(Members.Where(pair => pair.Key != member));

    private static byte[] With(string member, string json) =>
        Body(Members.Where(pair => pair.Key != member).Append(new KeyValuePair<string, string>(member, json)));

    private static byte[] Doubled(string member, string json, string? spelling = null) =>
        Body(Members.Append(new KeyValuePair<string, string>(spelling ?? member, json)));

    private static byte[] Body(IEnumerable<KeyValuePair<string, string>> members) =>
        Encoding.UTF8.GetBytes("{" + string.Join(',', members.Select(member => $"\"{member.Key}\":{member.Value}")) + "}");

    private static string Base64(int size) => $"\"{Convert.ToBase64String(Enumerable.Range(1, size).Select(i => (byte)i).ToArray())}\"";
}
