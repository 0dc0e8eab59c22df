// What ./bench.sh runs: the load and what it is sent through. bench/README.md says how it measures.
using ConfidentialChat.Bench.WholePath;
using ConfidentialChat.Bench.WholePath.Servers;

const string usage = """
    Usage: ./bench.sh [--quick] [--before DIR] [--output FILE]

    Measures the whole path, hop by hop, in one run.

      --quick         in a minute: that everything runs. Neither peers nor many rounds; no file is written.
      --before DIR    another checkout, built in Release: its gateway and node are measured in the same rounds.
      --output FILE   where the results go. Default of a full run: bench/results/DATE.json
      --only TEXT     only the routes whose name has this text, or, after =, is it; given again, these too. A crowd's title begins so: '1000 streams: gateway'. No goals are judged.
      --rounds N      rounds of a full run; default 5.

    Exit codes: 0 every measurement ran, 1 one did not and is named, 2 the call is not valid.
    """;

try
{
    switch (args)
    {
        case ["engine"]:
            return await BareServer.RunAsync(Engine.AnswerAsync);
        case ["yarp", var destination]:
            return await BareServer.RunAsync(new YarpHop(new Uri(destination)).RelayAsync);
        case ["floor-relay", var destination]:
            return await BareServer.RunAsync(new FloorRelay(new Uri(destination)).RelayAsync);
        case ["floor-node", var destination]:
            var node = new FloorNode(new Uri(destination));
            return await BareServer.RunAsync(node.ServeAsync, node.PublicKey);
        case ["floor-node-v2", var destination]:
            var nodeV2 = new FloorNodeV2(new Uri(destination), signs: false);
            return await BareServer.RunAsync(nodeV2.ServeAsync, nodeV2.PublicKey);
        case ["floor-node-v2-signing", var destination]:
            var signing = new FloorNodeV2(new Uri(destination), signs: true);
            return await BareServer.RunAsync(signing.ServeAsync, signing.PublicKey);
        case ["run", .. var options]:
            if (options.Contains("--help", StringComparer.Ordinal) || options.Contains("-h", StringComparer.Ordinal))
            {
                Console.Out.WriteLine(usage);
                return 0;
            }

            return await BenchmarkRun.RunAsync(RunOptions.Parse(options));
        default:
            Console.Error.WriteLine(usage);
            return 2;
    }
}
catch (UsageException e)
{
    await Console.Error.WriteLineAsync($"error: {e.Message}");
    await Console.Error.WriteLineAsync("hint: ./bench.sh --help");
    return 2;
}
