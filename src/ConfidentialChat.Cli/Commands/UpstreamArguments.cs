using System.CommandLine;
using System.Globalization;
using ConfidentialChat.Node.Inference.Upstream;

namespace ConfidentialChat.Cli.Commands;

/// <summary>The options of <c>up</c> and <c>node</c> that name HTTP engines.</summary>
internal sealed class UpstreamArguments
{
    private readonly Option<Uri[]> urls = new("--upstream")
    {
        Description = "OpenAI-compatible server to use as the engine (vLLM, SGLang, llama-server, text-embeddings-inference, ...). Several serve the same model.",
        HelpName = "URL",
        AllowMultipleArgumentsPerToken = true,
        DefaultValueFactory = _ => [],
        CustomParser = argument =>
        {
            var parsed = new List<Uri>();
            foreach (var token in argument.Tokens)
            {
                if (Uri.TryCreate(token.Value, UriKind.Absolute, out var url) && (url.Scheme == Uri.UriSchemeHttp || url.Scheme == Uri.UriSchemeHttps))
                    parsed.Add(url);
                else
                    argument.AddError("--upstream: this is not an http or https URL."); // not shown: there may be a password in it
            }

            return [.. parsed];
        },
    };

    private readonly Option<string?> model = new("--upstream-model")
    {
        Description = "Name of the model at the HTTP engine; NAME=ENGINE_NAME where callers ask for it by another.",
        HelpName = "NAME",
    };

    private readonly Option<string?> keyVariable = new("--upstream-key-env")
    {
        Description = "Environment variable that holds the HTTP engine's API key.",
        HelpName = "VAR",
    };

    private readonly Option<string?> kind = new("--upstream-kind")
    {
        Description = "What the HTTP engine is, where it does not say so itself: vllm, sglang, llama-server, ollama or tei.",
        HelpName = "KIND",
    };

    private readonly Option<int> concurrency = CommonOptions.Positive(
        "--upstream-concurrency", Standard.Upstream.MaxConcurrent, "Requests that each HTTP engine computes at once.");
    private readonly Option<int> connectSeconds = CommonOptions.Positive(
        "--upstream-connect-seconds", Seconds(Standard.Upstream.ConnectTimeout), "How long a connection to an HTTP engine may take.");
    private readonly Option<int> firstTokenSeconds = CommonOptions.Positive(
        "--upstream-first-token-seconds", Seconds(Standard.Upstream.FirstTokenTimeout), "How long an HTTP engine may take to the first token of a stream.");
    private readonly Option<int> tokenSeconds = CommonOptions.Positive(
        "--upstream-token-seconds", Seconds(Standard.Upstream.TokenTimeout), "How long it may take between two tokens.");
    private readonly Option<int> answerSeconds = CommonOptions.Positive(
        "--upstream-answer-seconds", Seconds(Standard.Upstream.AnswerTimeout), "How long it may take for a whole answer.");
    private readonly Option<int> healthSeconds = CommonOptions.Positive(
        "--upstream-health-seconds", Seconds(Standard.Upstream.HealthInterval), "How often it is looked at.");

    private readonly Option<bool> dangerousRemoteEngine = new("--dangerous-remote-engine")
    {
        Description = "Allow an engine on another machine: who runs it reads prompts and answers, and with plain HTTP so does whoever is on the way.",
    };

    private readonly Option<bool> dangerousSharedPrefixCache = new("--dangerous-shared-prefix-cache")
    {
        Description = "Let requests share the HTTP engine's prefix cache: callers can find out by timing what others asked.",
    };

    /// <summary>Every option, for a command to take.</summary>
    public IReadOnlyList<Option> All =>
    [
        urls, model, keyVariable, kind, concurrency, connectSeconds, firstTokenSeconds, tokenSeconds, answerSeconds, healthSeconds,
        dangerousRemoteEngine, dangerousSharedPrefixCache,
    ];

