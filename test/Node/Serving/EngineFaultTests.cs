using System.Net;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/envelope-v1.md sections 6, 8 and 9: an engine that fails, at every point where it can.</summary>
public sealed class EngineFaultTests
{
    private const string Secret = "the engine's own words";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_engine_that_fails_before_the_first_part_is_500_and_the_same_bytes_are_served_later(bool atStart)
    {
        var engine = atStart
            ? ScriptedBackend.ThatThrows(() => new InferenceException(InferenceFailure.Failed, Secret))
            : ScriptedBackend.ThatAnswers(
                () => new ScriptedAnswer(_ => Failing(new InferenceException(InferenceFailure.Failed, Secret))) { Used = new(10, 5) });
        await using var node = await NodeUnderTest.StartAsync(engine);
        var call = node.Seal();
        var token = node.Gateway.Token();
        await (await node.PostAsync(call, token)).ShouldBeAsync(RequestError.InferenceError);

        engine.Script = ScriptedBackend.ThatServes().Script;
        var again = node.Gateway.Token();
        (await call.OpenAsync(await node.PostAsync(call, again))).ShouldBe(ScriptedBackend.Whole);
        (await node.Gateway.ReportAsync(again.Request)).Usage.Units.Value.ShouldBeGreaterThan(0);
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(0);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_engine_that_takes_too_long_has_worked_and_the_same_bytes_do_not_keep_it_at_work_again(bool atStart)
    {
        var engine = atStart
            ? ScriptedBackend.ThatThrows(() => new InferenceException(InferenceFailure.TimedOut, Secret) { Usage = new(10, 5) })
            : ScriptedBackend.ThatAnswers(
                () => new ScriptedAnswer(_ => Failing(new InferenceException(InferenceFailure.TimedOut, Secret))) { Used = new(10, 5) });
        await using var node = await NodeUnderTest.StartAsync(engine);
        var call = node.Seal();
        var token = node.Gateway.Token();
        await (await node.PostAsync(call, token)).ShouldBeAsync(RequestError.InferenceTimeout);
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(10, 5));

        engine.Script = ScriptedBackend.ThatServes().Script;
        var again = node.Gateway.Token();
        await (await node.PostAsync(call, again)).ShouldBeAsync(RequestError.Replay);
        (await node.Gateway.ReportAsync(again.Request)).Usage.ShouldBe(default);
        var anew = node.Seal();
        (await anew.OpenAsync(await node.PostAsync(anew))).ShouldBe(ScriptedBackend.Whole);
    }

