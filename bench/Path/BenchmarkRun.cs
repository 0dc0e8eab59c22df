using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using ConfidentialChat.Bench.WholePath.Load;
using ConfidentialChat.Bench.WholePath.Measuring;
using ConfidentialChat.Bench.WholePath.Processes;
using ConfidentialChat.Bench.WholePath.Servers;
using ConfidentialChat.Client;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Tests;

namespace ConfidentialChat.Bench.WholePath;

/// <summary>One run: everything is started once, then measured in rounds that take turns, so that what drifts drifts for all.</summary>
internal sealed class BenchmarkRun : IAsyncDisposable
{
    private static readonly Stopwatch Clock = Stopwatch.StartNew();

    private readonly RunOptions options;
    private readonly string directory = Directory.CreateTempSubdirectory("confidentialchat-bench-").FullName;
    private readonly Stack<IAsyncDisposable> started = new();
    private readonly List<string> failed = [];
    private readonly RunResults results;
    private readonly List<Checkout> checkouts = [];
    private int stacks;
    private PostgresUnderTest? postgres;

    private BenchmarkRun(RunOptions options)
    {
        this.options = options;
        results = new RunResults
        {
            Date = DateTimeOffset.UtcNow,
            Commit = Commit(options.Root),
            BeforeCommit = options.Before is { } before ? Commit(before) : null,
            Processor = Machine.Processor,
            System = RuntimeInformation.OSDescription,
            Runtime = RuntimeInformation.FrameworkDescription,
            LoadBefore = Machine.Load,
            Rounds = options.Rounds,
            IsQuick = options.IsQuick,
        };
    }

    /// <summary>Runs to the end, or to an interrupt, and says what came of it.</summary>
    public static async Task<int> RunAsync(RunOptions options)
    {
        if (!Machine.HasTwoCores)
        {
            await Console.Error.WriteLineAsync("error: this needs two cores: one for the hop under test, one for the load and the engine");
            return 1;
        }

        var interrupted = new TaskCompletionSource();
        using var onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
        using var onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
        Machine.Pin(Environment.ProcessId, Machine.OtherCore);
        await using var run = new BenchmarkRun(options);
        var running = run.RunAsync();
        if (await Task.WhenAny(running, interrupted.Task) == running)
            return await running;
        await Console.Error.WriteLineAsync("stopping: nothing was written");
        return 130;

        void Interrupt(PosixSignalContext context)
        {
            context.Cancel = true;
            interrupted.TrySetResult();
        }
    }

    public async ValueTask DisposeAsync()
    {
        while (started.TryPop(out var thing))
            await thing.DisposeAsync();
        try
        {
            Directory.Delete(directory, recursive: true);
        }
        catch (IOException)
        {
            // a process that was killed may still write
        }
    }

