using System.Text;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>spec/envelope-v1.md section 8: what a relay can make of a stream that it cannot open.</summary>
public sealed class EventOrderTests : IDisposable
{
    private readonly Fixture ours = new();

    [Fact]
    public void A_whole_stream_is_taken_and_is_what_the_engine_wrote()
    {
        var order = new EventOrder();
        List<string> taken = [];
        foreach (var part in Seal("""{"id":1}""", "{}", """{"seq":0,"last":true}""", """{"last":9}"""))
        {
            order.IsEnded.ShouldBeFalse();
            order.Take(part, out var start).ShouldBe(EventTurn.Next);
            taken.Add(Encoding.UTF8.GetString(part.AsSpan(start)).TrimEnd(' '));
        }

        order.IsEnded.ShouldBeTrue();
        taken.ShouldBe(["""{"id":1}""", "{}", """{"seq":0,"last":true}""", """{"last":9}"""]);
    }

    [Theory]
    [InlineData("the first is dropped", 1, 2, 3)]
    [InlineData("one in the middle is dropped", 0, 2, 3)]
    [InlineData("two are dropped", 0, 3)]
    [InlineData("the last is alone", 3)]
    [InlineData("two change places", 1, 0, 2, 3)]
    [InlineData("the last comes early", 0, 1, 3, 2)]
    [InlineData("one comes twice", 0, 1, 1, 2, 3)]
    [InlineData("the first comes again", 0, 1, 0, 2, 3)]
    [InlineData("one comes again behind the last", 0, 1, 2, 3, 2)]
    [InlineData("the last comes twice", 0, 1, 2, 3, 3)]
    public void A_stream_that_was_rearranged_is_refused_where_it_differs(string how, params int[] sent)
    {
        var events = Seal("""{"id":0}""", """{"id":1}""", """{"id":2}""", """{"id":3}""");
        var order = new EventOrder();
        var differs = Enumerable.Range(0, sent.Length).First(i => i >= events.Length || sent[i] != i);
        foreach (var which in sent[..differs])
            order.Take([.. events[which]], out _).ShouldBe(EventTurn.Next, how);
        order.Take([.. events[sent[differs]]], out _).ShouldBe(EventTurn.OutOfOrder, how);
    }

    [Fact]
    public void A_stream_without_its_last_event_has_not_ended()
    {
        var order = new EventOrder();
        foreach (var part in Seal("""{"id":0}""", """{"id":1}""")[..^1])
            order.Take(part, out _).ShouldBe(EventTurn.Next);
        order.IsEnded.ShouldBeFalse();
    }

    // No node of ours seals one; a number that goes on does not undo the end.
    [Fact]
    public void Behind_the_last_event_no_number_is_the_next()
    {
        var order = new EventOrder();
        order.Take("""{"last":0}"""u8.ToArray(), out _).ShouldBe(EventTurn.Next);
        foreach (var json in (string[])["""{"seq":1}""", """{"last":1}""", """{"seq":0}"""])
            order.Take(Encoding.UTF8.GetBytes(json), out _).ShouldBe(EventTurn.OutOfOrder, json);
        order.IsEnded.ShouldBeTrue();
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("[0]")]
    [InlineData("""{"id":1}""")]
    [InlineData("""{"id":1,"seq":0}""")]
    [InlineData("""{"seq":}""")]
    [InlineData("""{"seq":0""")]
    [InlineData("""{"seq":0 }""")]
    [InlineData("""{"seq": 0}""")]
    [InlineData("""{ "seq":0}""")]
    [InlineData("""{"seq":-0}""")]
    [InlineData("""{"seq":+0}""")]
    [InlineData("""{"seq":00}""")]
    [InlineData("""{"seq":0.0}""")]
    [InlineData("""{"seq":0e0}""")]
    [InlineData("""{"seq":"0"}""")]
    [InlineData("""{"seq":true}""")]
    [InlineData("""{"last":true}""")]
    [InlineData("""{"SEQ":0}""")]
    [InlineData("""{"seq":99999999999999999999999999}""")]
    public void An_event_that_says_no_place_or_says_it_in_another_spelling_is_of_an_older_node(string json)
    {
        var order = new EventOrder();
        var bytes = Encoding.UTF8.GetBytes(json);
        order.Take(bytes, out var start).ShouldBe(EventTurn.Unnumbered);
        start.ShouldBe(0);
        Encoding.UTF8.GetString(bytes).ShouldBe(json);
        order.Take("""{"seq":0}"""u8.ToArray(), out _).ShouldBe(EventTurn.Next); // it took no turn
    }

    [Theory]
    [InlineData("")]
    [InlineData("7")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("}")]
    public void A_node_seals_no_event_that_is_no_object(string json)
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        Should.Throw<ArgumentException>(() => Fixture.Event(opened, Encoding.UTF8.GetBytes(json)));
    }

    [Fact]
    public void A_node_seals_nothing_behind_the_last_event()
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        Fixture.Event(opened, "{}"u8, isLast: true);
        Should.Throw<InvalidOperationException>(() => Fixture.Event(opened, "{}"u8));
    }

    public void Dispose() => ours.Dispose();

    private byte[][] Seal(params string[] events)
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        var sealedEvents = events.Select((json, i) => Fixture.Event(opened, Encoding.UTF8.GetBytes(json), i == events.Length - 1)).ToArray();
        return [.. sealedEvents.Select(part => request.Answer.TryOpen(part, out var plaintext) ? plaintext : throw new InvalidOperationException())];
    }
}
