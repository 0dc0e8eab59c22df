// spec/binary-http.md section 8.1.
using System.Buffers;

namespace ConfidentialChat.Protocol.Shape;

/// <summary>The zeros behind a whole message: a request, or an answer that is no stream.</summary>
public static class MessagePadding
{
    /// <summary>No padded message is smaller, in bytes.</summary>
    public const int MinSize = 2_048;

    /// <summary>The size of a message of <paramref name="size"/> bytes with its padding: <c>max(2048, Padmé(size))</c>.</summary>
    public static int PaddedSize(int size) => Math.Max(MinSize, Padme.Length(size));

    /// <summary>Writes the zeros that belong behind a message of <paramref name="size"/> bytes.</summary>
    public static void Write(IBufferWriter<byte> output, int size)
    {
        ArgumentNullException.ThrowIfNull(output);
        for (var missing = PaddedSize(size) - size; missing > 0;)
        {
            var span = output.GetSpan(1);
            span = span[..Math.Min(span.Length, missing)];
            span.Clear();
            output.Advance(span.Length);
            missing -= span.Length;
        }
    }
}
