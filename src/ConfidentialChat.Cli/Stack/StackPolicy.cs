// spec/attestation.md sections 10 and 14.
using System.Text;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Cli.Commands;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Cli.Stack;

/// <summary>The policy that <c>up</c> keeps beside the API key, for who asks its own node: simulated evidence and nothing else.</summary>
internal static class StackPolicy
{
    /// <summary>In the data directory.</summary>
    public const string FileName = "policy.toml";

    private const int MaxFile = 64 * 1024; // bytes; what is larger was not written here
    private const string DigestLine = "# SHA-256 of all other lines: ";

    private const string Head =
        """
        # Made by "cchat up" for the node that it runs on this machine. It accepts SIMULATED EVIDENCE, WHICH PROTECTS NOTHING:
        # whoever runs a node that is asked under this policy can read prompts and answers. One for real nodes: ./cchat policy init
        # "cchat up" writes this file anew for as long as it is as "cchat up" wrote it; one that was changed stays.

        """;

    /// <summary>What the node of <c>up</c> says of itself, and no more. A simulated processor measures nothing: no program can be pinned.</summary>
    /// <param name="upstream">The HTTP engines that it uses; null for none.</param>
    public static Policy For(UpstreamOptions? upstream) => new()
    {
        Tees = [],
        AllowSimulated = true,
        MaxLifetime = Standard.Node.KeyLifetime + Standard.Node.KeyGrace,
        Upstreams = [.. upstream?.Urls.Select(url => url.GetLeftPart(UriPartial.Path)) ?? []],
        DangerousOptions =
        [
            .. upstream is { DangerousRemoteEngine: true } ? ["remote-engine"] : Array.Empty<string>(),
            .. upstream is { DangerousSharedPrefixCache: true } ? ["shared-prefix-cache"] : Array.Empty<string>(),
        ],
    };

    /// <summary>Writes it, readable by its owner only, unless another than this program wrote what is there.</summary>
    /// <returns>The file's path.</returns>
    public static string Keep(string directory, Policy policy, Action<string> progress)
    {
        var file = Path.Combine(directory, FileName);
        if (File.Exists(file) && !IsAsWritten(file))
            progress($"policy: {file} is not as \"up\" wrote it, and stays; delete it for a new one");
        else
            PrivateFile.Write(file, Encoding.UTF8.GetBytes(Text(policy)));
        return file;
    }

    private static string Text(Policy policy)
    {
        var body = policy.ToToml();
        return $"{Head}{DigestLine}{Digest(Head + body)}\n{body}";
    }

    // By the digest and not by the text: another version's may have other words in it.
    private static bool IsAsWritten(string file)
    {
        if (new FileInfo(file).Length > MaxFile)
            return false;
        var text = File.ReadAllText(file);
        var line = text.IndexOf(DigestLine, StringComparison.Ordinal);
        if (line < 0 || text.IndexOf('\n', line) is var end && end < 0)
            return false;
        return text[(line + DigestLine.Length)..end] == Digest(text[..line] + text[(end + 1)..]);
    }

    private static string Digest(string text) => Convert.ToHexStringLower(Sha256.Hash(Encoding.UTF8.GetBytes(text)));
}
