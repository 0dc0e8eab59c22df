using System.Diagnostics;
using System.Security.Cryptography;
using ConfidentialChat.Tests;

namespace ConfidentialChat.Fuzz;

/// <summary>The inputs that guided fuzzing begins with and has found, <c>test/Fuzz/corpus/TARGET/*</c>.</summary>
internal static class Corpus
{
    /// <summary>For one input, on a machine that does other things as well.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(5);

    // Set by test/Fuzz/fuzz.sh --seeds.
    private static readonly string? Folder = Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_WRITE_SEEDS");

    /// <summary>Every input goes through the target, in time. A failure names the file.</summary>
    public static void Run(string target, Action<byte[]> check)
    {
        var files = Directory.GetFiles(Path.Combine(Tree.Root, "test", "Fuzz", "corpus", target)).Order(StringComparer.Ordinal).ToList();
        if (files.Count == 0)
            throw new InvalidOperationException($"no input of {target}");
        foreach (var file in files)
        {
            var clock = Stopwatch.StartNew();
            try
            {
                check(File.ReadAllBytes(file));
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"{target}/{Path.GetFileName(file)}", e);
            }

            if (clock.Elapsed > Limit)
                throw new TimeoutException($"{target}/{Path.GetFileName(file)}: {clock.Elapsed}");
        }
    }

    /// <summary>Seeds go through the target as well, and are written where they are asked for, each in a file that is named for its content.</summary>
    public static void Seed(string target, Action<byte[]> check, params IEnumerable<byte[]> seeds)
    {
        foreach (var seed in seeds)
        {
            check(seed);
            if (Folder is not null)
            {
                var folder = Directory.CreateDirectory(Path.Combine(Folder, target)).FullName;
                File.WriteAllBytes(Path.Combine(folder, Convert.ToHexStringLower(SHA256.HashData(seed).AsSpan(0, 6))), seed);
            }
        }
    }
}
