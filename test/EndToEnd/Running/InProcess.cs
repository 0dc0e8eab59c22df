using System.Text;
using ConfidentialChat.Cli;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>
/// <c>cchat</c> within the process of the tests: what it says of its arguments and of files needs no start of a process. Not for
/// what serves, reads standard input, or takes a secret from its environment: these are the process's own.
/// </summary>
internal static class InProcess
{
    // Its options are one set of objects for the whole process.
    private static readonly SemaphoreSlim Turn = new(1);
    private static readonly Said Output = new(Console.Out);
    private static readonly Said Errors = new(Console.Error);

    static InProcess()
    {
        Console.SetOut(Output);
        Console.SetError(Errors);
    }

    public static async Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] arguments)
    {
        await Turn.WaitAsync(TestContext.Current.CancellationToken);
        try
        {
            return await Task.Run(() =>
            {
                var (output, errors) = (Output.Begin(), Errors.Begin());
                var exitCode = (int)typeof(ExitCode).Assembly.EntryPoint!.Invoke(null, [arguments])!;
                return (exitCode, output.ToString(), errors.ToString());
            });
        }
        finally
        {
            Turn.Release();
        }
    }

    /// <summary>The console of one flow of control; of all others it is what it was.</summary>
    private sealed class Said(TextWriter console) : TextWriter
    {
        private readonly AsyncLocal<StringWriter?> said = new();

        public override Encoding Encoding => console.Encoding;

        public StringWriter Begin() => said.Value = new StringWriter();

        public override void Write(char value) => (said.Value ?? console).Write(value);

        public override void Write(string? value) => (said.Value ?? console).Write(value);

        public override void Write(char[] buffer, int index, int count) => (said.Value ?? console).Write(buffer, index, count);

        public override void Write(ReadOnlySpan<char> buffer) => (said.Value ?? console).Write(buffer);

        public override void Flush() => (said.Value ?? console).Flush();
    }
}
