using System.CommandLine;
using System.Text;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat chat</c>: a conversation in the terminal.</summary>
internal static class ChatCommand
{
    public static Command Create()
    {
        var command = new Command(
            "chat",
            $"""
            Talk with a model: each line is a message, a line that ends with \ goes on in the next, Ctrl-C stops an answer, Ctrl-D ends,
            and so does Ctrl-C twice at the prompt.
            Lines that begin with / are commands; /help lists them. The conversation is kept in memory only.
            The API key comes from {ConfidentialChatOptions.BearerKeyVariable}, or is the one that "up" keeps.
            """)
        {
            Asking.Model, Asking.System, Asking.MaxTokens, Asking.Temperature,
        };
        foreach (var option in Asking.Connection)
            command.Options.Add(option);
        command.SetAction(RunAsync);
        return command;
    }

    private static Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation) =>
        Asking.ForReaderAsync(until => TalkAsync(parsed, until), cancellation);

    private static async Task<int> TalkAsync(ParseResult parsed, CancellationToken cancellation)
    {
        using var client = Asking.Connect(parsed);
        using var conversation = new Conversation(client, await Asking.ModelAsync(parsed, client, cancellation))
        {
            System = parsed.GetValue(Asking.System),
            MaxTokens = parsed.GetValue(Asking.MaxTokens),
            Temperature = parsed.GetValue(Asking.Temperature),
        };
        return await conversation.RunAsync(cancellation);
    }

    /// <summary>What was said, and what to do with the next line.</summary>
    private sealed class Conversation(ConfidentialChatClient client, string model) : IDisposable
    {
        private const string Help = """
            /help           this list
            /clear          forget the conversation; system message and model stay
            /system [TEXT]  set the system message, or take it away
            /model [NAME]   ask another model, or list them
            /retry          ask the last message again
            /save FILE      write the conversation to a new file, readable by you only
            /quit           end; so does Ctrl-D
            """;

        private readonly List<ChatMessage> messages = [];
        private readonly CancellationTokenSource leaving = new();
        private readonly NodeNotice notice = new();
        private volatile bool isInterrupted; // at the prompt that stands there now
        private string model = model;

        public string? System { get; set; }

        public int MaxTokens { get; init; }

        public double? Temperature { get; init; }

        // People are asked for the next line; a script that pipes its lines is not, and learns by the exit code that one failed.
        private bool Interactive { get; } = !Console.IsInputRedirected;

        public async Task<int> RunAsync(CancellationToken cancellation)
        {
            using var interrupt = Interrupt.TakeOver(OnInterrupt);
            Note($"{ForeignText.Line(model, ModelNames.MaxLength)}. /help lists the commands.");
            var exitCode = ExitCode.Success;
            using var until = CancellationTokenSource.CreateLinkedTokenSource(cancellation, leaving.Token);
            while (true)
            {
                string? line;
                try
                {
                    line = await ReadMessageAsync(until.Token);
                }
                catch (OperationCanceledException) when (leaving.IsCancellationRequested && !cancellation.IsCancellationRequested)
                {
                    return ExitCode.Interrupted;
                }

                if (line is null)
                    break;
                if (line.Length == 0)
                    continue;
                try
                {
                    if (!line.StartsWith('/'))
                        await AnswerAsync(ChatMessage.User(line), cancellation);
                    else if (!await ObeyAsync(line, cancellation))
                        break;
                }
                catch (Exception e) when (Invocation.Explain(e) is { } fault)
                {
                    if (e is ApiException refusal && Asking.IsUnknownModel(refusal))
                        fault = await Asking.UnknownModelAsync(refusal, client, cancellation);
                    await Console.Error.WriteLineAsync($"error: {fault.Message}\nhint: {fault.Hint}");
                    exitCode = fault.ExitCode;
                }
            }

            return Interactive ? ExitCode.Success : exitCode;
        }

        public void Dispose() => leaving.Dispose();

        // The first takes back what was typed, as in a shell; the second leaves.
        private void OnInterrupt()
        {
            if (isInterrupted)
            {
                Note("");
                leaving.Cancel();
                return;
            }

            isInterrupted = true;
            Note("\n(Ctrl-D or /quit ends, and so does Ctrl-C now)");
            if (Interactive)
                Console.Error.Write("> ");
        }

        /// <summary>False where the conversation is to end.</summary>
        private async Task<bool> ObeyAsync(string line, CancellationToken cancellation)
        {
            var space = line.IndexOf(' ', StringComparison.Ordinal);
            var (command, argument) = space < 0 ? (line, "") : (line[..space], line[(space + 1)..].Trim());
            switch (command)
            {
                case "/help":
                    Note(Help);
                    return true;
                case "/quit" or "/exit":
                    return false;
                case "/clear":
                    messages.Clear();
                    Note("the conversation is forgotten");
                    return true;
                case "/system":
                    System = argument.Length > 0 ? argument : null;
                    Note(System is null ? "there is no system message now" : "the system message is set");
                    return true;
                case "/model" when argument.Length > 0:
                    model = argument;
                    Note($"{model} is asked from now on");
                    return true;
                case "/model":
                    foreach (var offered in (await client.Models.ListAsync(cancellation)).Data)
                        Note($"{(offered.Id == model ? "*" : " ")} {ForeignText.Line(offered.Id, ModelNames.MaxLength)}");
                    return true;
                case "/retry":
                    await RetryAsync(cancellation);
                    return true;
                case "/save":
                    await SaveAsync(argument, cancellation);
                    return true;
                default:
                    throw new CommandException(
                        $"there is no command {command}.", "/help lists them; begin with a space to say something that starts with /", ExitCode.Usage);
            }
        }

        private async Task RetryAsync(CancellationToken cancellation)
        {
            var last = messages.FindLastIndex(message => message.Role == "user");
            if (last < 0)
                throw new CommandException("nothing was asked yet.", "type a message first", ExitCode.Usage);
            var question = messages[last];
            messages.RemoveRange(last, messages.Count - last);
            await AnswerAsync(question, cancellation);
        }

        /// <summary>Asks; a question that failed is not part of the conversation, an answer that was stopped is, as far as it came.</summary>
        private async Task AnswerAsync(ChatMessage question, CancellationToken cancellation)
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            using var interrupt = Interrupt.TakeOver(stop.Cancel);
            var answer = new StringBuilder();
            var request = new ChatCompletionRequest
            {
                Model = model,
                Messages = [.. System is null ? [] : new[] { ChatMessage.System(System) }, .. messages, question],
                MaxTokens = MaxTokens,
                Temperature = Temperature,
            };
            try
            {
                await Asking.StreamAsync(client, request, notice.Options, answer, stop.Token);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested && !cancellation.IsCancellationRequested)
            {
                Console.Out.WriteLine();
                Note("(stopped)");
            }
            catch (ConfidentialChatException) when (answer.Length > 0)
            {
                Console.Out.WriteLine();
                throw;
            }

            messages.Add(question);
            messages.Add(ChatMessage.Assistant(answer.ToString()));
        }

        private async Task SaveAsync(string file, CancellationToken cancellation)
        {
            if (file.Length == 0)
                throw new CommandException("/save needs the name of a file.", "/save conversation.txt", ExitCode.Usage);
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows())
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            try
            {
                await using var stream = new FileStream(file, options);
                foreach (var message in messages)
                    await stream.WriteAsync(Encoding.UTF8.GetBytes($"{message.Role}: {message.Content?.Text}\n\n"), cancellation);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new CommandException(
                    $"{file} cannot be written: {e.Message}", "name a file that is not there yet, in a directory of yours", ExitCode.Usage);
            }

            Note($"saved to {file}, in plain text");
        }

        /// <summary>One message, of one line or of several joined by a backslash at their ends. Null at the end of input.</summary>
        private async Task<string?> ReadMessageAsync(CancellationToken cancellation)
        {
            var message = new StringBuilder();
            while (true)
            {
                if (Interactive)
                    await Console.Error.WriteAsync(message.Length == 0 ? "> " : "… ");
                // The terminal's read takes no cancellation: whoever ends the program leaves it behind.
                var line = await Task.Run(Console.In.ReadLine, cancellation).WaitAsync(cancellation);
                if (isInterrupted)
                {
                    message.Clear();
                    isInterrupted = false;
                }

                if (line is null)
                    return message.Length > 0 ? message.ToString() : null;
                if (!line.EndsWith('\\'))
                    return message.Append(line).ToString();
                message.Append(line, 0, line.Length - 1).Append('\n');
            }
        }

        private static void Note(string text) => Console.Error.WriteLine(text);
    }
}
