using System.Text.Json;

namespace ConfidentialChat.Tests;

/// <summary>
/// The shared test vectors: language-free files beside the repository, in <c>../shared/vectors</c>, or wherever
/// <see cref="Variable"/> says. Where nothing says anything and nothing lies there, the tests that need them are skipped;
/// where the variable promises them, an absent file is a failure.
/// </summary>
internal static class Vectors
{
    public const string Variable = "CONFIDENTIALCHAT_VECTORS";

    /// <summary>One file as JSON.</summary>
    public static JsonElement Json(string path) => JsonElement.Parse(File.ReadAllText(Locate(path)));

    /// <summary>One file as text.</summary>
    public static string Text(string path) => File.ReadAllText(Locate(path));

    /// <summary>The files of a folder in the order of their names.</summary>
    public static IReadOnlyList<string> Files(string folder, string pattern)
    {
        var files = Directory.GetFiles(Locate(folder), pattern);
        Array.Sort(files, StringComparer.Ordinal);
        files.ShouldNotBeEmpty($"no {pattern} in {folder}");
        return files;
    }

    /// <summary>
    /// The sets of a folder are these: one that is missing is a failure. Another one has come since, and has no rows yet:
    /// a warning, for the vectors grow beside the repository.
    /// </summary>
    public static void HaveRows(string folder, IEnumerable<string> known)
    {
        var present = Directory.GetDirectories(Locate(folder))
            .Where(set => File.Exists(Path.Combine(set, "expected.json"))).Select(set => Path.GetFileName(set)!).ToHashSet(StringComparer.Ordinal);
        var sets = known.ToHashSet(StringComparer.Ordinal);
        sets.Except(present).ShouldBeEmpty($"sets of {folder} that have rows and are not there");
        foreach (var set in present.Except(sets).Order(StringComparer.Ordinal))
            Warnings.Add($"vectors: {folder}/{set} is new: no test has a row for it");
    }

    public static byte[] Hex(this JsonElement vector, string member) => Convert.FromHexString(vector.GetProperty(member).GetString()!);

    public static string String(this JsonElement vector, string member) => vector.GetProperty(member).GetString()!;

    /// <summary>Where a file or folder of them is.</summary>
    public static string Locate(string path)
    {
        var promised = Environment.GetEnvironmentVariable(Variable);
        var root = string.IsNullOrEmpty(promised) ? Path.GetFullPath(Path.Combine(Tree.Root, "..", "shared", "vectors")) : promised;
        Assert.SkipWhen(
            string.IsNullOrEmpty(promised) && !Directory.Exists(root),
            $"vectors absent: no folder ../shared/vectors beside the repository, and {Variable} is not set");
        return Path.Combine(root, path);
    }
}
