// spec/envelope-v2.md section 3.
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace ConfidentialChat.Protocol.V2;

/// <summary>A model's name as the value of a header: bytes of UTF-8 that are no visible ASCII, and the percent sign, are percent-encoded.</summary>
public static class ModelText
{
    private const int MaxLength = 256 * 9; // of a name of 256 UTF-16 units

    public static string Write(string model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (model.All(sign => sign is > ' ' and <= '~' and not '%'))
            return model;
        var text = new StringBuilder(model.Length * 3);
        foreach (var octet in Encoding.UTF8.GetBytes(model))
        {
            if (octet is > (byte)' ' and <= (byte)'~' and not (byte)'%')
                text.Append((char)octet);
            else
                text.Append('%').Append(octet.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
        }

        return text.ToString();
    }

    /// <summary>Reads it in its one spelling.</summary>
    public static bool TryRead(string? text, [NotNullWhen(true)] out string? model)
    {
        model = null;
        if (text is not { Length: > 0 and <= MaxLength })
            return false;
        var read = text.Contains('%', StringComparison.Ordinal) ? Uri.UnescapeDataString(text) : text;
        if (!string.Equals(Write(read), text, StringComparison.Ordinal))
            return false;
        model = read;
        return true;
    }
}