    /// <summary>The variable that holds the engine's key; null where none was named.</summary>
    public string? KeyVariable(ParseResult parsed) => parsed.GetValue(keyVariable);

    /// <summary>What was named; null where there is no HTTP engine.</summary>
    /// <exception cref="CommandException">An option is missing or not valid.</exception>
    /// <exception cref="UpstreamException">The engine cannot be served, or not safely.</exception>
    public UpstreamOptions? Read(ParseResult parsed)
    {
        var named = parsed.GetValue(urls)!;
        if (named.Length == 0)
        {
            return parsed.GetValue(model) is null && parsed.GetValue(keyVariable) is null
                ? null
                : throw new CommandException("--upstream is missing.", "name the engine: --upstream http://127.0.0.1:8000", ExitCode.Usage);
        }

        var name = parsed.GetValue(model)
            ?? throw new CommandException("--upstream-model is missing.", "name the model that the engine serves: --upstream-model NAME", ExitCode.Usage);
        var names = name.Split('=', 2);
        var options = new UpstreamOptions
        {
            Model = names[0],
            EngineModel = names.Length == 2 ? names[1] : null,
            Urls = named,
            ApiKey = Key(parsed.GetValue(keyVariable)),
            Kind = Kind(parsed.GetValue(kind)),
            MaxConcurrent = parsed.GetValue(concurrency),
            ConnectTimeout = TimeSpan.FromSeconds(parsed.GetValue(connectSeconds)),
            FirstTokenTimeout = TimeSpan.FromSeconds(parsed.GetValue(firstTokenSeconds)),
            TokenTimeout = TimeSpan.FromSeconds(parsed.GetValue(tokenSeconds)),
            AnswerTimeout = TimeSpan.FromSeconds(parsed.GetValue(answerSeconds)),
            HealthInterval = TimeSpan.FromSeconds(parsed.GetValue(healthSeconds)),
            DangerousRemoteEngine = parsed.GetValue(dangerousRemoteEngine),
            DangerousSharedPrefixCache = parsed.GetValue(dangerousSharedPrefixCache),
        };
        options.Validate();
        return options;
    }

    /// <summary>The same options for a child; of the key only its variable's name.</summary>
    public IReadOnlyList<string> Forward(ParseResult parsed)
    {
        var arguments = new List<string>();
        foreach (var url in parsed.GetValue(urls)!)
            arguments.AddRange([urls.Name, url.ToString()]);
        Add(model);
        Add(keyVariable);
        Add(kind);
        foreach (var number in (Option<int>[])[concurrency, connectSeconds, firstTokenSeconds, tokenSeconds, answerSeconds, healthSeconds])
        {
            if (parsed.GetResult(number) is { Implicit: false })
                arguments.AddRange([number.Name, parsed.GetValue(number).ToString(CultureInfo.InvariantCulture)]);
        }

        foreach (var flag in (Option<bool>[])[dangerousRemoteEngine, dangerousSharedPrefixCache])
        {
            if (parsed.GetValue(flag))
                arguments.Add(flag.Name);
        }

        return arguments;

        void Add(Option<string?> option)
        {
            if (parsed.GetValue(option) is { } value)
                arguments.AddRange([option.Name, value]);
        }
    }

    private static int Seconds(TimeSpan time) => (int)time.TotalSeconds;

    private static string? Key(string? variable)
    {
        if (variable is null)
            return null;
        return CommonOptions.Secret(variable) is { } key
            ? key
            : throw new CommandException(
                $"the environment variable {variable} is not set.",
                "export the engine's API key in it; --upstream-key-env takes the variable's name, never the key", ExitCode.Usage);
    }

    private static EngineKind? Kind(string? text)
    {
        if (text is null)
            return null;
        return UpstreamOptions.TryParseKind(text, out var kind)
            ? kind
            : throw new CommandException($"'{text}' is no kind of engine.", "vllm, sglang, llama-server, ollama or tei", ExitCode.Usage);
    }
}
