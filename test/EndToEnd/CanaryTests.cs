using System.Text;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>A rare word in the prompt and one in the answer are nowhere but at their two ends.</summary>
public sealed class CanaryTests
{
    private const string PromptCanary = "quillfeather-4c1f";

    [Fact]
    public async Task No_canary_is_on_either_leg_in_any_log_or_in_any_file()
    {
        var stack = new RunningStack();
        await stack.InitializeAsync();
        try
        {
            using (var client = new ConfidentialChatClient(stack.Options()))
                await AskInEveryWayAsync(client, stack.Model);
            using (var raw = new RawClient(stack))
                await FailInEveryWayAsync(raw, stack.Model);
            var end = await stack.TerminateAsync();

            var recorded = stack.RecordedBytes.ToList();
            recorded.Sum(bytes => bytes.Length).ShouldBeGreaterThan(10_000);
            foreach (var bytes in recorded)
                ShouldHoldNoCanary(bytes, "the wire");
            ShouldHoldNoCanary(Encoding.UTF8.GetBytes(end.Output + end.Errors), "the output");
            // The model itself holds the words of its answers; it is not the project's to hide them there.
            var files = Directory.GetFiles(stack.DataDirectory, "*", SearchOption.AllDirectories)
                .Where(file => !file.EndsWith(".gguf", StringComparison.Ordinal)).ToList();
            files.ShouldContain(file => file.Contains(".db"));
            files.ShouldContain(file => file.EndsWith("node.log", StringComparison.Ordinal));
            foreach (var file in files)
                ShouldHoldNoCanary(await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken), file);
        }
        finally
        {
            await stack.DisposeAsync();
        }
    }

    [Fact]
    public void The_search_finds_a_canary_in_plain_and_at_every_alignment_of_base64()
    {
        for (var before = 0; before < 6; before++)
        {
            var text = new string('x', before) + PromptCanary + "y";
            Needle.IsIn(Encoding.UTF8.GetBytes(text), PromptCanary).ShouldBeTrue();
            Needle.IsIn(Encoding.ASCII.GetBytes("{\"a\":\"" + Convert.ToBase64String(Encoding.UTF8.GetBytes(text)) + "\"}"), PromptCanary).ShouldBeTrue();
        }

        Needle.IsIn(Encoding.UTF8.GetBytes("quillfeather-4c1"), PromptCanary).ShouldBeFalse();
    }

    private static async Task AskInEveryWayAsync(ConfidentialChatClient client, string model)
    {
        var request = new ChatCompletionRequest
        {
            Model = model,
            Messages = [ChatMessage.System(PromptCanary), ChatMessage.User($"What is {PromptCanary}?")],
            Temperature = 0,
        };
        var whole = await client.ConfidentialChat.CreateAsync(request);
        whole.Choices[0].Message.Content!.Text.ShouldContain(FixtureModel.Canary);
        var text = new StringBuilder();
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request))
            text.Append(chunk.Choices.FirstOrDefault()?.Delta?.Content);
        text.ToString().ShouldContain(FixtureModel.Canary);
    }

    // Faults are where texts leak: a value quoted in a message, an exception logged with its data.
    private static async Task FailInEveryWayAsync(RawClient client, string model)
    {
        string[] faulty =
        [
            PromptCanary,
            $$"""{"model":"{{PromptCanary}}","messages":[],"stream":false}""",
            $$"""{"model":"{{model}}","messages":"{{PromptCanary}}","stream":false}""",
            $$"""{"model":"{{model}}","messages":[{"role":"{{PromptCanary}}","content":"x"}],"stream":false}""",
            $$"""{"model":"{{model}}","messages":[{"role":"user","content":"x"}],"temperature":"{{PromptCanary}}","stream":false}""",
            $$"""{"model":"{{model}}","messages":[{"role":"user","content":"x"}],"stop":[{"{{PromptCanary}}":1}],"stream":false}""",
            $$"""{"model":"{{model}}","messages":[{"role":"user","content":"{{string.Concat(Enumerable.Repeat(PromptCanary, 4000))}}"}],"stream":false}""",
        ];
        foreach (var json in faulty)
        {
            using var request = await client.SealAsync(json, timeout: 1);
            using var answer = await client.SendAsync(RawClient.ToJson(request));
            ((int)answer.StatusCode).ShouldBe(400);
        }
    }

    private static void ShouldHoldNoCanary(byte[] bytes, string where)
    {
        foreach (var canary in (string[])[PromptCanary, FixtureModel.Canary])
            Needle.IsIn(bytes, canary).ShouldBeFalse($"{canary} is in {where}");
    }
}
