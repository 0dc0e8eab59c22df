using System.CommandLine;
using System.Net;
using ConfidentialChat.Gateway;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary>Options that more than one command takes, each with its own rule of what is valid.</summary>
internal static class CommonOptions
{
    /// <summary>Bytes of a mebibyte.</summary>
    public const long Mib = 1024 * 1024;

    public static Option<int> Port(string name, int standard, string description) => Checked(
        new Option<int>(name) { Description = description, DefaultValueFactory = _ => standard, HelpName = "N" },
        port => port is >= 0 and <= 65535 ? null : "is not a port from 0 to 65535");

    public static Option<int> Positive(string name, int standard, string description) => Checked(
        new Option<int>(name) { Description = description, DefaultValueFactory = _ => standard, HelpName = "N" },
        number => number > 0 ? null : "is not a whole number above zero");

    public static Option<int> Between(string name, int least, int most, int standard, string description) => Checked(
        new Option<int>(name) { Description = $"{description} From {least} to {most}.", DefaultValueFactory = _ => standard, HelpName = "N" },
        number => number >= least && number <= most ? null : $"is not a whole number from {least} to {most}");

    /// <summary>A secret from a variable; a file that was read into it may have left one line break at its end. Null where there is none.</summary>
    public static string? Secret(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? SecretText.WithoutLineEnd(text) : null;

    public static Option<Uri?> Url(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "URL",
        CustomParser = argument =>
        {
            var text = argument.Tokens[0].Value;
            if (Uri.TryCreate(text, UriKind.Absolute, out var url) && (url.Scheme == Uri.UriSchemeHttp || url.Scheme == Uri.UriSchemeHttps))
                return url;
            argument.AddError($"{name}: '{text}' is not an http or https URL.");
            return null;
        },
    };

    public static Option<IPAddress> Listen(IPAddress standard) => new("--listen")
    {
        Description = "Address to listen on. Other than loopback it needs TLS.",
        HelpName = "IP",
        DefaultValueFactory = _ => standard,
        CustomParser = argument =>
        {
            var text = argument.Tokens[0].Value;
            if (IPAddress.TryParse(text, out var address))
                return address;
            argument.AddError($"--listen: '{text}' is not an IP address: 127.0.0.1, ::1, 0.0.0.0 or one of this machine, as the gateway is told exactly one.");
            return standard;
        },
    };

    /// <summary>Where a server keeps what it has; commands that look into it take one that is there.</summary>
    public static Option<DirectoryInfo> Data(string subject, bool made = false) => new("--data")
    {
        Description = $"Directory for {subject}{(made ? "; made where it is missing" : "")}.",
        HelpName = "DIR",
        DefaultValueFactory = _ => new DirectoryInfo(DefaultDataDirectory()),
    };

    /// <summary>Holds the connection to a PostgreSQL server, its password too.</summary>
    public const string PostgresVariable = "CONFIDENTIALCHAT_POSTGRES";

    /// <summary>For <c>gateway</c> and the commands beside it; <see cref="ReadPostgres"/> has its value.</summary>
    public static Option<string?> Postgres() => new("--postgres")
    {
        Description = $"PostgreSQL server that has the gateway's database, like \"Host=db.example;Database=cchat;Username=cchat\". Default: {PostgresVariable}; without that a file under --data.",
        HelpName = "CONNECTION",
    };

    /// <summary>What the option names, else the variable; null where both are silent.</summary>
    /// <exception cref="CommandException">The argument holds a password.</exception>
    public static string? ReadPostgres(ParseResult parsed, Option<string?> option)
    {
        if (parsed.GetValue(option) is not { Length: > 0 } written)
            return Secret(PostgresVariable);
        return !GatewayOperator.HasPassword(written)
            ? written
            : throw new CommandException(
                $"{option.Name} holds a password, which other users of this machine can read in its arguments.",
                $"put the connection into {PostgresVariable}, or the password into a file (mode 0600) that Passfile=FILE names", ExitCode.Usage);
    }

    public static Option<FileInfo?> Model() => new("--model")
    {
        Description = "Model to serve, a GGUF file with a chat template.",
        HelpName = "FILE.gguf",
    };

    /// <summary>For <c>gateway</c> and <c>node</c>.</summary>
    public static Option<int> Connections(int standard) => Between(
        "--max-connections", ConnectionLimits.LeastMost, 1_000_000, standard,
        "Connections at once; for a further one the one goes that has been silent for longest.");

    /// <inheritdoc cref="Connections"/>
    public static Option<int> DrainSeconds(TimeSpan standard) => Between(
        "--drain-seconds", 0, 3600, (int)standard.TotalSeconds, "How long answers in flight may take to end after SIGTERM.");

    /// <summary>For <c>gateway</c> and <c>node</c>. Its default, which depends on the machine, is not in the help as a number.</summary>
    public static Option<int?> MaxBufferedMib() => Checked(
        new Option<int?>("--max-buffered-mib")
        {
            Description = "MiB of memory that request bodies may take, all together; beyond it 429. "
                + "By itself a quarter of the memory that this process may use, at most 1024.",
            HelpName = "N",
        },
        number => number > 0 ? null : "is not a whole number above zero");

    public static Option<bool> LogRequests() => new("--log-requests") { Description = "Log a line also for each request that went well." };

    public static Option<bool> Fixture() => new("--fixture")
    {
        Description = "Without --model: serve the fixture of the tests, which gives one answer to everything, known to the character.",
    };

    public static Option<DirectoryInfo?> EngineDirectory() => new("--engine-dir")
    {
        Description = "Directory with llama.cpp's native library, for machines without a network.",
        HelpName = "DIR",
    };

    public static Option<bool> DangerousPlainHttp() => new("--dangerous-plain-http")
    {
        Description = "Allow plain HTTP beyond loopback: whoever is on the way sees keys and ciphertext.",
    };

    /// <summary>$XDG_DATA_HOME/confidentialchat, or its place under the home directory.</summary>
    private static string DefaultDataDirectory() => Path.Combine(
        Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "confidentialchat");

    // A token that is no number is the parser's to complain about.
    private static Option<T> Checked<T>(Option<T> option, Func<int, string?> fault)
    {
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var text }] && int.TryParse(text, out var number) && fault(number) is { } what)
                result.AddError($"{option.Name}: '{text}' {what}.");
        });
        return option;
    }
}
