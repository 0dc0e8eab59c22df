using System.CommandLine;
using System.Text;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Cli.Commands;

/// <summary>What <c>ask</c> and <c>chat</c> share: whom they ask, and how.</summary>
internal static class Asking
{
    private static readonly string LocalGateway = $"http://{Standard.Gateway.ListenAddress}:{Standard.Gateway.Port}";

    public static readonly Option<Uri?> Gateway = CommonOptions.Url(
        "--gateway", $"Gateway to ask. Default: {ConfidentialChatOptions.ServerUrlVariable}, else {LocalGateway}.");
    public static readonly Option<DirectoryInfo> Data = CommonOptions.Data(
        $"the API key that \"up\" keeps; taken where {ConfidentialChatOptions.BearerKeyVariable} is not set and the gateway is on this machine");
    public static readonly Option<string?> Model = new("--model")
    {
        Description = "Model to ask. Default: the first that the gateway offers.",
        HelpName = "NAME",
    };
    public static readonly Option<string?> System = new("--system") { Description = "System message.", HelpName = "TEXT" };
    public static readonly Option<int> MaxTokens = CommonOptions.Positive("--max-tokens", 4096, "Longest answer, in tokens.");
    public static readonly Option<double?> Temperature = MakeTemperature();
    public static readonly Option<FileInfo?> Policy = new("--policy")
    {
        Description = $"Policy that the node is held against. Default: {ConfidentialChatOptions.PolicyVariable}, else that which \"up\" keeps for its own key, "
            + "else that of \"cchat policy init\".",
        HelpName = "FILE",
    };
    public static readonly Option<string> Envelope = new("--envelope")
    {
        Description = "How requests are sealed: v2, or v1, which shows the gateway their path, exact size and status.",
        HelpName = "v1|v2",
        DefaultValueFactory = _ => "v2",
    };
    public static readonly Option<bool> Paced = new("--paced")
    {
        Description = "Streams in chunks of one size, one every 100 ms: pace and number of tokens do not show. Costs 41 KB a second.",
    };
    public static readonly Option<bool> DangerousPlainHttp = CommonOptions.DangerousPlainHttp();

    /// <summary>What <see cref="Connect"/> takes from the command line, for a command's list of options.</summary>
    public static IReadOnlyList<Option> Connection => [Gateway, Data, Policy, Envelope, Paced, DangerousPlainHttp];

    /// <summary>Where to ask, and as whom; under the default policy.</summary>
    /// <param name="parsed">Holds <see cref="Gateway"/>, <see cref="Data"/> and <see cref="DangerousPlainHttp"/>.</param>
    public static ConfidentialChatOptions Options(ParseResult parsed)
    {
        var gateway = parsed.GetValue(Gateway) ?? Default();
        return new ConfidentialChatOptions
        {
            ServerUrl = gateway,
            BearerKey = NamedKey() is null ? StoredKey(parsed.GetRequiredValue(Data), gateway) : null,
            Policy = Attestation.Policies.Policy.Default,
            DangerousPlainHttp = parsed.GetValue(DangerousPlainHttp),
        };
    }

    /// <summary>
    /// The file of the policy that nodes are held against; null for the default. What <c>up</c> keeps accepts simulated evidence, so it is taken
    /// for <c>up</c>'s own gateway alone: one on this machine, under the key that <c>up</c> keeps.
    /// </summary>
    /// <param name="parsed">Holds <see cref="Gateway"/> and <see cref="Data"/>.</param>
    /// <param name="named">From <c>--policy</c>.</param>
    public static FileInfo? PolicyFile(ParseResult parsed, FileInfo? named)
    {
        if (named is not null)
            return named;
        if (Environment.GetEnvironmentVariable(ConfidentialChatOptions.PolicyVariable) is { Length: > 0 } path)
            return new FileInfo(path);
        var (data, gateway) = (parsed.GetRequiredValue(Data), parsed.GetValue(Gateway) ?? Default());
        var kept = new FileInfo(Path.Combine(data.FullName, StackPolicy.FileName));
        return gateway is { IsLoopback: true } && kept.Exists && ReadKey(Path.Combine(data.FullName, LocalStack.ApiKeyFile)) is { } key
            && (NamedKey() ?? key) == key ? kept : null;
    }

    /// <summary>As <see cref="Options"/>, under the policy that is named, or kept.</summary>
    /// <param name="parsed">Holds <see cref="Gateway"/>, <see cref="Data"/>, <see cref="Policy"/> and <see cref="DangerousPlainHttp"/>.</param>
    public static ConfidentialChatOptions PolicedOptions(ParseResult parsed) => Options(parsed) with
    {
        Policy = VerifyOptions.ReadPolicy(PolicyFile(parsed, parsed.GetValue(Policy))),
    };

