using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// Text of JSON, also with half a surrogate pair at an end: engines cut a sign between two chunks, each with an escape of its half, and
/// joined they are whole.
/// </summary>
internal static class JsonText
{
    /// <summary>The text, or the name, at which the reader stands.</summary>
    /// <exception cref="InvalidOperationException">It is no UTF-8.</exception>
    public static string Read(ref readonly Utf8JsonReader reader) =>
        reader.ValueIsEscaped && HasSurrogateEscape(reader.ValueSpan) ? Unescape(reader.ValueSpan) : reader.GetString()!;

    /// <summary>Writes a text so that it is read as what it is.</summary>
    public static void Write(Utf8JsonWriter writer, string text)
    {
        if (!HasHalf(text))
        {
            writer.WriteStringValue(text);
            return;
        }

        var json = new StringBuilder(text.Length + 8).Append('"');
        for (var i = 0; i < text.Length; i++)
        {
            if (i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]))
                json.Append(text[i]).Append(text[++i]);
            else if (char.IsSurrogate(text[i]) || text[i] is < ' ' or '"' or '\\')
                json.Append(CultureInfo.InvariantCulture, $"\\u{(int)text[i]:x4}");
            else
                json.Append(text[i]);
        }

        writer.WriteRawValue(json.Append('"').ToString());
    }

    /// <summary>Writes what was read and kept.</summary>
    public static void Write(Utf8JsonWriter writer, JsonElement element)
    {
        var json = JsonMarshal.GetRawUtf8Value(element);
        if (HasSurrogateEscape(json))
            writer.WriteRawValue(json);
        else
            element.WriteTo(writer);
    }

    private static bool HasSurrogateEscape(ReadOnlySpan<byte> json) => json.IndexOf("\\ud"u8) >= 0 || json.IndexOf("\\uD"u8) >= 0;

    private static bool HasHalf(string text)
    {
        for (var i = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF'); i >= 0 && i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
                continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
                return true;
            i++;
        }

        return false;
    }

    // Of JSON that a reader has read, so that its escapes are whole.
    private static string Unescape(ReadOnlySpan<byte> json)
    {
        var text = new StringBuilder(json.Length);
        while (true)
        {
            var plain = json.IndexOf((byte)'\\');
            if (plain < 0)
                return text.Append(Encoding.UTF8.GetString(json)).ToString();
            text.Append(Encoding.UTF8.GetString(json[..plain]));
            var sign = json[plain + 1];
            text.Append(sign switch
            {
                (byte)'b' => '\b',
                (byte)'f' => '\f',
                (byte)'n' => '\n',
                (byte)'r' => '\r',
                (byte)'t' => '\t',
                (byte)'u' => (char)ushort.Parse(json.Slice(plain + 2, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture),
                _ => (char)sign,
            });
            json = json[(plain + (sign == 'u' ? 6 : 2))..];
        }
    }
}
