using System.CommandLine;
using System.Text;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat ask</c>: one question, the answer as it comes.</summary>
internal static class AskCommand
{
    private const string StandardInput = "-";

    /// <summary>More than any model's context; what a gateway takes is 32 MiB, sealed.</summary>
    private const int MaxPromptBytes = 16 * 1024 * 1024;

    private static readonly Argument<string?> Prompt = new("prompt")
    {
        Description = "What to ask; without it, or with -, it is read from standard input. Other users of this machine can see arguments.",
        Arity = ArgumentArity.ZeroOrOne,
    };
    private static readonly Option<string[]> Files = new("--file", "-f")
    {
        Description = "Text file to put before the question; may be given several times; - is standard input.",
        HelpName = "FILE",
        DefaultValueFactory = _ => [],
    };
    private static readonly Option<bool> Whole = new("--whole") { Description = "Wait for the whole answer instead of streaming it." };
    private static readonly Option<FileInfo?> Receipt = new("--receipt")
    {
        Description = "Demand the node's signed receipt, and keep it with question and answer in this file, which must not be there yet.",
        HelpName = "FILE",
    };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the whole answer as the engine's JSON object, on one line." };

    public static Command Create()
    {
        var command = new Command("ask", $"Ask a question; the answer goes to standard output. The API key comes from {ConfidentialChatOptions.BearerKeyVariable}, or is the one that \"up\" keeps.")
        {
            Prompt, Files, Asking.Model, Asking.System, Asking.MaxTokens, Asking.Temperature, Whole, Json, Receipt,
        };
        foreach (var option in Asking.Connection)
            command.Options.Add(option);
        command.SetAction(RunAsync);
        return command;
    }

    private static Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation) =>
        Asking.ForReaderAsync(until => AnswerAsync(parsed, until), cancellation);

    private static async Task<int> AnswerAsync(ParseResult parsed, CancellationToken cancellation)
    {
        if (parsed.GetValue(Asking.Paced) && (parsed.GetValue(Whole) || parsed.GetValue(Json)))
            throw new CommandException("only a stream is paced.", "leave out --paced, or --whole and --json", ExitCode.Usage);
        using var client = Asking.Connect(parsed);
        var prompt = await PromptAsync(parsed, cancellation); // before anything is asked of the gateway
        var request = new ChatCompletionRequest
        {
            Model = await Asking.ModelAsync(parsed, client, cancellation),
            Messages = [.. parsed.GetValue(Asking.System) is { } system ? [ChatMessage.System(system)] : Array.Empty<ChatMessage>(), ChatMessage.User(prompt)],
            MaxTokens = parsed.GetValue(Asking.MaxTokens),
            Temperature = parsed.GetValue(Asking.Temperature),
        };
        var options = parsed.GetValue(Json) ? new CallOptions() : new NodeNotice().Options;
        var receipt = parsed.GetValue(Receipt);
        if (receipt is { Exists: true })
            throw new CommandException($"{receipt} is there already.", "a receipt overwrites nothing: name another file", ExitCode.Usage);
        if (receipt is not null)
            options = options with { OnReceipt = verified => Keep(verified, receipt) };
        try
        {
            if (parsed.GetValue(Whole) || parsed.GetValue(Json))
            {
                var answer = await client.ConfidentialChat.CreateAsync(request, options, cancellation);
                Console.Out.WriteLine(
                    parsed.GetValue(Json) ? Encoding.UTF8.GetString(answer.ToJson()) : answer.Choices.FirstOrDefault()?.Message.Content?.Text ?? "");
            }
            else
            {
                await Asking.StreamAsync(client, request, options, answer: null, cancellation);
            }
        }
        catch (ApiException e) when (Asking.IsUnknownModel(e))
        {
            throw await Asking.UnknownModelAsync(e, client, cancellation);
        }

        return ExitCode.Success;
    }

    private static void Keep(VerifiedReceipt verified, FileInfo file)
    {
        try
        {
            verified.ToFile().Write(file.FullName);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException(
                $"cannot write {file}: {e.Message}", "name a file that is not there yet, in a folder that may be written", ExitCode.Usage);
        }
    }

    // The files in their order, then the question.
    private static async Task<string> PromptAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var files = parsed.GetValue(Files) ?? [];
        var question = parsed.GetValue(Prompt);
        if ((question is null && files.Length > 0 ? 0 : question is null or StandardInput ? 1 : 0) + files.Count(file => file == StandardInput) > 1)
            throw new CommandException("standard input is asked for twice.", "give - once, as the question or as a --file", ExitCode.Usage);

        var parts = new List<string>();
        foreach (var file in files)
            parts.Add(await ReadAsync(file, cancellation));
        if (question is not null && question != StandardInput)
            parts.Add(question);
        else if (files.Length == 0 || question == StandardInput)
            parts.Add(await ReadAsync(StandardInput, cancellation));
        var prompt = string.Join("\n\n", parts);
        return string.IsNullOrWhiteSpace(prompt)
            ? throw new CommandException("there is nothing to ask.", "give the question as an argument, in a --file or on standard input", ExitCode.Usage)
            : prompt;
    }

    private static async Task<string> ReadAsync(string file, CancellationToken cancellation)
    {
        if (file == StandardInput && !Console.IsInputRedirected)
            await Console.Error.WriteLineAsync("ask: type the question, then Ctrl-D");
        var name = file == StandardInput ? "standard input" : file;
        try
        {
            await using var input = file == StandardInput ? Console.OpenStandardInput() : File.OpenRead(file);
            using var bytes = new MemoryStream();
            var part = new byte[64 * 1024];
            int read;
            while ((read = await input.ReadAsync(part, cancellation).AsTask().WaitAsync(cancellation)) > 0)
            {
                if (bytes.Length + read > MaxPromptBytes)
                    throw new CommandException(
                        $"{name} is larger than {MaxPromptBytes / 1024 / 1024} MiB.", "no model reads that much at once: give it in parts", ExitCode.Usage);
                bytes.Write(part, 0, read);
            }

            return new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true)
                .GetString(bytes.GetBuffer(), 0, (int)bytes.Length)
                .TrimEnd('\r', '\n');
        }
        catch (DecoderFallbackException)
        {
            throw new CommandException($"{name} is not text in UTF-8.", "convert it first, with iconv or with what its format asks for", ExitCode.Usage);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"{name} cannot be read: {e.Message}", "check the name and who may read it", ExitCode.Usage);
        }
    }
}
