using System.Text;
using System.Text.Json;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>
/// Answers of engines as public bug reports have them, through gateway, node and SDK: the inputs in <c>engine/answers.jsonl</c> of the faults
/// beside the shared vectors. What each layer makes of them has tests of its own there.
/// </summary>
public sealed class EngineAnswerTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private const string Truncated = "truncated";

    /// <summary>What comes out of each: the joined text, the finish reason and the total of the usage, or what failed.</summary>
    private static readonly Dictionary<string, string> Expected = new(StringComparer.Ordinal)
    {
        ["usage-chunk-no-choices, caller did not ask"] = "Hi stop -",
        ["usage-chunk-no-choices, caller asked"] = "Hi stop 5",
        ["created decimal whole"] = "Hi stop 5",
        ["created string stream"] = "Hi stop -",
        ["usage completion null whole"] = "Hi stop 5",
        ["index null whole"] = "Hi stop -",
        ["emoji in two chunks"] = "A 😀 B stop -",
        ["tool args object"] = """f({"a":1}) tool_calls -""",
        ["empty data event"] = "Hi stop -",
        ["ping event"] = "Hi stop -",
        ["DONE with trailing blank"] = "Hi stop -",
        ["no finish reason but DONE"] = Truncated,
        ["finish reason empty string"] = "Hi there stop -",
        ["empty finish_reason (SGLang 0.4, Ollama 0.1), gateway cuts after first event"] = Truncated,
        ["finish empty string, clean end after first, no DONE"] = Truncated,
        ["content type case"] = "Hi stop -",
        ["vllm new error shape list param"] = "400 INVALID_FIELD body",
        ["error:false in whole"] = "Hi stop -",
        ["message role missing"] = "Hi stop -",
        ["content array in delta (mistral magistral)"] = "Hi stop -",
    };

    [Fact]
    public async Task Every_engines_answer_comes_out_as_what_it_is()
    {
        var file = Vectors.Locate("../faults/engine/answers.jsonl");
        Assert.SkipUnless(File.Exists(file), "there is no folder of faults beside the vectors");
        var wrong = new List<string>();
        var seen = new List<string>();
        foreach (var line in await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken))
        {
            var one = JsonElement.Parse(line);
            var name = one.String("name");
            seen.Add(name);
            stack.Next([.. Steps(one.GetProperty("engine"))]);
            var outcome = await AskAsync(
                one.String("asked") == "stream", one.TryGetProperty("include_usage", out var asks) && asks.GetBoolean(),
                name.Contains("gateway cuts", StringComparison.Ordinal));
            if (!Expected.TryGetValue(name, out var expected))
                Warnings.Add($"faults: {name} is new, and comes out as \"{outcome}\": no test has a row for it");
            else if (outcome != expected)
                wrong.Add($"{name}: \"{outcome}\" and not \"{expected}\"");
        }

        wrong.ShouldBeEmpty();
        Expected.Keys.Except(seen).ShouldBeEmpty();
    }

    [Theory]
    [InlineData(EnvelopeVersion.V1)]
    [InlineData(EnvelopeVersion.V2)]
    public async Task An_answer_whose_end_the_gateway_cut_off_is_no_short_answer(EnvelopeVersion envelope)
    {
        stack.Next(
            EngineStep.Head(),
            EngineStep.Event("""{"choices":[{"index":0,"delta":{"content":"You may, "},"finish_reason":""}]}"""),
            new EngineStep { Do = "delay", Ms = 200 },
            EngineStep.Event("""{"choices":[{"index":0,"delta":{"content":"but only if you are told."},"finish_reason":"stop"}]}"""));
        (await AskAsync(isStream: true, asksUsage: false, isCut: true, envelope)).ShouldBe(Truncated);
    }

    private static IEnumerable<EngineStep> Steps(JsonElement engine)
    {
        var status = engine.TryGetProperty("status", out var number) ? number.GetInt32() : 200;
        if (engine.TryGetProperty("whole", out var whole) || engine.TryGetProperty("body", out whole))
            return EngineStep.Answer(status, whole.GetString()!, engine.TryGetProperty("type", out var media) ? media.GetString()! : "application/json");
        var isRaw = engine.TryGetProperty("raw", out var raw) && raw.GetBoolean();
        var gap = engine.TryGetProperty("gap", out var between) ? between.GetInt32() : 0;
        var steps = new List<EngineStep>
        {
            new()
            {
                Do = "status",
                Status = status,
                Headers = new Dictionary<string, string>(StringComparer.Ordinal)
                {
                    ["Content-Type"] = engine.TryGetProperty("type", out var type) ? type.GetString()! : "text/event-stream",
                },
            },
        };
        foreach (var data in engine.GetProperty("events").EnumerateArray())
        {
            steps.Add(isRaw ? new EngineStep { Do = "body", Text = data.GetString() } : EngineStep.Event(data.GetString()!));
            steps.Add(new EngineStep { Do = "delay", Ms = gap });
        }

        if (engine.TryGetProperty("cut", out var cut) && cut.GetBoolean())
            steps.Add(EngineStep.Of("cut"));
        return steps;
    }

    private async Task<string> AskAsync(bool isStream, bool asksUsage, bool isCut, EnvelopeVersion envelope = EnvelopeVersion.V2)
    {
        using var http = new HttpClient(new Cutting(isCut));
        using var client = new ConfidentialChatClient(stack.Stack.Options() with
        {
            Envelope = envelope,
            Retries = RetryConfig.None,
            HttpClient = http,
        });
        var request = new ChatCompletionRequest { Model = ScriptedStack.Model, Messages = [ChatMessage.User("Say hi.")] };
        if (asksUsage)
            request.StreamOptions = new ChatStreamOptions { IncludeUsage = true };
        try
        {
            return isStream
                ? await StreamAsync(client, request)
                : Whole(await client.ConfidentialChat.CreateAsync(request, TestContext.Current.CancellationToken));
        }
        catch (StreamTruncatedException)
        {
            return Truncated;
        }
        catch (ApiException e) when (e.Code == "INTERNAL_ERROR")
        {
            return Truncated; // it broke off before the gateway had passed on any of it, which can then still be said
        }
        catch (GatewayConnectionException)
        {
            return Truncated; // it broke off after the outer head, and before the inner one
        }
        catch (ApiException e)
        {
            e.Message.ShouldNotContain("again");
            e.IsRetryable.ShouldBeFalse(e.Message);
            return $"{e.Status} {e.Code} {e.Param}";
        }
        catch (ConfidentialChatException e)
        {
            return e.GetType().Name;
        }
    }

    private static string Whole(ChatCompletion answer)
    {
        var choice = answer.Choices.Single();
        choice.Index.ShouldBe(0);
        choice.Message.Role.ShouldBe("assistant");
        var text = choice.Message.Content?.Text ?? string.Concat(choice.Message.ToolCalls!.Select(call => $"{call.Function!.Name}({call.Function.Arguments})"));
        return $"{text} {choice.FinishReason ?? "-"} {answer.Usage?.TotalTokens.ToString() ?? "-"}";
    }

    private static async Task<string> StreamAsync(ConfidentialChatClient client, ChatCompletionRequest request)
    {
        var text = new StringBuilder();
        var (reason, usage) = ("-", "-");
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, TestContext.Current.CancellationToken))
        {
            (chunk.Choices.Count > 0 || chunk.Usage is not null).ShouldBeTrue("an empty chunk");
            var choice = chunk.Choices.FirstOrDefault();
            text.Append(choice?.Delta?.Content);
            reason = choice?.FinishReason ?? reason;
            usage = chunk.Usage?.TotalTokens.ToString() ?? usage;
        }

        return $"{text} {reason} {usage}";
    }

    /// <summary>
    /// A gateway that passes the beginning of a stream on and ends it well: of a sealed answer its first half, of envelope v1 the first event.
    /// </summary>
    private sealed class Cutting(bool isCut) : DelegatingHandler(new SocketsHttpHandler())
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var response = await base.SendAsync(request, cancellationToken);
            var type = response.Content.Headers.ContentType;
            if (!isCut || type?.MediaType is not ("text/event-stream" or ChunkedAnswerSealer.MediaType))
                return response;
            var body = await response.Content.ReadAsByteArrayAsync(cancellationToken);
            var end = type.MediaType == ChunkedAnswerSealer.MediaType ? body.Length / 2 : body.AsSpan().IndexOf("\n\n"u8) + 2;
            response.Content = new ByteArrayContent(body[..end]) { Headers = { ContentType = type } };
            return response;
        }
    }
}
