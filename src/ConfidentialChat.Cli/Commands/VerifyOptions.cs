using System.CommandLine;
using System.Globalization;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Cli.Commands;

/// <summary>What all ways of verifying evidence ask for.</summary>
internal static class VerifyOptions
{
    // ISO 8601 and nothing else: 01/02/2026 is two days. Without a zone it is UTC.
    private static readonly string[] Forms = ["yyyy-MM-dd", "yyyy-MM-dd'T'HH:mmK", "yyyy-MM-dd'T'HH:mm:ssK", "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK"];

    public static Option<FileInfo?> Policy() =>
        new("--policy") { Description = "Policy to hold the evidence against. Default: that of \"cchat policy init\".", HelpName = "FILE" };

    public static Option<string?> At() =>
        new("--at") { Description = "Time of verification, 2026-07-04T10:16:31Z for example. Default: now.", HelpName = "TIME" };

    public static Option<bool> Json() => new("--json") { Description = "Print one JSON object instead of lines." };

    public static Option<string?> Hex(string name, string what) => new(name) { Description = $"Expected {what}, hexadecimal.", HelpName = "HEX" };

    public static Policy ReadPolicy(FileInfo? file) =>
        file is null
            ? Attestation.Policies.Policy.Default
            : Attestation.Policies.Policy.Parse(System.Text.Encoding.UTF8.GetString(ReadFile(file, Bounds.Policy)));

    public static DateTimeOffset ReadTime(string? text) =>
        text is null ? TimeProvider.System.GetUtcNow()
        : TryReadTime(text, out var time) ? time
        : throw new CommandException($"--at is no time: {Shown.Text(text)}", "write it like 2026-07-04T10:16:31Z", ExitCode.Usage);

    public static bool TryReadTime(string text, out DateTimeOffset time) => DateTimeOffset.TryParseExact(
        text, Forms, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out time);

    /// <summary>A value of one size; null where the option is not given.</summary>
    /// <param name="name">The option's.</param>
    /// <param name="text">Its value.</param>
    /// <param name="size">In bytes.</param>
    public static byte[]? ReadHex(string name, string? text, int size)
    {
        if (text is null)
            return null;
        var bytes = new byte[size];
        return text.Length == size * 2 && Convert.FromHexString(text, bytes, out _, out _) == System.Buffers.OperationStatus.Done ? bytes
            : throw new CommandException($"{name} is not {size} bytes", $"write {size * 2} hexadecimal digits", ExitCode.Usage);
    }

    /// <summary>The same policy with these factors enforced: what is expected on the command line is demanded, whatever the policy only shows.</summary>
    /// <param name="policy">As it was read.</param>
    /// <param name="expected">Factors, each with the value that was given for it, or null.</param>
    public static Policy Demanding(Policy policy, params IEnumerable<(FactorName Factor, string? Value)> expected) =>
        policy with
        {
            Advisory = policy.Advisory.Except(expected.Where(given => given.Value is not null).Select(given => given.Factor.Value))
                .ToHashSet(StringComparer.Ordinal),
        };

    /// <summary>Intel's collateral from a folder; what is not there is null in it.</summary>
    /// <param name="folder">It has to be there.</param>
    /// <param name="fmspc">The platform, or null where the quote names none.</param>
    public static TdxCollateral ReadCollateral(DirectoryInfo folder, string? fmspc)
    {
        if (!folder.Exists)
            throw new CommandException($"there is no folder {folder}", "name the folder with Intel's collateral", ExitCode.Usage);
        try
        {
            return new CollateralFolder(folder.FullName).Tdx(fmspc);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"cannot read the collateral in {folder}: {e.Message}", "name a folder whose files may be read", ExitCode.Usage);
        }
    }

    /// <summary>A whole file, and one byte more than the bound where it is larger: the verifier then says so.</summary>
    public static byte[] ReadFile(FileInfo file, int bound)
    {
        try
        {
            using var stream = file.OpenRead();
            using var copy = new MemoryStream();
            var buffer = new byte[64 << 10];
            while (copy.Length <= bound && stream.Read(buffer) is > 0 and var read)
                copy.Write(buffer, 0, read);
            return copy.Length <= bound ? copy.ToArray() : copy.GetBuffer()[..(bound + 1)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"cannot read {file}: {e.Message}", "name a file that is there and may be read", ExitCode.Usage);
        }
    }
}