    private async Task<int> RunAsync()
    {
        if (results.LoadBefore > Machine.LoadOfOthers)
            Say($"warning: others use this machine (load {results.LoadBefore:F1}); times will wander, and processor time a little");
        Say("starting");
        var engine = await BareAsync("engine", "engine");
        engine.MoveTo(Machine.OtherCore);
        var routes = new List<Route>();
        await AttemptAsync("routes", async () => routes.AddRange(await RoutesAsync(engine)));
        if (!options.IsQuick)
            routes.AddRange(await PeersAsync(engine));
        var messages = checkouts.Where(checkout => checkout.Prefix.Length == 0).SelectMany(checkout => Messages(checkout.Stack, engine)).ToList();
        routes.AddRange(messages);
        if (options.Only.Count > 0)
            routes.RemoveAll(route => !options.Only.Any(only => IsMeant(only, route.Name)));

        var alive = new List<(RouteMeter Meter, RouteResults Results)>();
        foreach (var route in routes)
        {
            Say($"warming up: {route.Name}");
            var meter = new RouteMeter(route, options);
            if (await AttemptAsync(route.Name, meter.WarmUpAsync))
                alive.Add((meter, new RouteResults(route.Name, [])));
        }

        for (var round = 0; round < options.Rounds; round++)
        {
            Say($"round {round + 1} of {options.Rounds}");
            for (var i = 0; i < alive.Count; i++)
            {
                var (meter, measured) = alive[(i + round) % alive.Count]; // nobody is always first
                await AttemptAsync(measured.Name, async () => measured.Rounds.Add(await meter.MeasureAsync()));
            }
        }

        foreach (var (_, measured) in alive.Where(measured => measured.Results.Rounds.Count > 0))
            (messages.Exists(message => message.Name == measured.Name) ? results.Messages : results.Routes).Add(measured);
        await CrowdsAsync(engine);
        if (options.Only.Count == 0 || options.Only.Any(only => "ledger".Contains(only, StringComparison.OrdinalIgnoreCase)))
            await AttemptAsync("ledger", LedgersAsync);
        if (options.Only.Count == 0)
        {
            await StartsAsync(engine);
            results.Goals.AddRange(Goals.Of(results));
        }

        await Console.Out.WriteAsync(Table.Write(results));
        if (failed.Count > 0)
        {
            await Console.Error.WriteLineAsync($"error: did not run: {string.Join(", ", failed.Distinct(StringComparer.Ordinal))}");
            return 1;
        }

        var output = options.Output ?? (options.IsQuick || options.Only.Count > 0 ? null
            : Path.Combine(options.Root, "bench", "results", results.Date.ToString("yyyy-MM-dd'T'HHmm", CultureInfo.InvariantCulture) + ".json"));
        if (output is not null)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(output))!);
            await File.WriteAllTextAsync(output, ResultsJson.Write(results) + "\n");
            Say($"written: {output}");
        }

        return 0;
    }

    private static bool IsMeant(string only, string name) =>
        only.StartsWith('=') ? name.Equals(only[1..], StringComparison.OrdinalIgnoreCase) : name.Contains(only, StringComparison.OrdinalIgnoreCase);

    private async Task<List<Route>> RoutesAsync(Hop engine)
    {
        var yarp = await BareAsync("YARP", "yarp", engine.Url.ToString());
        var front = await BareAsync("front YARP", "yarp", yarp.Url.ToString());
        var floorNode = await BareAsync("floor node", "floor-node", engine.Url.ToString());
        var floorNodeV2 = await BareAsync("floor node v2", "floor-node-v2", engine.Url.ToString());
        var signingFloor = await BareAsync("floor node v2 with receipts and vouchers", "floor-node-v2-signing", engine.Url.ToString());
        var floorRelay = await BareAsync("floor relay", "floor-relay", floorNode.Url.ToString());
        var floorKey = new X25519PublicKey(floorNode.Said.GetProperty("key").GetBytesFromBase64());
        var routes = new List<Route>
        {
            new PlainRoute { Name = RouteNames.Engine, To = engine.Url, Tested = [engine] },
            new PlainRoute { Name = RouteNames.Yarp, To = yarp.Url, Tested = [yarp], Aside = [engine] },
            new PlainRoute { Name = RouteNames.YarpBehindYarp, To = front.Url, Tested = [front, yarp], Aside = [engine] },
            new FloorRoute { Name = RouteNames.FloorNode, To = floorNode.Url, Tested = [floorNode], Aside = [engine], NodeKey = floorKey },
            new FloorV2Route
            {
                Name = RouteNames.FloorNodeV2, To = floorNodeV2.Url, Tested = [floorNodeV2], Aside = [engine],
                NodeKeys = floorNodeV2.Said.GetProperty("key").GetBytesFromBase64(),
            },
            new FloorV2Route
            {
                Name = RouteNames.FloorNodeV2Signing, To = signingFloor.Url, Tested = [signingFloor], Aside = [engine],
                NodeKeys = signingFloor.Said.GetProperty("key").GetBytesFromBase64(),
            },
            new FloorRoute { Name = RouteNames.FloorPath, To = floorRelay.Url, Tested = [floorRelay, floorNode], Aside = [engine], NodeKey = floorKey },
        };
        if (options.Before is { } before)
            await AddAsync(RouteNames.Before, before);
        await AddAsync("", options.Root);
        routes.AddRange(await ServerAsync(engine));
        return routes;

        async Task AddAsync(string prefix, string root)
        {
            var cchat = RunOptions.Program(root);
            var stack = await StackAsync(cchat, engine, isAttested: prefix.Length == 0);
            checkouts.Add(new Checkout(prefix, cchat, stack));
            routes.AddRange(Ours(stack, engine, prefix, withClient: prefix.Length == 0));
            if (prefix.Length > 0)
                return;
            var priced = await StackAsync(cchat, engine, isAttested: true);
            await priced.SellAsync();
            routes.Add(new RelayV2Route
            {
                Name = RouteNames.GatewayV2Priced,
                To = priced.Gateway.Url,
                Tested = [priced.Gateway],
                Aside = [priced.Node, engine],
                Stack = priced,
            });
            routes.AddRange(await SidecarAsync(cchat, stack, engine));
        }
    }

    // The client library is this checkout's: it is measured before this checkout's gateway alone.
    private IEnumerable<Route> Ours(ChatStack stack, Hop engine, string prefix, bool withClient)
    {
        var (to, gateway, node) = (stack.Gateway.Url, stack.Gateway, stack.Node);
        yield return new RelayRoute { Name = prefix + RouteNames.Gateway, To = to, Tested = [gateway], Aside = [node, engine], Stack = stack };
        yield return new LockAndRelayRoute { Name = prefix + RouteNames.GatewayWithLock, To = to, Tested = [gateway], Aside = [node, engine], Stack = stack };
        yield return new RelayRoute { Name = prefix + RouteNames.Node, To = to, Tested = [node], Aside = [gateway, engine], Stack = stack };
        if (stack.IsAttested)
        {
            yield return new RelayV2Route { Name = prefix + RouteNames.GatewayV2, To = to, Tested = [gateway], Aside = [node, engine], Stack = stack };
            yield return new NodeV2Route { Name = prefix + RouteNames.NodeV2, To = node.Url, Tested = [node], Aside = [gateway, engine], Stack = stack };
            yield return new RelayV2Route { Name = prefix + RouteNames.PathV2, To = to, Tested = [gateway, node], Aside = [engine], Stack = stack };
        }

        yield return new RelayRoute { Name = prefix + RouteNames.Path, To = to, Tested = [gateway, node], Aside = [engine], Stack = stack };
        yield return new LockAndRelayRoute { Name = prefix + RouteNames.PathWithLock, To = to, Tested = [gateway, node], Aside = [engine], Stack = stack };
        if (!withClient)
            yield break;
        yield return Keep(
            new ClientRoute(stack, engine.Url, EnvelopeVersion.V1) { Name = RouteNames.Client, To = to, Tested = [gateway, node], Aside = [engine] });
        yield return Keep(
            new RawCallRoute(stack, engine.Url, EnvelopeVersion.V1) { Name = RouteNames.RawClient, To = to, Tested = [gateway, node], Aside = [engine] });
        yield return Keep(
            new ClientRoute(stack, engine.Url, EnvelopeVersion.V2) { Name = RouteNames.ClientV2, To = to, Tested = [gateway, node], Aside = [engine] });
        yield return Keep(
            new RawCallRoute(stack, engine.Url, EnvelopeVersion.V2) { Name = RouteNames.RawClientV2, To = to, Tested = [gateway, node], Aside = [engine] });
    }

    // The same gateway with its state at a server, where the machine has one.
    private async Task<IEnumerable<Route>> ServerAsync(Hop engine)
    {
        try
        {
            postgres = await PostgresUnderTest.StartAsync("", "fsync=on");
        }
        catch (Exception e) when (e is System.ComponentModel.Win32Exception or InvalidOperationException)
        {
            results.LeftOut.Add("PostgreSQL: its server is not installed, or does not start (Debian: apt-get install postgresql)");
            Say(results.LeftOut[^1]);
            return [];
        }

        started.Push(postgres);
        var stack = await ChatStack.StartAsync(
            RunOptions.Program(options.Root), NewDirectory(), engine.Url, options.Users, isAttested: true, postgres: postgres.CreateDatabase());
        started.Push(stack);
        return
        [
            new RelayV2Route
            {
                Name = RouteNames.GatewayV2Server,
                To = stack.Gateway.Url,
                Tested = [stack.Gateway],
                Aside = [stack.Node, engine],
                Stack = stack,
            },
        ];
    }

    private async Task LedgersAsync()
    {
        Say("ledger");
        results.Ledgers.Add(await LedgerMeter.MeasureAsync("SQLite", NewDirectory(), null, options));
        if (postgres is not null)
            results.Ledgers.Add(await LedgerMeter.MeasureAsync("PostgreSQL", NewDirectory(), postgres.CreateDatabase(), options));
    }

    // What the client library costs in a process of its own, with HTTP before it.
    private async Task<IEnumerable<Route>> SidecarAsync(string cchat, ChatStack stack, Hop engine)
    {
        var policy = Path.Combine(directory, "sidecar.toml");
        await File.WriteAllTextAsync(policy, LibraryRoute.PolicyOf(engine.Url).ToToml());
        var sidecar = await Hop.StartAsync(
            "sidecar", Path.Combine(directory, "sidecar.log"),
            [cchat, "proxy", "--gateway", stack.Gateway.Url.ToString(), "--policy", policy, "--port", "0", "--json", "--exit-with-stdin"], "sidecar",
            new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKeys[0] });
        started.Push(sidecar);
        var to = new Uri(sidecar.Url.GetLeftPart(UriPartial.Authority));
        return
        [
            new PlainRoute { Name = RouteNames.Sidecar, To = to, Tested = [sidecar], Aside = [stack.Gateway, stack.Node, engine] },
            new PlainRoute { Name = RouteNames.PathSidecar, To = to, Tested = [sidecar, stack.Gateway, stack.Node], Aside = [engine] },
        ];
    }

    // The engine stands where the gateway would reach the nodes.
    private IEnumerable<Route> Messages(ChatStack stack, Hop engine)
    {
        var (to, gateway, node, address) = (stack.Gateway.Url, stack.Gateway, stack.Node, engine.Url);
        yield return Keep(new EnrolmentRoute
        {
            Name = RouteNames.Enrolment,
            To = to,
            Tested = [gateway],
            Aside = [node, engine],
            Streams = false,
            Stack = stack,
            Address = address,
        });
        yield return Keep(new HeartbeatRoute
        {
            Name = RouteNames.Heartbeat,
            To = to,
            Tested = [gateway],
            Aside = [node, engine],
            Streams = false,
            Stack = stack,
            Address = address,
        });
        yield return Keep(new UsageReportRoute
        {
            Name = RouteNames.UsageReport,
            To = to,
            Tested = [gateway],
            Aside = [node, engine],
            Streams = false,
            Stack = stack,
            Address = address,
            Reports = 1,
        });
        yield return Keep(new UsageReportRoute
        {
            Name = RouteNames.UsageReports,
            To = to,
            Tested = [gateway],
            Aside = [node, engine],
            Streams = false,
            Stack = stack,
            Address = address,
            Reports = 48,
        });
        foreach (var (name, path, isKnown) in ((string, string, bool)[])
            [
                (RouteNames.Nodes, $"/v2/nodes?model={Engine.Model}", false), (RouteNames.NodesKnown, $"/v2/nodes?model={Engine.Model}", true),
                (RouteNames.Evidence, "/v2/nodes/1/evidence", false),
            ])
            yield return new QuestionRoute(stack, path, isKnown) { Name = name, To = to, Tested = [gateway], Aside = [node, engine], Streams = false };
    }

    private T Keep<T>(T route)
        where T : Route, IAsyncDisposable
    {
        started.Push(route);
        return route;
    }

    private async Task<List<Route>> PeersAsync(Hop engine)
    {
        var peers = new List<Route>();
        foreach (var (name, start) in Peers.All)
        {
            try
            {
                peers.Add(await start(options.Root, Path.Combine(directory, "peers"), engine, started.Push));
            }
            catch (MeasurementException e)
            {
                results.LeftOut.Add($"{name}: {e.Message}");
                Say($"left out: {name}: {e.Message}");
            }
        }

        return peers;
    }

    private async Task CrowdsAsync(Hop engine)
    {
        if (!options.IsQuick)
        {
            await CrowdAsync(RouteNames.YarpBehindYarp, async () =>
            {
                var yarp = await BareAsync("YARP", "yarp", engine.Url.ToString());
                var front = await BareAsync("front YARP", "yarp", yarp.Url.ToString());
                return new PlainRoute { Name = RouteNames.YarpBehindYarp, To = front.Url, Tested = [front, yarp] };
            });
        }

        foreach (var checkout in checkouts)
        {
            var name = checkout.Prefix + RouteNames.Path;
            await CrowdAsync(name, async () =>
            {
                var stack = options.IsQuick ? checkout.Stack : await StackAsync(checkout.Program, engine);
                return new RelayRoute { Name = name, To = stack.Gateway.Url, Tested = [stack.Gateway, stack.Node], Stack = stack };
            });
        }
    }

    // On fresh processes: what a stream adds shows only where nothing has grown yet.
    private async Task CrowdAsync(string name, Func<Task<Route>> start)
    {
        var title = $"{options.Crowd} streams: {name}";
        if (options.Only.Count == 0 || options.Only.Any(only => title.StartsWith(only, StringComparison.OrdinalIgnoreCase)))
            await AttemptAsync(title, () => MeasureCrowdAsync(title, start));
    }

    private async Task MeasureCrowdAsync(string title, Func<Task<Route>> start)
    {
        Say(title);
        var depth = started.Count;
        results.Crowds.Add(await new CrowdMeter(await start(), options).MeasureAsync());
        while (started.Count > depth)
            await started.Pop().DisposeAsync();
        var crowd = results.Crowds[^1];
        if (crowd.Lost > 0)
            throw new MeasurementException($"{crowd.Lost} of {crowd.Streams} streams were lost: {crowd.Fault}");
    }

    private async Task StartsAsync(Hop engine)
    {
        Say("starts");
        foreach (var (prefix, cchat, running) in checkouts)
        {
            var (help, gateway, node, up) = (new List<double>(), new List<double>(), new List<double>(), new List<double>());
            await AttemptAsync(prefix + "starts", async () =>
            {
                for (var i = 0; i < options.Starts; i++)
                {
                    help.Add((await ChatStack.HelpAsync(cchat, Path.Combine(directory, "log"))).TotalSeconds);
                    up.Add((await ChatStack.UpAsync(cchat, NewDirectory(), engine.Url)).TotalSeconds);
                    var starts = options.IsQuick ? running.Starts : await StackStartsAsync(cchat, engine);
                    gateway.Add(starts.Gateway.TotalSeconds);
                    node.Add(starts.Node.TotalSeconds);
                }
            });
            results.Starts.AddRange(
            [
                new(prefix + RouteNames.HelpStart, help), new(prefix + RouteNames.GatewayStart, gateway), new(prefix + RouteNames.NodeStart, node),
                new(prefix + RouteNames.UpStart, up),
            ]);
        }
    }

    private async Task<(TimeSpan Gateway, TimeSpan Node)> StackStartsAsync(string cchat, Hop engine)
    {
        await using var stack = await ChatStack.StartAsync(cchat, NewDirectory(), engine.Url, users: 0, isPinned: false);
        return stack.Starts;
    }

    private async Task<Hop> BareAsync(string name, params string[] verb)
    {
        var hop = await Hop.StartAsync(name, Path.Combine(directory, "log"), [Environment.ProcessPath!, .. verb]);
        started.Push(hop);
        return hop;
    }

    private async Task<ChatStack> StackAsync(string cchat, Hop engine, bool isAttested = false)
    {
        var stack = await ChatStack.StartAsync(cchat, NewDirectory(), engine.Url, options.Users, isAttested: isAttested);
        started.Push(stack);
        return stack;
    }

    private string NewDirectory() => Path.Combine(directory, $"stack{++stacks}");

    private async Task<bool> AttemptAsync(string name, Func<Task> measure)
    {
        try
        {
            await measure();
            return true;
        }
        catch (Exception e) when (
            e is MeasurementException or LostAnswerException or System.Net.Sockets.SocketException or IOException or TimeoutException
                or Client.ConfidentialChatException)
        {
            failed.Add(name);
            await Console.Error.WriteLineAsync($"error: {name}: {e.Message}");
            return false;
        }
    }

    private static void Say(string what) => Console.Error.WriteLine($"bench: {Clock.Elapsed:mm\\:ss} {what}");

    /// <param name="Prefix">Of its routes' names.</param>
    /// <param name="Program">Its <c>cchat</c>.</param>
    /// <param name="Stack">Started for its routes.</param>
    private sealed record Checkout(string Prefix, string Program, ChatStack Stack);

    private static string Commit(string root)
    {
        try
        {
            using var git = Process.Start(new ProcessStartInfo("git", ["-C", root, "describe", "--always", "--dirty", "--abbrev=10", "--match=-"])
            {
                UseShellExecute = false,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            return git.StandardOutput.ReadToEnd().Trim() is { Length: > 0 } commit ? commit : "unknown";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "unknown";
        }
    }
}
