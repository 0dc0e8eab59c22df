using ConfidentialChat.Node.Control;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>The operator's socket: for who may enter the data directory, and for nobody on the network.</summary>
public sealed class ControlTests
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    [Fact]
    public async Task The_operator_rotates_the_key_of_a_running_node()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var before = node.Ring.Current.Digest;
        await ControlSocket.RotateAsync(node.DataDirectory, eraseNow: false, TestContext.Current.CancellationToken);
        node.Ring.Current.Digest.ShouldNotBe(before);
    }

    [Fact]
    public async Task A_node_that_holds_as_many_keys_as_it_may_refuses_another_until_it_may_erase_one()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        while (node.Ring.TryRotate())
        {
        }

        var before = node.Ring.Current.Digest;
        (await ControlSocket.RotateAsync(node.DataDirectory, eraseNow: false, TestContext.Current.CancellationToken)).ShouldBeFalse();
        node.Ring.Current.Digest.ShouldBe(before);
        (await ControlSocket.RotateAsync(node.DataDirectory, eraseNow: true, TestContext.Current.CancellationToken)).ShouldBeTrue();
        node.Ring.Current.Digest.ShouldNotBe(before);
        node.Ring.KeySets.Count.ShouldBe(KeySet.MaxHeld);
    }

    [Theory]
    [InlineData("GET")]
    [InlineData("POST")]
    [InlineData("DELETE")]
    public async Task Over_the_network_there_is_no_such_path(string method)
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var before = node.Ring.Current.Digest;
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri(node.Url, ControlSocket.RotatePath));
        await (await node.Client.SendAsync(request)).ShouldBeAsync(RequestError.NotFound);
        node.Ring.Current.Digest.ShouldBe(before);
    }

    [Fact]
    public async Task A_data_directory_with_a_long_name_has_its_socket_elsewhere_and_closed_to_others()
    {
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatServes(), options => options with { DataDirectory = Path.Combine(options.DataDirectory, new string('d', 120)) });
        var directory = Directory.GetDirectories(node.DataDirectory).Single();
        var socket = ControlSocket.PathFor(directory);
        System.Text.Encoding.UTF8.GetByteCount(socket).ShouldBeLessThanOrEqualTo(103);
        socket.ShouldNotStartWith(directory);
        if (!OperatingSystem.IsWindows())
            File.GetUnixFileMode(Path.GetDirectoryName(socket)!).ShouldBe(OwnerOnly);

        var before = node.Ring.Current.Digest;
        await ControlSocket.RotateAsync(directory, eraseNow: false, TestContext.Current.CancellationToken);
        node.Ring.Current.Digest.ShouldNotBe(before);
        Directory.Delete(Path.GetDirectoryName(socket)!, recursive: true);
    }

    [Fact]
    public async Task A_link_that_another_user_planted_where_the_socket_was_to_be_leads_nowhere()
    {
        if (OperatingSystem.IsWindows())
            return;
        var parent = Directory.CreateTempSubdirectory("cchat-node-").FullName;
        var data = Path.Combine(parent, new string('d', 120));
        var name = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(data)))[..16];
        var victim = Directory.CreateDirectory(Path.Combine(parent, "victim"), OwnerOnly | UnixFileMode.OtherRead | UnixFileMode.OtherExecute).FullName;
        var kept = Path.Combine(victim, "control.sock");
        await File.WriteAllTextAsync(kept, "of another node", TestContext.Current.CancellationToken);
        var planted = Path.Combine(Path.GetTempPath(), "cchat-" + name); // the name could once be foretold
        Directory.CreateSymbolicLink(planted, victim);
        try
        {
            string[] before = [];
            for (var starts = 0; starts < 2; starts++)
            {
                await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { DataDirectory = data });
                var directory = Path.GetDirectoryName(ControlSocket.PathFor(data))!;
                directory.ShouldNotBe(planted);
                before.ShouldNotContain(directory);
                before = [.. before, directory];
                File.GetUnixFileMode(directory).ShouldBe(OwnerOnly);
                File.GetUnixFileMode(Path.Combine(data, "control.path")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
                (await ControlSocket.RotateAsync(data, eraseNow: false, TestContext.Current.CancellationToken)).ShouldBeTrue();
            }

            (await File.ReadAllTextAsync(kept, TestContext.Current.CancellationToken)).ShouldBe("of another node");
            File.GetUnixFileMode(victim).ShouldBe(OwnerOnly | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
            Directory.Exists(before[0]).ShouldBeFalse(); // the second start cleared what the first had left
            Directory.Delete(before[1]);
        }
        finally
        {
            File.Delete(planted);
            Directory.Delete(parent, recursive: true);
        }
    }

    [Fact]
    public async Task A_name_that_others_took_over_since_the_last_start_is_left_alone()
    {
        if (OperatingSystem.IsWindows())
            return;
        var parent = Directory.CreateTempSubdirectory("cchat-node-").FullName;
        var data = Directory.CreateDirectory(Path.Combine(parent, new string('d', 120))).FullName;
        var victim = Directory.CreateDirectory(Path.Combine(parent, "victim")).FullName;
        await File.WriteAllTextAsync(Path.Combine(victim, "control.sock"), "of another node", TestContext.Current.CancellationToken);
        var taken = Directory.CreateSymbolicLink(Path.Combine(parent, "taken"), victim).FullName;
        await File.WriteAllTextAsync(Path.Combine(data, "control.path"), Path.Combine(taken, "control.sock"), TestContext.Current.CancellationToken);

        await using (await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { DataDirectory = data }))
        {
            ControlSocket.PathFor(data).ShouldNotStartWith(taken);
            (await File.ReadAllTextAsync(Path.Combine(victim, "control.sock"), TestContext.Current.CancellationToken)).ShouldBe("of another node");
        }

        Directory.Delete(Path.GetDirectoryName(ControlSocket.PathFor(data))!);
        Directory.Delete(parent, recursive: true);
    }

    [Fact]
    public async Task Other_users_of_the_machine_read_nothing_that_a_node_keeps()
    {
        if (OperatingSystem.IsWindows())
            return;
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { Tls = true });
        File.GetUnixFileMode(node.DataDirectory).ShouldBe(OwnerOnly);
        var files = Directory.GetFiles(node.DataDirectory);
        files.Select(Path.GetFileName).ShouldBe(["control.sock", "enrolment.json", "identity.key", "tls.p12"], ignoreOrder: true);
        foreach (var file in files.Where(file => !file.EndsWith(".sock", StringComparison.Ordinal)))
            File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite, file);
    }

    [Fact]
    public async Task Where_no_node_runs_the_operator_is_told_so() =>
        await Should.ThrowAsync<HttpRequestException>(
            () => ControlSocket.RotateAsync(
                Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N")), eraseNow: false, TestContext.Current.CancellationToken));
}
