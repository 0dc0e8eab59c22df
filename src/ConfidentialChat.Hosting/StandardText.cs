// docs/operating.md, "Output".
using System.Text;

namespace ConfidentialChat.Hosting;

/// <summary>
/// The encoding of the standard streams: UTF-8 without a mark for files and other programs, whatever the locale says, and a terminal's own for a
/// terminal. Under Latin-1 a name in Greek would be question marks in what a program reads.
/// </summary>
internal static class StandardText
{
    private static readonly Encoding Utf8 = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);

    /// <summary>Before anything is written.</summary>
    public static void UseUtf8()
    {
        if (Console.IsInputRedirected)
            Console.InputEncoding = Utf8;

        // There is one setting for both; a writer that has been set keeps what it was made with.
        var own = Console.OutputEncoding;
        if (Console.IsErrorRedirected)
            Console.OutputEncoding = Utf8;
        Console.SetError(Console.Error);
        Console.OutputEncoding = Console.IsOutputRedirected ? Utf8 : own;
    }
}
