// spec/attestation.md section 18: versions of drivers and of VBIOSes.
using System.Globalization;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>Versions as NVIDIA writes them, and their order.</summary>
internal static class FirmwareVersion
{
    /// <summary>Five groups of two hexadecimal digits, upper case: 96.00.9F.00.01.</summary>
    public static bool IsVbios(string text) =>
        text.Split('.') is { Length: 5 } groups && Array.TrueForAll(groups, group => group.Length == 2 && group.All(char.IsAsciiHexDigitUpper));

    /// <summary>Two to four decimal groups: 570.124.06.</summary>
    public static bool IsDriver(string text) =>
        text.Split('.') is { Length: >= 2 and <= 4 } groups
        && Array.TrueForAll(groups, group => group.Length is >= 1 and <= 5 && group.All(char.IsAsciiDigit));

    /// <summary>Group by group; a group that is missing is 0. Both are of the same kind.</summary>
    public static bool IsAtLeast(string found, string least)
    {
        var style = IsVbios(least) ? NumberStyles.AllowHexSpecifier : NumberStyles.None;
        var (left, right) = (Groups(found), Groups(least));
        for (var i = 0; i < Math.Max(left.Length, right.Length); i++)
        {
            var (a, b) = (i < left.Length ? left[i] : 0, i < right.Length ? right[i] : 0);
            if (a != b)
                return a > b;
        }

        return true;

        int[] Groups(string text) => [.. text.Split('.').Select(group => int.Parse(group, style, CultureInfo.InvariantCulture))];
    }
}