    /// <summary>A client that seals to nodes which the policy accepts, and to no other.</summary>
    /// <param name="parsed">Holds <see cref="Connection"/>.</param>
    public static ConfidentialChatClient Connect(ParseResult parsed) => new(PolicedOptions(parsed) with
    {
        Envelope = parsed.GetRequiredValue(Envelope) switch
        {
            "v1" => EnvelopeVersion.V1,
            "v2" => EnvelopeVersion.V2,
            var typed => throw new CommandException(
                "--envelope names no envelope.", $"'{ForeignText.Line(typed)}' is neither v1 nor v2", ExitCode.Usage),
        },
        PacedStreams = parsed.GetValue(Paced) && parsed.GetRequiredValue(Envelope) is "v1"
            ? throw new CommandException("envelope v1 has no paced streams.", "leave out --paced, or --envelope v1", ExitCode.Usage)
            : parsed.GetValue(Paced),
    });

    /// <summary>What a refusal is whose model nobody serves: with the models that there are.</summary>
    public static async Task<CommandException> UnknownModelAsync(ApiException refusal, ConfidentialChatClient client, CancellationToken cancellation)
    {
        var explained = Invocation.Explain(refusal)!;
        try
        {
            var models = (await client.Models.ListAsync(cancellation)).Data.Select(model => ForeignText.Line(model.Id, ModelNames.MaxLength)).ToList();
            return new CommandException(
                explained.Message, models.Count == 0 ? "the gateway offers no model now: start a node" : $"--model takes one of: {string.Join(", ", models)}",
                explained.ExitCode);
        }
        catch (ConfidentialChatException)
        {
            return explained;
        }
    }

    /// <summary>Whether a refusal says that nobody serves the model.</summary>
    public static bool IsUnknownModel(ApiException refusal) => refusal.Code == RequestError.ModelNotFound.Row().Code;

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
        ?? throw new CommandException("the gateway offers no model now.", "start a node; ./cchat models lists what there is", ExitCode.Refused);

    /// <summary>Prints an answer as it comes.</summary>
    /// <param name="client">Asks.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="options">Of this call.</param>
    /// <param name="answer">Gets the text that was printed, also where the answer breaks off; null where nobody asks for it.</param>
    /// <param name="cancellation">Stops the answer.</param>
    public static async Task StreamAsync(
        ConfidentialChatClient client, ChatCompletionRequest request, CallOptions options, StringBuilder? answer, CancellationToken cancellation)
    {
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, options, cancellation))
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

    private static string? NamedKey() =>
        Environment.GetEnvironmentVariable(ConfidentialChatOptions.BearerKeyVariable) is { } text && !string.IsNullOrWhiteSpace(text)
            ? SecretText.WithoutLineEnd(text) : null;

    // The key of this machine's own stack is for this machine's own gateway: another would learn it.
    private static string StoredKey(DirectoryInfo data, Uri? gateway)
    {
        var file = Path.Combine(data.FullName, LocalStack.ApiKeyFile);
        if (gateway is { IsLoopback: true } && ReadKey(file) is { } key)
            return key;
        throw new CommandException(
            "there is no API key.",
            $"export {ConfidentialChatOptions.BearerKeyVariable}=cc_...; \"up\" prints the key, and keeps it in its data directory (--data), where it is found for a gateway on this machine",
            ExitCode.Usage);
    }

    private static string? ReadKey(string file)
    {
        try
        {
            return File.Exists(file) && SecretText.WithoutLineEnd(File.ReadAllText(file)) is { Length: > 0 } key ? key : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException(
                $"{file} cannot be read: {e.Message}", $"export {ConfidentialChatOptions.BearerKeyVariable}=cc_..., or ask as the user who ran \"up\"",
                ExitCode.Usage);
        }
    }

    // The variable is the SDK's to judge where it is no URL.
    private static Uri? Default() => Environment.GetEnvironmentVariable(ConfidentialChatOptions.ServerUrlVariable) is { Length: > 0 } named
        ? Uri.TryCreate(named, UriKind.Absolute, out var url) ? url : null
        : new Uri(LocalGateway);

    private static Option<double?> MakeTemperature()
    {
        var option = new Option<double?>("--temperature") { Description = "0 always takes the likeliest token; up to 2.", HelpName = "T" };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var text }]
                && double.TryParse(
                    text, global::System.Globalization.NumberStyles.Float, global::System.Globalization.CultureInfo.InvariantCulture, out var number)
                && number is not (>= 0 and <= 2))
                result.AddError($"--temperature: '{text}' is not from 0 to 2.");
        });
        return option;
    }
}
