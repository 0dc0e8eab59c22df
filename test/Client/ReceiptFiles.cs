using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace ConfidentialChat.Client.Tests;

/// <summary>Receipt files in the hands of somebody who changes them and knows how they are written.</summary>
internal static class ReceiptFiles
{
    public static byte[] Part(string file, string part) => Convert.FromBase64String(Regex.Match(file, $"\"{part}\":\"([^\"]*)\"").Groups[1].Value);

    public static byte[] With(string file, string part, byte[] value) =>
        Digested(Regex.Replace(file, $"\"{part}\":\"[^\"]*\"", $"\"{part}\":\"{Convert.ToBase64String(value)}\""));

    /// <summary>Under a digest that fits.</summary>
    public static byte[] Digested(string file)
    {
        var end = file.IndexOf(",\"sha256\":\"", StringComparison.Ordinal);
        if (end < 0)
            return Encoding.UTF8.GetBytes(file);
        var digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(file[..end])));
        return Encoding.UTF8.GetBytes($"{file[..end]},\"sha256\":\"{digest}\"}}\n");
    }
}
