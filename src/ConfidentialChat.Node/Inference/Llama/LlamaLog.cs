using System.Runtime.InteropServices;
using System.Text;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>What llama.cpp says of itself: nothing, but for the errors while a model is loaded.</summary>
/// <remarks>A model is loaded before the first prompt, on the thread that asks for it, so what is kept cannot hold content.</remarks>
internal static unsafe class LlamaLog
{
    private const int KeptMax = 2000; // characters

    [ThreadStatic]
    private static StringBuilder? t_errors;

    public static void Silence() => LlamaNative.SetLog(&Receive, 0);

    /// <summary>Keeps this thread's errors until <see cref="EndCapture"/>.</summary>
    public static void BeginCapture() => t_errors = new StringBuilder();

    /// <summary>The errors, in one line; empty where there was none.</summary>
    public static string EndCapture()
    {
        var errors = t_errors?.ToString() ?? "";
        t_errors = null;
        return string.Join("; ", errors.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }

    [UnmanagedCallersOnly]
    private static void Receive(LlamaNative.LogLevel level, byte* text, nint data)
    {
        // No exception may leave: the caller is C.
        try
        {
            if (t_errors is { Length: < KeptMax } errors && level == LlamaNative.LogLevel.Error && text is not null)
                errors.Append(Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text)));
        }
        catch (OutOfMemoryException)
        {
        }
    }
}
