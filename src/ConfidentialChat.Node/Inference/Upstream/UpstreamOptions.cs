// spec/inference.md sections 2 and 3.
using System.Net;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>What serves a model over HTTP. The kinds differ in how a request is kept out of the prefix cache that others see.</summary>
public enum EngineKind
{
    /// <summary>Not known; its prefix cache, if it has one, is everybody's.</summary>
    Unknown,

    /// <summary>A random <c>cache_salt</c> for each request.</summary>
    Vllm,

    /// <summary>Fit where it runs with <c>--disable-radix-cache</c>; the salt is sent besides.</summary>
    Sglang,

    /// <summary>llama.cpp's own server: <c>cache_prompt: false</c>.</summary>
    LlamaServer,

    /// <summary>Has no way to switch its prefix cache off.</summary>
    Ollama,

    /// <summary>Hugging Face's text-embeddings-inference: computes embeddings, keeps nothing.</summary>
    Tei,
}

/// <summary>One model behind one or more OpenAI-compatible servers.</summary>
public sealed record UpstreamOptions
{
    /// <summary>By which callers ask for the model.</summary>
    public required string Model { get; init; }

    /// <summary>By which the engine knows it; null where that is <see cref="Model"/>.</summary>
    public string? EngineModel { get; init; }

    /// <summary>Where the engines are: scheme, host, port and perhaps a path before <c>/v1</c>. All serve the same model.</summary>
    public required IReadOnlyList<Uri> Urls { get; init; }

    /// <summary>Sent as a bearer token; null for none. Never logged.</summary>
    public string? ApiKey { get; init; }

    /// <summary>Null asks each engine what it is.</summary>
    public EngineKind? Kind { get; init; }

    /// <summary>Requests that one engine computes at once.</summary>
    public int MaxConcurrent { get; init; } = 64;

    /// <summary>Until a connection stands.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Until the first token of a stream, the queue of the engine included.</summary>
    public TimeSpan FirstTokenTimeout { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>Between two tokens of a stream. Comments do not count.</summary>
    public TimeSpan TokenTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>For a whole answer, and for a stream from its beginning to its end.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>Between two looks at an engine.</summary>
    public TimeSpan HealthInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Bytes of an answer, whole or streamed.</summary>
    public long MaxAnswerBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>Bytes of one event of a stream.</summary>
    public int MaxEventBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>Engines on other machines: who runs them reads prompts and answers, and with plain HTTP so does whoever is on the way.</summary>
    public bool DangerousRemoteEngine { get; init; }

    /// <summary>Let requests share the engine's prefix cache: by the time that an answer takes, a caller learns what others asked.</summary>
    public bool DangerousSharedPrefixCache { get; init; }

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Reads a kind as operators write it: <c>vllm</c>, <c>sglang</c>, <c>llama-server</c>, <c>ollama</c>, <c>tei</c>.</summary>
    public static bool TryParseKind(string? text, out EngineKind kind)
    {
        kind = text switch
        {
            "vllm" => EngineKind.Vllm,
            "sglang" => EngineKind.Sglang,
            "llama-server" => EngineKind.LlamaServer,
            "ollama" => EngineKind.Ollama,
            "tei" => EngineKind.Tei,
            _ => EngineKind.Unknown,
        };
        return kind != EngineKind.Unknown;
    }

    // A record prints its members; this one holds a secret.
    public override string ToString() => $"{nameof(UpstreamOptions)} {{ {Model} }}";

    /// <summary>Refuses what an engine could not be served with, or not safely.</summary>
    /// <exception cref="UpstreamException">An option is out of range or unsafe.</exception>
    public void Validate()
    {
        Require(
            Model is { Length: > 0 and <= 256 } && EngineModel is null or { Length: > 0 and <= 256 }, "A model's name has from 1 to 256 characters.",
            "name it with --upstream-model NAME");
        Require(
            ForeignText.IsPlain(Model), "The model's name holds a control, a mark of direction or another sign that is not seen, and no gateway takes it.",
            "name it with --upstream-model NAME=ENGINE-NAME where the engine calls it so");
        Require(Urls.Count > 0, "There is no URL of an engine.", "give one with --upstream http://127.0.0.1:8000");
        Require(Urls.Distinct().Count() == Urls.Count, "An engine's URL is given twice.", "give each engine once");
        foreach (var url in Urls)
        {
            Require(
                url.IsAbsoluteUri && (url.Scheme == Uri.UriSchemeHttp || url.Scheme == Uri.UriSchemeHttps)
                    && url.UserInfo.Length == 0 && url.Query.Length == 0 && url.Fragment.Length == 0,
                "An engine's URL is not an http or https URL without user, query and fragment.",
                "write it like http://127.0.0.1:8000, and give a key with --upstream-key-env");
            Require(
                IsLoopback(url) || DangerousRemoteEngine,
                $"The engine at {url.Authority} is on another machine: prompts would leave what a client can check of this node.",
                "run the engine beside the node, or say --dangerous-remote-engine");
        }

        Require(
            ApiKey is null || (ApiKey.Length > 0 && ApiKey.All(c => c is > ' ' and < (char)0x7F)),
            "The engine's API key is empty or holds what a header cannot.", "set the variable of --upstream-key-env to the key alone");
        Require(
            MaxConcurrent > 0 && MaxAnswerBytes > 0 && MaxEventBytes > 0
                && new[] { ConnectTimeout, FirstTokenTimeout, TokenTimeout, AnswerTimeout, HealthInterval }
                    .All(time => time > TimeSpan.Zero && time <= TimeSpan.FromDays(1)),
            "A limit or a time for the engine is out of range.",
            "limits are above zero, times at most a day; leave them out for the defaults");

        // Uri.IsLoopback takes other names too, which a resolver is free to send elsewhere.
        static bool IsLoopback(Uri url) =>
            url.HostNameType is UriHostNameType.IPv4 or UriHostNameType.IPv6
                ? IPAddress.TryParse(url.DnsSafeHost, out var address) && IPAddress.IsLoopback(address)
                : url.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
                    && url.OriginalString.Contains("://localhost", StringComparison.OrdinalIgnoreCase);

        static void Require(bool condition, string message, string hint)
        {
            if (!condition)
                throw new UpstreamException(message, hint);
        }
    }
}

/// <summary>An engine behind HTTP cannot be served as it is configured.</summary>
public sealed class UpstreamException(string message, string hint) : Exception(message)
{
    /// <summary>What to do about it.</summary>
    public string Hint { get; } = hint;
}
