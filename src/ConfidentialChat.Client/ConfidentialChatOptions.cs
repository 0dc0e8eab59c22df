using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>How a <see cref="ConfidentialChatClient"/> reaches its gateway. Its text never shows the key.</summary>
public sealed record ConfidentialChatOptions
{
    /// <summary>Where <see cref="BearerKey"/> comes from when it is null.</summary>
    public const string BearerKeyVariable = "CONFIDENTIALCHAT_API_KEY";

    /// <summary>Where <see cref="ServerUrl"/> comes from when it is null.</summary>
    public const string ServerUrlVariable = "CONFIDENTIALCHAT_SERVER_URL";

    /// <summary>Where <see cref="PolicyFile"/> comes from when neither it nor <see cref="Policy"/> is there.</summary>
    public const string PolicyVariable = "CONFIDENTIALCHAT_POLICY";

    /// <summary>
    /// The API key at the gateway. Null takes the environment's <see cref="BearerKeyVariable"/>; one
    /// line break at the end of that, as a file has it, is no part of the key.
    /// </summary>
    public string? BearerKey { get; init; }

    /// <summary>
    /// The gateway: scheme, host, and a path where it lies below one; a slash or <c>/v1</c> at its end changes nothing.
    /// Null takes the environment's <see cref="ServerUrlVariable"/>. There is no default: who the gateway is, is the caller's choice.
    /// </summary>
    public Uri? ServerUrl { get; init; }

    /// <summary>
    /// Which nodes are sealed to. Null takes the file that <see cref="PolicyFile"/> or the environment's <see cref="PolicyVariable"/> names, read once
    /// for each client; without one it is <see cref="Policy.Default"/>, which accepts no program that it does not know.
    /// </summary>
    public Policy? Policy { get; init; }

    /// <summary>
    /// The name of a file in TOML with the policy, in the place of <see cref="Policy"/>. Null takes the environment's <see cref="PolicyVariable"/>.
    /// </summary>
    public string? PolicyFile { get; init; }

    /// <summary>How requests are sealed. Neither is a way out where the other fails.</summary>
    public EnvelopeVersion Envelope { get; init; } = EnvelopeVersion.V2;

    /// <summary>
    /// Every answer has to bring a receipt of its node, which is verified against request, answer and evidence once the answer has been read to its
    /// end; one without fails there with <see cref="ReceiptException"/>. Request and answer stay in memory meanwhile. Envelope v1 has none.
    /// </summary>
    public bool RequireReceipts { get; init; }

    /// <summary>
    /// Streams in chunks of one size, one every 100 ms and filled where nothing waits: pace and number of tokens do not show while they run, at some
    /// 40 KB a second and up to a tenth of a second's delay. Of envelope v2 alone; spec/envelope-v2.md section 12.
    /// </summary>
    public bool PacedStreams { get; init; }

    /// <summary>
    /// From the call to the answer's first byte, of a stream to its first event: the lock, every attempt and the waits
    /// between them included. <see cref="System.Threading.Timeout.InfiniteTimeSpan"/> waits for ever.
    /// </summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// The longest wait for an event of a stream after the first, and for the next bytes of a whole answer that has begun.
    /// Keep-alive comments are no events. The time that the caller takes between two events does not count.
    /// </summary>
    public TimeSpan EventTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>When a call that failed is made again. By default only what was certainly not charged.</summary>
    public RetryConfig Retries { get; init; } = RetryConfig.Default;

    /// <summary>Measures the timeouts and the waits between attempts.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>
    /// Sends the requests; the caller keeps it and disposes of it. Its own timeout, redirects, proxies and cookies then apply:
    /// turn redirects and cookies off. Null makes one that has neither, and that goes with the client.
    /// </summary>
    public HttpClient? HttpClient { get; init; }

    /// <summary>Allows plain HTTP to other hosts than loopback: anyone on the way then sees the key and every size and time.</summary>
    public bool DangerousPlainHttp { get; init; }

    /// <summary>Says what a client would say of them, without making one: a program's start is the time to hear it.</summary>
    /// <exception cref="ConfigurationException">There is no usable key, gateway or policy.</exception>
    public void Validate()
    {
        RequireBearerKey();
        RequireServerUrl();
        RequirePolicy();
    }

