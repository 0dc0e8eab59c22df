using System.Globalization;

namespace ConfidentialChat.Bench.WholePath;

/// <summary>What a run measures, and how long.</summary>
internal sealed record RunOptions
{
    public bool IsQuick { get; init; }

    /// <summary>The checkout that this was built from.</summary>
    public required string Root { get; init; }

    /// <summary>Another checkout, measured in the same rounds.</summary>
    public string? Before { get; init; }

    public string? Output { get; init; }

    /// <summary>Parts of the names of the routes that are measured; none for all.</summary>
    public IReadOnlyList<string> Only { get; init; } = [];

    public int Rounds { get; init; } = 5;

    public int Users => IsQuick ? 2 : 16;

    /// <summary>Of each route, before its first round.</summary>
    public TimeSpan WarmUp => TimeSpan.FromSeconds(IsQuick ? 0.4 : 10);

    /// <summary>Calls one after another.</summary>
    public int SequentialCalls => IsQuick ? 20 : 300;

    /// <summary>Calls at <see cref="Connections"/>.</summary>
    public int Calls => IsQuick ? 100 : 1920;

    public const int Connections = 32;

    /// <summary>Streams, of each of two lengths.</summary>
    public int Streams => IsQuick ? 4 : 32;

    public const int StreamConnections = 4;

    public int FirstTokenCalls => IsQuick ? 5 : 60;

    /// <summary>Streams at once.</summary>
    public int Crowd => IsQuick ? 100 : 1000;

    public int CrowdChunks => IsQuick ? 6 : 40;

    public int CrowdPaceMs => IsQuick ? 250 : 500;

    public int Starts => IsQuick ? 1 : 5;

    /// <exception cref="UsageException">An option is unknown or not valid.</exception>
    public static RunOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new RunOptions { Root = Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_ROOT") ?? Environment.CurrentDirectory };
        for (var i = 0; i < arguments.Count; i++)
        {
            options = arguments[i] switch
            {
                "--quick" => options with { IsQuick = true, Rounds = 1 },
                "--before" => options with
                {
                    Before = Directory.Exists(Value())
                        ? Path.GetFullPath(arguments[i])
                        : throw new UsageException($"--before: there is no directory {arguments[i]}"),
                },
                "--output" => options with { Output = Value() },
                "--only" => options with { Only = [.. options.Only, Value()] },
                "--rounds" => options with
                {
                    Rounds = int.TryParse(Value(), NumberStyles.None, CultureInfo.InvariantCulture, out var rounds) && rounds is > 0 and <= 100
                        ? rounds
                        : throw new UsageException($"--rounds: '{arguments[i]}' is not a whole number from 1 to 100"),
                },
                var other => throw new UsageException($"unknown option: {other}"),
            };

            string Value() => i + 1 < arguments.Count ? arguments[++i] : throw new UsageException($"{arguments[i]} takes a value");
        }

        foreach (var root in (string[])[options.Root, .. options.Before is { } before ? [before] : (string[])[]])
        {
            if (!File.Exists(Program(root)))
                throw new UsageException($"{root} is not built: dotnet build src/ConfidentialChat.Cli --configuration Release");
        }

        return options;
    }

    /// <summary>A checkout's <c>cchat</c>, as the build makes it.</summary>
    public static string Program(string root) => Path.Combine(root, "artifacts", "bin", "ConfidentialChat.Cli", "release", "cchat");
}

/// <summary>The call is not valid.</summary>
internal sealed class UsageException(string message) : Exception(message);
