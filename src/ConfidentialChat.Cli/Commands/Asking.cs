using System.CommandLine;
using System.Text;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Cli.Commands;

/// <summary>What <c>ask</c> and <c>chat</c> share: whom they ask, and how.</summary>
internal static class Asking
{
    public static readonly Option<Uri?> Gateway = CommonOptions.Url("--gateway", $"Gateway to ask. Default: {ConfidentialChatOptions.ServerUrlVariable}, else http://127.0.0.1:8080.");
    public static readonly Option<string?> Model = new("--model") { Description = "Model to ask. Default: the first that the gateway offers.", HelpName = "NAME" };
    public static readonly Option<string?> System = new("--system") { Description = "System message.", HelpName = "TEXT" };
    public static readonly Option<int> MaxTokens = CommonOptions.Positive("--max-tokens", 4096, "Longest answer, in tokens.");
    public static readonly Option<double?> Temperature = MakeTemperature();
    public static readonly Option<bool> DangerousPlainHttp = CommonOptions.DangerousPlainHttp();

    /// <summary>The client, after the words on what it does not protect.</summary>
    public static ConfidentialChatClient Connect(ParseResult parsed)
    {
        if (string.IsNullOrWhiteSpace(Environment.GetEnvironmentVariable(ConfidentialChatOptions.BearerKeyVariable)))
            throw new CommandException("there is no API key.", $"export {ConfidentialChatOptions.BearerKeyVariable}=cc_...; \"up\" prints the key and keeps it in its data directory", ExitCode.Usage);
        var client = new ConfidentialChatClient(new ConfidentialChatOptions
        {
            ServerUrl = parsed.GetValue(Gateway) ?? Default(),
            DangerousAllowPlainHttp = parsed.GetValue(DangerousPlainHttp),
        });
        Console.Error.WriteLine(Warnings.NoAttestation);
        return client;
    }

    /// <summary>Asks for as long as somebody reads: no answer is computed for a pipe that is closed.</summary>
    public static async Task<int> ForReaderAsync(Func<CancellationToken, Task<int>> ask, CancellationToken cancellation)
    {
        using var reader = OutputReader.Watch(cancellation);
        try
        {
            return await ask(reader.Left);
        }
        catch (OperationCanceledException) when (reader.IsGone && !cancellation.IsCancellationRequested)
        {
            return ExitCode.OutputClosed;
        }
    }

    public static async Task<string> ModelAsync(ParseResult parsed, ConfidentialChatClient client, CancellationToken cancellation) =>
        parsed.GetValue(Model)
        ?? (await client.Models.ListAsync(cancellation)).Data.FirstOrDefault()?.Id
        ?? throw new CommandException("the gateway offers no model now.", "start a node, or name a model with --model", ExitCode.Refused);

    /// <summary>Prints an answer as it comes.</summary>
    /// <param name="client">Asks.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="answer">Gets the text that was printed, also where the answer breaks off; null where nobody asks for it.</param>
    /// <param name="cancellation">Stops the answer.</param>
    public static async Task StreamAsync(ConfidentialChatClient client, ChatCompletionRequest request, StringBuilder? answer, CancellationToken cancellation)
    {
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, cancellation))
        {
            foreach (var piece in chunk.Choices.Select(choice => choice.Delta?.Content).Where(piece => !string.IsNullOrEmpty(piece)))
            {
                Console.Out.Write(piece);
                answer?.Append(piece);
            }

            await Console.Out.FlushAsync(cancellation);
        }

        Console.Out.WriteLine();
    }

    // Null leaves the variable to the SDK.
    private static Uri? Default() =>
        string.IsNullOrEmpty(Environment.GetEnvironmentVariable(ConfidentialChatOptions.ServerUrlVariable)) ? new Uri("http://127.0.0.1:8080") : null;

    private static Option<double?> MakeTemperature()
    {
        var option = new Option<double?>("--temperature") { Description = "0 always takes the likeliest token; up to 2.", HelpName = "T" };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var text }]
                && double.TryParse(text, global::System.Globalization.NumberStyles.Float, global::System.Globalization.CultureInfo.InvariantCulture, out var number)
                && number is not (>= 0 and <= 2))
                result.AddError($"--temperature: '{text}' is not from 0 to 2.");
        });
        return option;
    }
}
