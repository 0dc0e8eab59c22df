using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>What is equal says the same in every part, and what differs in one is another message.</summary>
public sealed class EqualityTests
{
    private static readonly FieldSection Some = [new("a", "b"), new("c", "d")];

    [Fact]
    public void A_field_is_its_name_and_its_value()
    {
        Same(new Field("a", "b"), new Field("a", "b"));
        Different(new Field("a", "b"), new("b", "b"), new("a", "B"), new("a", ""));
        new Field("a", "b").Equals((object)"a").ShouldBeFalse();
    }

    [Fact]
    public void A_section_is_its_fields_in_their_order()
    {
        Same(Some, [new("a", "b"), new("c", "d")]);
        Different(Some, [new("c", "d"), new("a", "b")], [new("a", "b")], [new("a", "b"), new("c", "d"), new("e", "f")], []);
        (Some.Count, Some[1].Name, Some[^1].Value).ShouldBe((2, "c", "d"));
        Some.Cast<object>().Count().ShouldBe(2);
        ((System.Collections.IEnumerable)Some).GetEnumerator().MoveNext().ShouldBeTrue();
        FieldSection.Create([]).ShouldBeSameAs(FieldSection.Empty);
        (Some.TryGetSingle("c", out var value), value).ShouldBe((true, "d"));
        (Some.TryGetSingle("e", out value), value).ShouldBe((false, ""));
        (FieldSection.Create([new("a", "b"), new("a", "c")]).TryGetSingle("a", out value), value).ShouldBe((false, ""));
        (Some.Contains("c"), Some.Contains("C"), Some.Contains("d")).ShouldBe((true, false, false));
    }

    [Fact]
    public void The_head_of_a_request_is_all_of_it()
    {
        var head = new RequestHead("GET", "https", "a", "/", Some);
        Same(head, new RequestHead("GET", "https", "a", "/", [.. Some]));
        Different(
            head, new("get", "https", "a", "/", Some), new("GET", "http", "a", "/", Some), new("GET", "https", "A", "/", Some),
            new("GET", "https", "a", "/b", Some), new("GET", "https", "a", "/", []));
        (head.Method, head.Scheme, head.Authority, head.Path, head.Fields).ShouldBe(("GET", "https", "a", "/", Some));
        var request = new BinaryRequest(head, new byte[] { 1 }, Some);
        Same(request, new BinaryRequest(new RequestHead("GET", "https", "a", "/", [.. Some]), new byte[] { 1 }, [.. Some]));
        Different(
            request, new(new RequestHead("POST", "https", "a", "/", Some), new byte[] { 1 }, Some), new(head, new byte[] { 2 }, Some),
            new(head, new byte[] { 1, 1 }, Some), new(head, new byte[] { 1 }));
        new BinaryRequest(head, default).Trailers.ShouldBeSameAs(FieldSection.Empty);
    }

    [Fact]
    public void The_head_of_a_response_is_all_of_it()
    {
        var before = new InformationalResponse(103, Some);
        Same(before, new InformationalResponse(103, [.. Some]));
        Different(before, new(102, Some), new(103, []));
        var head = new ResponseHead(200, Some, before);
        Same(head, new ResponseHead(200, [.. Some], new InformationalResponse(103, Some)));
        Different(
            head, new(201, Some, before), new(200, [], before), new(200, Some), new(200, Some, before, before),
            new(200, Some, new InformationalResponse(102, Some)));
        (head.Status, head.Fields, head.Informational[0].Status, head.Informational[0].Fields).ShouldBe((200, Some, 103, Some));
        var response = new BinaryResponse(head, new byte[] { 1 }, Some);
        Same(response, new BinaryResponse(new ResponseHead(200, Some, before), new byte[] { 1 }, [.. Some]));
        Different(
            response, new(new ResponseHead(200, Some), new byte[] { 1 }, Some), new(head, new byte[] { 2 }, Some), new(head, new byte[] { 1, 1 }, Some),
            new(head, new byte[] { 1 }));
        new BinaryResponse(head, default).Trailers.ShouldBeSameAs(FieldSection.Empty);
    }

    [Fact]
    public void What_is_at_the_edge_of_a_range_is_in_it()
    {
        foreach (var status in new[] { 100, 199 })
            new InformationalResponse(status, []).Status.ShouldBe(status);
        foreach (var status in new[] { 99, 200 })
            Should.Throw<ArgumentOutOfRangeException>(() => new InformationalResponse(status, []));
        foreach (var status in new[] { 200, 599 })
            ResponseError(Bytes(1, Integer(status), 0)).ShouldBe(BinaryHttpError.None);
        ResponseError(Bytes(1, Integer(100), 0, Integer(199), 0, Integer(200))).ShouldBe(BinaryHttpError.None);
        foreach (var status in new[] { 199, 600 })
            Should.Throw<ArgumentOutOfRangeException>(() => new ResponseHead(status, []));
    }

