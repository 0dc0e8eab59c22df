using System.CommandLine;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat ask</c>: one question, the answer as it comes.</summary>
internal static class AskCommand
{
    private static readonly Argument<string?> Prompt = new("prompt")
    {
        Description = "What to ask; without it, or with -, it is read from standard input. Other users of this machine can see arguments.",
        Arity = ArgumentArity.ZeroOrOne,
    };
    private static readonly Option<Uri?> Gateway = CommonOptions.Url("--gateway", $"Gateway to ask. Default: {ConfidentialChatOptions.ServerUrlVariable}, else http://127.0.0.1:8080.");
    private static readonly Option<string?> Model = new("--model") { Description = "Model to ask. Default: the first that the gateway offers.", HelpName = "NAME" };
    private static readonly Option<string?> System = new("--system") { Description = "System message.", HelpName = "TEXT" };
    private static readonly Option<int> MaxTokens = CommonOptions.Positive("--max-tokens", 4096, "Longest answer, in tokens.");
    private static readonly Option<double?> Temperature = new("--temperature") { Description = "0 always takes the likeliest token; up to 2.", HelpName = "T" };
    private static readonly Option<bool> Whole = new("--whole") { Description = "Wait for the whole answer instead of streaming it." };
    private static readonly Option<bool> DangerousPlainHttp = CommonOptions.DangerousPlainHttp();

    public static Command Create()
    {
        var command = new Command("ask", $"Ask a question; the answer goes to standard output. The API key comes from {ConfidentialChatOptions.BearerKeyVariable}.")
        {
            Prompt, Gateway, Model, System, MaxTokens, Temperature, Whole, DangerousPlainHttp,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        if (string.IsNullOrWhiteSpace(Environment.GetEnvironmentVariable(ConfidentialChatOptions.BearerKeyVariable)))
            throw new CommandException("there is no API key.", $"export {ConfidentialChatOptions.BearerKeyVariable}=cc_...; \"up\" prints the key and keeps it in its data directory", ExitCode.Usage);
        using var client = new ConfidentialChatClient(new ConfidentialChatOptions
        {
            ServerUrl = parsed.GetValue(Gateway) ?? Default(),
            DangerousAllowPlainHttp = parsed.GetValue(DangerousPlainHttp),
        });
        await Console.Error.WriteLineAsync(Warnings.NoAttestation);
        var request = new ChatCompletionRequest
        {
            Model = parsed.GetValue(Model) ?? await FirstModelAsync(client, cancellation),
            Messages = [.. parsed.GetValue(System) is { } system ? [ChatMessage.System(system)] : Array.Empty<ChatMessage>(), ChatMessage.User(await PromptAsync(parsed, cancellation))],
            MaxTokens = parsed.GetValue(MaxTokens),
            Temperature = parsed.GetValue(Temperature),
        };
        await AnswerAsync(client, request, parsed.GetValue(Whole), cancellation);
        return ExitCode.Success;
    }

    /// <summary>Prints an answer on standard output, as it comes or whole.</summary>
    public static async Task AnswerAsync(ConfidentialChatClient client, ChatCompletionRequest request, bool whole, CancellationToken cancellation)
    {
        if (whole)
        {
            var answer = await client.ConfidentialChat.CreateAsync(request, cancellation);
            await Console.Out.WriteLineAsync(answer.Choices[0].Message.Content?.Text);
            return;
        }

        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, cancellation))
        {
            foreach (var choice in chunk.Choices)
                await Console.Out.WriteAsync(choice.Delta?.Content);
            await Console.Out.FlushAsync(cancellation);
        }

        await Console.Out.WriteLineAsync();
    }

    private static async Task<string> PromptAsync(ParseResult parsed, CancellationToken cancellation)
    {
        if (parsed.GetValue(Prompt) is { } prompt && prompt != "-")
            return prompt;
        if (!Console.IsInputRedirected)
            await Console.Error.WriteLineAsync("ask: type the question, then Ctrl-D");
        return (await Console.In.ReadToEndAsync(cancellation)).TrimEnd('\n');
    }

    // Null leaves the variable to the SDK.
    private static Uri? Default() =>
        string.IsNullOrEmpty(Environment.GetEnvironmentVariable(ConfidentialChatOptions.ServerUrlVariable)) ? new Uri("http://127.0.0.1:8080") : null;

    private static async Task<string> FirstModelAsync(ConfidentialChatClient client, CancellationToken cancellation)
    {
        var models = await client.Models.ListAsync(cancellation);
        return models.Data.FirstOrDefault()?.Id
            ?? throw new CommandException("the gateway offers no model now.", "start a node, or name a model with --model", ExitCode.Refused);
    }
}