    public override string ToString() => $"{nameof(ConfidentialChatOptions)} {{ {nameof(ServerUrl)} = {ServerUrl} }}";

    // The key as it goes into a header: visible ASCII, or the header could be split.
    internal string RequireBearerKey()
    {
        var key = BearerKey ?? SecretText.WithoutLineEnd(Environment.GetEnvironmentVariable(BearerKeyVariable) ?? "");
        if (string.IsNullOrWhiteSpace(key))
            throw Missing("API key", nameof(BearerKey), BearerKeyVariable);
        if (!SecretText.IsPlain(key))
            throw new ConfigurationException("The API key holds a sign that no key has.\nhint: look for blanks, quotes and line breaks around it.");
        return key;
    }

    // Ends with a slash, so that paths append to it.
    internal Uri RequireServerUrl()
    {
        var url = ServerUrl;
        if (url is null && Environment.GetEnvironmentVariable(ServerUrlVariable) is { Length: > 0 } text
            && !Uri.TryCreate(text, UriKind.Absolute, out url))
            throw new ConfigurationException($"{ServerUrlVariable} is not an absolute URL.");
        if (url is null)
            throw Missing("gateway", nameof(ServerUrl), ServerUrlVariable);
        if (!url.IsAbsoluteUri || (url.Scheme != Uri.UriSchemeHttps && url.Scheme != Uri.UriSchemeHttp)
            || url.Query.Length > 0 || url.Fragment.Length > 0 || url.UserInfo.Length > 0)
            throw new ConfigurationException($"{nameof(ServerUrl)} is to be http or https, absolute, without user, query or fragment.");
        if (url.Scheme == Uri.UriSchemeHttp && !url.IsLoopback && !DangerousPlainHttp)
        {
            throw new ConfigurationException(
                $"{nameof(ServerUrl)} is plain HTTP to another host, where anyone on the way sees the API key."
                + $"\nhint: use https; {nameof(DangerousPlainHttp)} allows it all the same.");
        }

        var path = url.AbsolutePath.TrimEnd('/');
        if (path.EndsWith("/v1", StringComparison.Ordinal))
            path = path[..^3];
        return new UriBuilder(url) { Path = path + "/" }.Uri;
    }

    internal NodeJudge RequireJudge() => new(new BundleVerifier(), RequirePolicy(), TimeProvider);

    private Policy RequirePolicy()
    {
        if (Policy is not null && PolicyFile is not null)
            throw new ConfigurationException($"{nameof(Policy)} and {nameof(PolicyFile)} both say which nodes are sealed to: one of them can.");
        if (Policy is not null)
            return Policy;
        if ((PolicyFile ?? Environment.GetEnvironmentVariable(PolicyVariable)) is not { Length: > 0 } path)
            return PolicyFile is null ? Policy.Default : throw new ConfigurationException($"{nameof(PolicyFile)} names no file.");
        var source = PolicyFile is null ? PolicyVariable : nameof(PolicyFile);
        var file = ForeignText.Line(path);
        try
        {
            using var stream = File.OpenRead(path);
            var bytes = new byte[Bounds.Policy + 1];
            var read = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return Policy.Parse(new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes.AsSpan(0, read)));
        }
        catch (PolicyException e)
        {
            throw new ConfigurationException($"{e.Message}.\nhint: in {file}, which {source} names: {e.Hint}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new ConfigurationException($"The policy cannot be read.\nhint: {source} names {file}: look whether it is there and is text in UTF-8.");
        }
    }

    private static ConfigurationException Missing(string what, string option, string variable) =>
        new($"There is no {what}.\nhint: set {option}, or {variable} in the environment.");
}

/// <summary>How a request is sealed to a node.</summary>
public enum EnvelopeVersion
{
    /// <summary>spec/envelope-v1.md: the content is sealed, path, sizes and kind of answer are not.</summary>
    V1 = 1,

    /// <summary>spec/envelope-v2.md: all of a request and its answer is sealed, padded, to a post-quantum key.</summary>
    V2 = 2,
}