    [Fact]
    public void A_declared_length_is_that_of_the_content_unless_an_answer_has_none()
    {
        FieldSection three = [new("content-length", "3")];
        new BinaryRequest(new RequestHead("GET", "https", "", "/", three), new byte[3]).Content.Length.ShouldBe(3);
        new BinaryResponse(new ResponseHead(200, three), new byte[3]).Content.Length.ShouldBe(3);
        new BinaryResponse(new ResponseHead(304, three), default).Content.IsEmpty.ShouldBeTrue();
        Should.Throw<ArgumentException>(() => new BinaryRequest(new RequestHead("GET", "https", "", "/", three), new byte[2]));
        Should.Throw<ArgumentException>(() => new BinaryResponse(new ResponseHead(200, three), new byte[2]));
        Should.Throw<ArgumentException>(() => new BinaryResponse(new ResponseHead(200, []), default, three));
        Should.Throw<ArgumentException>(() => new ResponseHead(200, [new("content-length", "x")]));
        Should.Throw<ArgumentException>(() => new ResponseHead(200, [.. three, .. three]));
        Should.Throw<ArgumentException>(() => new RequestHead("GET", "https", "", "/", [new("content-length", "-1")]));
    }

    [Fact]
    public void What_is_not_given_is_the_callers_mistake()
    {
        Should.Throw<ArgumentNullException>(() => new BinaryRequest(null!, default)).ParamName.ShouldBe("head");
        Should.Throw<ArgumentNullException>(() => new BinaryResponse(null!, default)).ParamName.ShouldBe("head");
        Should.Throw<ArgumentNullException>(() => new ResponseHead(200, null!)).ParamName.ShouldBe("fields");
        Should.Throw<ArgumentNullException>(() => new InformationalResponse(100, null!)).ParamName.ShouldBe("fields");
        Should.Throw<ArgumentNullException>(() => new Field(null!, "")).ParamName.ShouldBe("name");
        Should.Throw<ArgumentNullException>(() => new Field("a", null!)).ParamName.ShouldBe("value");
        Should.Throw<ArgumentNullException>(() => new RequestHead(null!, "https", "", "/", [])).ParamName.ShouldBe("method");
        Should.Throw<ArgumentNullException>(() => new RequestHead("GET", null!, "", "/", [])).ParamName.ShouldBe("scheme");
        Should.Throw<ArgumentNullException>(() => new RequestHead("GET", "https", null!, "/", [])).ParamName.ShouldBe("authority");
        Should.Throw<ArgumentNullException>(() => new RequestHead("GET", "https", "", null!, [])).ParamName.ShouldBe("path");
        Should.Throw<ArgumentNullException>(() => new RequestHead("GET", "https", "", "/", null!)).ParamName.ShouldBe("fields");
        Should.Throw<ArgumentNullException>(() => new IndeterminateWriter(null!)).ParamName.ShouldBe("output");
        Should.Throw<ArgumentNullException>(() => new RequestReader(null!)).ParamName.ShouldBe("limits");
        Should.Throw<ArgumentNullException>(() => Chat.Write(null!)).ParamName.ShouldBe("output");
        Should.Throw<ArgumentNullException>(() => Answer.Write(null!)).ParamName.ShouldBe("output");
        var writer = new IndeterminateWriter(new System.Buffers.ArrayBufferWriter<byte>());
        Should.Throw<ArgumentNullException>(() => writer.WriteHead((RequestHead)null!)).ParamName.ShouldBe("head");
        Should.Throw<ArgumentNullException>(() => writer.WriteHead((ResponseHead)null!)).ParamName.ShouldBe("head");
        writer.WriteHead(Chat.Head);
        Should.Throw<ArgumentNullException>(() => writer.Complete(null!)).ParamName.ShouldBe("trailers");
    }

    [Fact]
    public void What_is_written_out_of_its_turn_is_the_callers_mistake()
    {
        var output = new System.Buffers.ArrayBufferWriter<byte>();
        var writer = new IndeterminateWriter(output);
        Should.Throw<InvalidOperationException>(() => writer.Complete([]));
        writer.WriteHead(new ResponseHead(304, [new("content-length", "3")]));
        Should.Throw<InvalidOperationException>(() => writer.WriteHead(new ResponseHead(200, [])));
        writer.Complete([]); // what was declared is absent, as a 304 has it
        Should.Throw<InvalidOperationException>(() => writer.Complete([]));
        Should.Throw<InvalidOperationException>(() => writer.WriteContent("x"u8));
        var request = new IndeterminateWriter(output);
        request.WriteHead(new RequestHead("GET", "https", "", "/", [new("content-length", "3")]));
        Should.Throw<InvalidOperationException>(() => request.Complete([]));
        request.WriteContent("abc"u8);
        request.Complete([]);
    }

    private static void Same<T>(T one, T other)
        where T : class, IEquatable<T>
    {
        one.Equals(other).ShouldBeTrue();
        one.Equals((object)other).ShouldBeTrue();
        one.GetHashCode().ShouldBe(other.GetHashCode());
        one.Equals(null).ShouldBeFalse();
        one.Equals((object?)null).ShouldBeFalse();
    }

    private static void Different<T>(T one, params T[] others)
        where T : class, IEquatable<T>
    {
        foreach (var other in others)
        {
            one.Equals(other).ShouldBeFalse();
            other.Equals(one).ShouldBeFalse();
            one.Equals((object)other).ShouldBeFalse();
        }
    }
}
