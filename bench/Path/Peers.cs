using ConfidentialChat.Bench.WholePath.Load;
using ConfidentialChat.Bench.WholePath.Measuring;
using ConfidentialChat.Bench.WholePath.Processes;

namespace ConfidentialChat.Bench.WholePath;

/// <summary>Programs of others in the same place. What is not installed is left out with its reason; bench.sh installs.</summary>
internal static class Peers
{
    public delegate Task<Route> Start(string root, string directory, Hop engine, Action<IAsyncDisposable> keep);

    public static IReadOnlyList<(string Name, Start Start)> All { get; } =
        [(RouteNames.Nginx, NginxAsync), (RouteNames.Ehbp, EhbpAsync), (RouteNames.Portkey, PortkeyAsync)];

    private static async Task<Route> NginxAsync(string root, string directory, Hop engine, Action<IAsyncDisposable> keep)
    {
        var program = Find("nginx") ?? throw new MeasurementException("not installed: sudo apt-get install -y --no-install-recommends nginx-light");
        Directory.CreateDirectory(directory);
        var port = Hop.FreePort();
        var configuration = Path.Combine(directory, "nginx.conf");
        await File.WriteAllTextAsync(configuration, $$"""
            daemon off;
            worker_processes 1;
            pid {{directory}}/nginx.pid;
            error_log stderr;
            events { worker_connections 4096; }
            http {
              access_log off;
              client_body_temp_path {{directory}}/body;
              proxy_temp_path {{directory}}/proxy;
              fastcgi_temp_path {{directory}}/fastcgi;
              uwsgi_temp_path {{directory}}/uwsgi;
              scgi_temp_path {{directory}}/scgi;
              upstream engine { server {{engine.Url.Authority}}; keepalive 64; keepalive_requests 1000000; }
              server {
                listen 127.0.0.1:{{port}};
                keepalive_requests 1000000;
                location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
              }
            }
            """);
        var nginx = await Hop.StartSilentAsync(RouteNames.Nginx, Path.Combine(directory, "nginx.log"), port, [program, "-c", configuration, "-e", "stderr"]);
        keep(nginx);
        return new PlainRoute { Name = RouteNames.Nginx, To = nginx.Url, Tested = [nginx], Aside = [engine] };
    }

    private static async Task<Route> EhbpAsync(string root, string directory, Hop engine, Action<IAsyncDisposable> keep)
    {
        Directory.CreateDirectory(directory);
        var ehbp = await Hop.StartAsync(
            RouteNames.Ehbp, Path.Combine(directory, "ehbp.log"),
            [NodeJs(root, "ehbp"), Path.Combine(root, "bench", "peers", "ehbp.mjs"), engine.Url.ToString()]);
        keep(ehbp);
        return new EhbpRoute { Name = RouteNames.Ehbp, To = ehbp.Url, Tested = [ehbp], Aside = [engine] };
    }

    private static async Task<Route> PortkeyAsync(string root, string directory, Hop engine, Action<IAsyncDisposable> keep)
    {
        Directory.CreateDirectory(directory);
        var port = Hop.FreePort();
        var program = Path.Combine(root, "bench", "peers", "node_modules", "@portkey-ai", "gateway", "build", "start-server.js");
        var portkey = await Hop.StartSilentAsync(
            RouteNames.Portkey, Path.Combine(directory, "portkey.log"), port, [NodeJs(root, "@portkey-ai/gateway"), program, $"--port={port}", "--headless"],
            new Dictionary<string, string> { ["NODE_ENV"] = "production", ["TRUSTED_CUSTOM_HOSTS"] = "127.0.0.1" });
        keep(portkey);
        var headers = $"Authorization: Bearer none\r\nx-portkey-provider: openai\r\nx-portkey-custom-host: {engine.Url.AbsoluteUri}v1\r\n";

        // Of a stream it answers 500 under Node.js 20: it changes headers that may not be changed.
        return new PlainRoute { Name = RouteNames.Portkey, To = portkey.Url, Tested = [portkey], Aside = [engine], Headers = headers, Streams = false };
    }

    private static string NodeJs(string root, string package) =>
        !Directory.Exists(Path.Combine(root, "bench", "peers", "node_modules", package))
            ? throw new MeasurementException("not installed: bench/peers/install.sh")
            : Find("node") ?? throw new MeasurementException("Node.js is not installed: sudo apt-get install -y --no-install-recommends nodejs npm");

    private static string? Find(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(':').Append("/usr/sbin").Select(directory => Path.Combine(directory, program)).FirstOrDefault(File.Exists);
}
