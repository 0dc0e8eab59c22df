// The scripted engine as a process: ConfidentialChat.ScriptedEngine [--port N] [--script FILE.json]
// One JSON line on standard output says where it listens; it runs until SIGTERM or until its standard input ends.
using System.Text.Json;
using ConfidentialChat.Scripting;

var port = 0;
var script = new EngineScript();
for (var i = 0; i + 1 < args.Length; i += 2)
{
    switch (args[i])
    {
        case "--port":
            port = int.Parse(args[i + 1], System.Globalization.CultureInfo.InvariantCulture);
            break;
        case "--script":
            script = EngineScript.Parse(await File.ReadAllBytesAsync(args[i + 1]));
            break;
        default:
            await Console.Error.WriteLineAsync($"error: unknown option {args[i]}\nhint: --port N, --script FILE.json");
            return 2;
    }
}

await using var engine = await ScriptedEngine.StartAsync(script, port);
Console.WriteLine(JsonSerializer.Serialize(new { url = engine.Url.ToString().TrimEnd('/') }));
using var stopped = new CancellationTokenSource();
using var terminated = System.Runtime.InteropServices.PosixSignalRegistration.Create(System.Runtime.InteropServices.PosixSignal.SIGTERM, signal =>
{
    signal.Cancel = true;
    stopped.Cancel();
});
try
{
    var buffer = new byte[256];
    await using var input = Console.OpenStandardInput();
    while (await input.ReadAsync(buffer, stopped.Token) > 0)
    {
    }
}
catch (OperationCanceledException)
{
}

return 0;
