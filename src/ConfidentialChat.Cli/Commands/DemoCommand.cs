using System.CommandLine;
using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat demo</c>: two questions through real processes, then what each party saw.</summary>
internal static class DemoCommand
{
    private const string Streamed = "What happens to my words on their way to the model?";
    private const string Whole = "Who could read this question, and who could not?";

    private static readonly string Path = InferenceEndpoint.ChatCompletions.Row().Path;

    // The last two stand in each stream and in each piece of it: one that leaks is found though its pieces are single words.
    private static readonly string[] Hidden = [Streamed, Whole, Path, "text/event-stream", "chat.completion"];

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
            Say(Warnings.SimulatedEvidence);
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
            using var client = new ConfidentialChatClient(new ConfidentialChatOptions
            {
                ServerUrl = clientLeg.Address,
                BearerKey = stack.Ready.ApiKey,
                Policy = VerifyOptions.ReadPolicy(new FileInfo(stack.Ready.Policy!)),
            });

            if (parsed.GetValue(Model) is null && !parsed.GetValue(Fixture))
                Say("model: a demonstration model of two million parameters, which knows little; --model FILE.gguf takes a real one");

            VerifiedNode? node = null;
            var options = new CallOptions { OnNode = verified => node = verified };
            string[] answers =
            [
                await AskAsync(client, stack.Ready.Model, Streamed, options, whole: false, cancellation),
                await AskAsync(client, stack.Ready.Model, Whole, options, whole: true, cancellation),
            ];
            return Show(clientLeg, nodeLeg, node!, answers);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private static async Task<string> AskAsync(
        ConfidentialChatClient client, string model, string prompt, CallOptions options, bool whole, CancellationToken cancellation)
    {
        Say();
        Say($"You ask ({(whole ? "whole" : "streamed")}): {prompt}");
        Say();
        var request = new ChatCompletionRequest { Model = model, Messages = [ChatMessage.User(prompt)], Temperature = 0, MaxTokens = 400 };
        if (!whole)
        {
            var streamed = new StringBuilder();
            await Asking.StreamAsync(client, request, options, streamed, cancellation);
            return streamed.ToString();
        }

        var answer = (await client.ConfidentialChat.CreateAsync(request, options, cancellation)).Choices[0].Message.Content?.Text ?? "";
        Console.Out.WriteLine(answer);
        return answer;
    }

    /// <summary>The evidence of one's own eyes: the bytes that passed, and whether anything of what was said is in them.</summary>
    private static int Show(WireTap clientLeg, WireTap nodeLeg, VerifiedNode node, IEnumerable<string> answers)
    {
        var (before, behind) = (Relayed(clientLeg), Relayed(nodeLeg));
        var seen = before[0].Request;
        Say();
        Say("What each party saw");
        Say();
        Say($"  client    {Streamed}");
        Say($"  gateway   {seen.FirstLine}");
        var (named, units) = (seen.Header(RelayHeaders.Model), seen.Header(RelayHeaders.MaxUnits));
        Say($"            knows who asks (the API key), the model ({named}), that it is at most {units} units,");
        Say($"            and {seen.Body.Length:N0} bytes, as many as every message of its size class has: {Hex(seen.Body)}…");
        Say($"  node      {Streamed}");
        Say("            (not shown by the node itself: it opens this in its memory, and knows neither key nor address of who asks)");
        Say($"  gateway   {before[0].Answer!.FirstLine}, whatever the node answers: {Hex(before[0].Answer!.Body)}…");
        Say("  client    the answer, as printed above");
        Say();
        Say("Bytes            client to gateway    gateway to node     node to gateway  gateway to client");
        foreach (var (name, first, second) in new[] { ("streamed", before[0], behind[0]), ("whole", before[1], behind[1]) })
            Say($"  {name,-12}{Size(first.Request),20}{Size(second.Request),19}{Size(second.Answer),20}{Size(first.Answer),19}");
        Say();
        Say($"What the node proved before a byte was sent: {NodeNotice.Line(node)}.");
        foreach (var factor in node.Verdict.Factors.Where(factor => factor.Outcome is Outcome.Pass))
            Say($"  {factor.Name}: {factor.Found}");
        Say($"  its keys: {node.KeySet}, erased by {node.Statement.NotAfter:yyyy-MM-dd HH:mm:ss} UTC at the latest");
        foreach (var model in node.Statement.Models)
        {
            var weights = model.Weights ?? "not known: an engine outside of it has the file";
            Say($"  its model, by its own word: {ForeignText.Line(model.Name, ModelNames.MaxLength)}, SHA-256 {weights}");
        }

        Say();

        var everything = clientLeg.Recorded.Concat(nodeLeg.Recorded).Select(recording => recording.Bytes).ToList();
        var leaked = Hidden.Concat(answers.SelectMany(Sentences)).Where(text => everything.Any(bytes => Needle.IsIn(bytes, text))).ToList();
        var size = everything.Sum(bytes => (long)bytes.Length);
        Say($"Recorded on both legs: {size:N0} bytes. A prompt, an answer or a sentence of one, the path ({Path}), a header or the");
        Say($"type of what is inside in them, in plain or in base64: {(leaked.Count == 0 ? "none" : "FOUND")}.");
        Say(Warnings.SimulatedEvidence);
        if (leaked.Count > 0)
            throw new CommandException("what is to be sealed was found on the wire.", "this must not happen: please report it (SECURITY.md)");
        return ExitCode.Success;
    }

    private static List<RecordedExchange> Relayed(WireTap leg) =>
        [.. RecordedExchange.Read(leg.Recorded).Where(exchange => exchange.Request.FirstLine.Contains("/relay ", StringComparison.Ordinal))];

    private static string Size(RecordedMessage? message) => $"{message!.Body.Length:N0}";

    private static string Hex(byte[] bytes) => Convert.ToHexStringLower(bytes.AsSpan(0, Math.Min(bytes.Length, 16)));

    // Shorter pieces would be found by chance.
    private static IEnumerable<string> Sentences(string answer) => answer.Split(". ").Where(sentence => sentence.Length >= 12);

    private static void Say() => Console.Out.WriteLine();

    private static void Say(string text) => Console.Out.WriteLine(text);
}
