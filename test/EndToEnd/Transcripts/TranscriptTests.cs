using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Gateway;

namespace ConfidentialChat.EndToEnd.Tests.Transcripts;

/// <summary>The command line, as a person reads it.</summary>
public sealed class TranscriptTests(RunningStack stack)
{
    private static readonly string Folder = Path.Combine(Tree.Root, "test", "EndToEnd", "Transcripts");

    public static TheoryData<string> Files =>
        [.. Directory.GetFiles(Folder, "*.txt").Select(file => Path.GetFileNameWithoutExtension(file)!).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Files))]
    public async Task The_session_goes_as_it_is_written(string session)
    {
        var file = Path.Combine(Folder, session + ".txt");
        var text = await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken);
        var folder = Directory.CreateTempSubdirectory("cchat-transcript-");
        try
        {
            var known = new Dictionary<string, string>
            {
                ["dir"] = folder.CreateSubdirectory("dir").FullName,
                ["stack"] = stack.DataDirectory,
                ["gateway"] = stack.Gateway.ToString().TrimEnd('/'),
                ["key"] = stack.ApiKey,
                ["model"] = stack.Model,
            };
            if (text.Contains("{vectors}", StringComparison.Ordinal))
                known["vectors"] = Vectors.Locate(".").TrimEnd('.', '/');
            if (text.Contains("{user-key}", StringComparison.Ordinal))
                known["user-key"] = await stack.NewUserAsync();
            if (text.Contains("{data}", StringComparison.Ordinal))
                await GatewayOperator.OpenAsync(known["data"] = folder.CreateSubdirectory("data").FullName);
            if (text.Contains("{chip}", StringComparison.Ordinal))
                await WriteChipAsync(known["chip"] = folder.CreateSubdirectory("chip").FullName);
            if (text.Contains("{gpus}", StringComparison.Ordinal))
                await WriteGpusAsync(known["gpus"] = folder.CreateSubdirectory("gpus").FullName);
            await Transcript.Read(file, known).RunAsync();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_difference_is_shown_beside_what_is_the_same()
    {
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, "$ cchat verify\nprinted\n! error: {…}\n! hint: another\n= 0\n", TestContext.Current.CancellationToken);
            var failure = await Should.ThrowAsync<Xunit.Sdk.FailException>(Transcript.Read(file, new Dictionary<string, string>()).RunAsync);
            failure.Message.ShouldContain(":1: $ cchat verify\n  - printed\n    ! error: there is nothing to verify.\n");
            failure.Message.ShouldContain("\n  - ! hint: another\n");
            failure.Message.ShouldContain("\n  + ! hint: name a bundle");
            failure.Message.ShouldEndWith("\n  - = 0\n  + = 2\n");
        }
        finally
        {
            File.Delete(file);
        }
    }

    // A node's bundle, the one of the next program, one for a challenge; the report and the certificates alone; lists that revoke none or the issuer.
    private static async Task WriteChipAsync(string folder)
    {
        var chip = new NodeOnChip();
        (string Name, byte[] Content)[] files =
        [
            ("bundle.json", chip.Bundle()),
            ("later.json", chip.Bundle(measured: 0x5F)),
            ("challenged.json", chip.Bundle(nonce: Convert.FromHexString(string.Concat(Enumerable.Repeat("a5", 32))))),
            ("report.bin", chip.Report(new byte[64])),
            ("vcek.pem", chip.Path()),
            ("list.der", chip.List()),
            ("revoking.der", chip.List(NodeOnChip.IssuerSerialNumber)),
            ("policy.toml", chip.Policy("")),
            ("crl-policy.toml", chip.Policy("require_crl = true")),
            ("nonce-policy.toml", chip.Policy("[freshness]\nrequire_nonce = true")),
        ];
        await WriteAsync(folder, files);
    }

    // A node with two GPUs, NVIDIA's files on their driver and VBIOS, a GPU of another machine in its bundle.
    private static async Task WriteGpusAsync(string folder)
    {
        var chip = new NodeOnChip();
        EmulatedDevice[] gpus = [new(), new()];
        byte[][] rims = [gpus[0].Rim(vbios: false).ToBytes(), gpus[0].Rim(vbios: true).ToBytes()];
        using var identity = gpus[0].Root.Make(gpus[0].Root);
        using var rim = gpus[0].RimRoot.Make(gpus[0].RimRoot);
        var roots = $"nvidia_device = '''\n{identity.ExportCertificatePem()}'''\nnvidia_rim = '''\n{rim.ExportCertificatePem()}'''\n";
        var measured = $"measurement = [\"{NodeOnChip.Measurement}\"]\n[nvidia]\nmin_gpus = ";
        await WriteAsync(
            folder,
            [
                ("bundle.json", chip.Bundle(gpus, rims)),
                ("driver.swidtag", rims[0]),
                ("vbios.swidtag", rims[1]),
                ("policy.toml", chip.Policy($"{measured}2", roots)),
                ("more.toml", chip.Policy($"{measured}8", roots)),
            ]);
    }

    private static async Task WriteAsync(string folder, IEnumerable<(string Name, byte[] Content)> files)
    {
        foreach (var (name, content) in files)
            await File.WriteAllBytesAsync(Path.Combine(folder, name), content, TestContext.Current.CancellationToken);
    }
}
