using System.CommandLine;
using System.Text;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat demo</c>: two questions through real processes, then what each party saw.</summary>
internal static class DemoCommand
{
    private const string Streamed = "What happens to my words on their way to the model?";
    private const string Whole = "Who could read this question, and who could not?";

    // Stands in each piece of an answer, so that a stream that leaks is found though its pieces are single words.
    private const string AnswerObject = "chat.completion";

    private static readonly Option<FileInfo?> Model = CommonOptions.Model();
    private static readonly Option<bool> Fixture = CommonOptions.Fixture();
    private static readonly Option<DirectoryInfo?> EngineDirectory = CommonOptions.EngineDirectory();

    public static Command Create()
    {
        var command = new Command("demo", "Start everything on this machine, ask two questions, show what each party saw, and stop. Nothing is kept but the fetched library.")
        {
            Model, Fixture, EngineDirectory,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var directory = Directory.CreateTempSubdirectory("cchat-demo-");
        await using var clientLeg = new WireTap();
        await using var nodeLeg = new WireTap();
        var nodePort = FixedPort.Find(); // the node is ready once it is reached, through the recording too
        nodeLeg.SetTarget(new Uri($"http://127.0.0.1:{nodePort}"));
        try
        {
            Say("ConfidentialChat: gateway, node and llama.cpp on this machine, each leg recorded.");
            Say(Warnings.NoAttestation);
            Say();
            await using var stack = await LocalStack.StartAsync(
                new LocalStackOptions
                {
                    DataDirectory = directory.FullName,
                    ModelPath = parsed.GetValue(Model)?.FullName,
                    Fixture = parsed.GetValue(Fixture),
                    EngineDirectory = parsed.GetValue(EngineDirectory)?.FullName,
                    NodePort = nodePort,
                    NodeAddress = nodeLeg.Address,
                },
                Say,
                cancellation);
            clientLeg.SetTarget(new Uri(stack.Ready.Gateway));
            using var client = new ConfidentialChatClient(new ConfidentialChatOptions { ServerUrl = clientLeg.Address, BearerKey = stack.Ready.ApiKey });

            if (parsed.GetValue(Model) is null && !parsed.GetValue(Fixture))
                Say("model: a demonstration model of two million parameters, which knows little; --model FILE.gguf takes a real one");

            string[] answers =
            [
                await AskAsync(client, stack.Ready.Model, Streamed, whole: false, cancellation),
                await AskAsync(client, stack.Ready.Model, Whole, whole: true, cancellation),
            ];
            return Show(clientLeg, nodeLeg, answers);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private static async Task<string> AskAsync(ConfidentialChatClient client, string model, string prompt, bool whole, CancellationToken cancellation)
    {
        Say();
        Say($"You ask ({(whole ? "whole" : "streamed")}): {prompt}");
        Say();
        var request = new ChatCompletionRequest { Model = model, Messages = [ChatMessage.User(prompt)], Temperature = 0, MaxTokens = 400 };
        if (!whole)
        {
            var streamed = new StringBuilder();
            await Asking.StreamAsync(client, request, streamed, cancellation);
            return streamed.ToString();
        }

        var answer = (await client.ConfidentialChat.CreateAsync(request, cancellation)).Choices[0].Message.Content?.Text ?? "";
        Console.Out.WriteLine(answer);
        return answer;
    }

    /// <summary>The evidence of one's own eyes: the bytes that passed, and whether the prompt is in them.</summary>
    private static int Show(WireTap clientLeg, WireTap nodeLeg, IEnumerable<string> answers)
    {
        var atGateway = clientLeg.Recorded;
        var request = atGateway.Where(recording => recording.FromClient).Select(recording => Encoding.Latin1.GetString(recording.Bytes))
            .Select(text => text[Math.Max(0, text.IndexOf("POST /v1/confidential/", StringComparison.Ordinal))..])
            .First(text => text.StartsWith("POST", StringComparison.Ordinal));
        var answer = atGateway.Where(recording => !recording.FromClient).Select(recording => Encoding.Latin1.GetString(recording.Bytes))
            .Select(text => text[Math.Max(0, text.IndexOf("data: ", StringComparison.Ordinal))..])
            .First(text => text.StartsWith("data: ", StringComparison.Ordinal));

        Say();
        Say("What each party saw");
        Say();
        Say($"  client    {Streamed}");
        Say($"  gateway   {Line(Body(request))}");
        Say($"  node      {Streamed}");
        Say($"            (not shown by the node itself: it opens this in its memory; the gateway relays the bytes as they are)");
        Say($"  gateway   {Line(answer)}");
        Say("  client    the answer, as printed above");
        Say();

        var everything = atGateway.Concat(nodeLeg.Recorded).Select(recording => recording.Bytes).ToList();
        var leaked = new[] { Streamed, Whole, AnswerObject }.Concat(answers.SelectMany(Sentences))
            .Where(text => everything.Any(bytes => Needle.IsIn(bytes, text))).ToList();
        Say($"Recorded on both legs: {everything.Sum(bytes => (long)bytes.Length):N0} bytes. A prompt, an answer or a sentence of one in them, in plain or in base64: {(leaked.Count == 0 ? "none" : "FOUND")}.");
        Say(Warnings.NoAttestation);
        if (leaked.Count > 0)
            throw new CommandException("a prompt or an answer was found on the wire.", "this must not happen: please report it (SECURITY.md)");
        return ExitCode.Success;
    }

    // Shorter pieces would be found by chance.
    private static IEnumerable<string> Sentences(string answer) => answer.Split(". ").Where(sentence => sentence.Length >= 12);

    private static string Body(string request) => request[(request.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];

    private static string Line(string text)
    {
        var end = text.AsSpan().IndexOfAny('\r', '\n');
        var line = end < 0 ? text : text[..end];
        return line.Length <= 100 ? line : line[..100] + $"… ({line.Length:N0} characters)";
    }

    private static void Say() => Console.Out.WriteLine();

    private static void Say(string text) => Console.Out.WriteLine(text);
}