    [Theory]
    [InlineData(null, 1)]
    [InlineData(-5.0, 1)]
    [InlineData(0.0, 1)]
    [InlineData(1.0, 1)]
    [InlineData(1.5, 2)]
    [InlineData(59.1, 60)]
    [InlineData(60.0, 60)]
    [InlineData(60.5, 60)]
    [InlineData(1e12, 60)]
    public async Task A_busy_engine_keeps_callers_away_for_as_long_as_it_says_rounded_up_and_within_a_minute(double? seconds, int expected)
    {
        var engine = new ScriptedBackend
        {
            Script = (_, _) => Task.FromResult<InferenceStart>(new InferenceStart.Refused(InferenceRefusal.Busy)
            {
                RetryAfter = seconds is { } asked ? TimeSpan.FromSeconds(Math.Min(asked, TimeSpan.MaxValue.TotalSeconds / 2)) : null,
            }),
        };
        await using var node = await NodeUnderTest.StartAsync(engine);
        var refused = await node.PostAsync(node.Seal());
        await refused.ShouldBeAsync(RequestError.TooManyRequests);
        refused.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(expected));
    }

    [Fact]
    public async Task An_engine_with_an_empty_answer_has_failed()
    {
        var engine = ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts()));
        await using var node = await NodeUnderTest.StartAsync(engine);
        foreach (var stream in (bool[])[false, true])
            await (await node.PostAsync(node.Seal(stream))).ShouldBeAsync(RequestError.InferenceError);
    }

    [Theory]
    [InlineData(500, null)]
    [InlineData(200, "application/octet-stream")]
    [InlineData(200, "text/event-stream; charset=utf-8")]
    [InlineData(200, "crossed")]
    public async Task An_answer_that_the_envelope_does_not_carry_is_refused_and_nothing_of_it_leaves_the_node(int status, string? contentType)
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        foreach (var stream in (bool[])[false, true])
        {
            var answers = ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(Secret))
            {
                OtherStatus = status,
                OtherContentType = contentType != "crossed" ? contentType : stream ? InferenceAnswer.Json : InferenceAnswer.EventStream,
            });
            ((ScriptedBackend)node.App.Services.GetRequiredService<IInferenceBackend>()).Script = answers.Script;
            var token = node.Gateway.Token();
            await (await node.PostAsync(node.Seal(stream), token)).ShouldBeAsync(RequestError.InferenceError);
            (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(0);
        }
    }

    [Fact]
    public async Task An_event_with_a_name_breaks_the_body_off()
    {
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(Secret)) { EventName = "response.created" }));
        var token = node.Gateway.Token();
        await Should.ThrowAsync<HttpRequestException>(() => node.PostAsync(node.Seal(stream: true), token));
        await node.Gateway.ReportAsync(token.Request);
        node.Log.Text.ShouldContain($"{token.Request}: CUT_OFF");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_failure_in_the_middle_breaks_the_body_off_and_what_was_computed_is_reported(bool declared)
    {
        var gate = new Gate();
        var answer = new ScriptedAnswer(
            _ => OneThenFailing(gate, declared ? new InferenceException(InferenceFailure.Failed, Secret) : new InvalidOperationException(Secret)))
        {
            Used = new Usage(10, 5),
        };
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => answer));
        var call = node.Seal(stream: true);
        var token = node.Gateway.Token();
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call, token));
        (await events.NextAsync()).ShouldBe(ScriptedBackend.Chunk("a"));
        gate.Open();
        await events.ShouldBreakOffAsync();

        await answer.Disposed.Soon();
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(15);
        await (await node.PostAsync(call)).ShouldBeAsync(RequestError.Replay); // a part of it was served
        if (declared)
            node.Log.Text.ShouldContain($"{token.Request}: CUT_OFF");
    }

    [Fact]
    public async Task A_bug_in_the_engine_is_500_in_the_one_shape_and_says_nothing_of_itself()
    {
        var engine = ScriptedBackend.ThatThrows(() => new InvalidOperationException(Secret));
        await using var node = await NodeUnderTest.StartAsync(engine);
        var call = node.Seal();
        await (await node.PostAsync(call)).ShouldBeAsync(RequestError.InternalError);
        engine.Script = ScriptedBackend.ThatServes().Script;
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task An_engines_refusal_names_a_member_and_never_shows_what_is_no_name()
    {
        var engine = ScriptedBackend.ThatRefuses(InferenceRefusal.InvalidField, "temperature");
        await using var node = await NodeUnderTest.StartAsync(engine);
        var call = node.Seal();
        (await (await node.PostAsync(call)).Content.ReadAsStringAsync())
            .ShouldBe("""{"error":{"code":"INVALID_FIELD","message":"temperature: is missing or not valid.","param":"temperature"}}""");

        engine.Script = ScriptedBackend.ThatRefuses(InferenceRefusal.InvalidField, "My Prompt!").Script;
        (await (await node.PostAsync(call)).Content.ReadAsStringAsync())
            .ShouldBe("""{"error":{"code":"INVALID_FIELD","message":"body: is missing or not valid.","param":"body"}}""");

        engine.Script = ScriptedBackend.ThatRefuses(InferenceRefusal.ContextTooLarge).Script;
        var refused = await node.PostAsync(call);
        refused.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await refused.Content.ReadAsStringAsync()).ShouldContain("CONTEXT_TOO_LARGE");
        engine.Script = ScriptedBackend.ThatServes().Script;
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task Of_two_copies_in_flight_one_is_served_and_the_other_is_a_replay()
    {
        var gate = new Gate();
        await using var node = await NodeUnderTest.StartAsync(new ScriptedBackend
        {
            Script = async (_, cancellation) =>
            {
                await gate.PassAsync(cancellation);
                return new InferenceStart.Started(new ScriptedAnswer(_ => ScriptedBackend.Parts(ScriptedBackend.Whole)));
            },
        });
        var call = node.Seal();
        Task<HttpResponseMessage>[] copies = [.. Enumerable.Range(0, 4).Select(_ => node.PostAsync(call))];
        for (var i = 0; i < 3; i++)
        {
            var refused = await Task.WhenAny(copies).Soon();
            await (await refused).ShouldBeAsync(RequestError.Replay);
            copies = [.. copies.Where(copy => copy != refused)];
        }

        gate.Open();
        (await call.OpenAsync(await copies.Single())).ShouldBe(ScriptedBackend.Whole);
        await (await node.PostAsync(call)).ShouldBeAsync(RequestError.Replay);
    }

    private static async IAsyncEnumerable<string> Failing(Exception exception)
    {
        await Task.CompletedTask;
        if (exception is not null)
            throw exception;
        yield break;
    }

    private static async IAsyncEnumerable<string> OneThenFailing(Gate gate, Exception exception)
    {
        yield return ScriptedBackend.Chunk("a");
        await gate.PassAsync();
        throw exception;
    }
}
