using System.Diagnostics;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Cli.Agents;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.EndToEnd.Tests.Sidecar;

namespace ConfidentialChat.EndToEnd.Tests.Agents;

/// <summary>spec/connect.md: the commands in processes of their own, on real files, against a real sidecar.</summary>
public sealed class ConnectTests(RunningStack stack)
{
    private const string OpencodeBefore =
        "{\n  \"$schema\": \"https://opencode.ai/config.json\",\n  // what I like\n  \"model\": \"anthropic/claude\", // mine\n  \"provider\": {\n    \"other\": {} // mine too\n  },\n  \"theme\": \"dark\", /* last */\n}\n";

    private const string CodexBefore = "# mine\nmodel = \"gpt-5\" # m\napproval_policy = \"never\"\n\n[projects.\"/x\"]\ntrust_level = \"trusted\"\n";
    private const string ClaudeBefore = "{\n  \"theme\": \"dark\",\n  \"env\": { \"FOO\": \"bar\" }\n}\n";
    private const string AiderBefore = "model: gpt-4 # mine\n# c\nauto-commits: false\n";
    private const string ContinueBefore = "name: Mine\nversion: 0.0.1\nschema: v1\nmodels:\n  # first\n  - name: GPT\n    provider: openai\n    model: gpt-4\nrules: []\n";

    public static TheoryData<string, string> Files => new()
    {
        { "opencode", OpencodeBefore },
        { "codex", CodexBefore },
        { "claude-code", ClaudeBefore },
        { "aider", AiderBefore },
        { "continue", ContinueBefore },
    };

    private string Sidecar => stack.Sidecar!.GetLeftPart(UriPartial.Authority);

    private AgentHome Home(params string[] programs) => new(Sidecar, programs);

    [Theory]
    [MemberData(nameof(Files))]
    public async Task An_agent_is_connected_and_its_home_is_afterwards_what_it_was_byte_for_byte(string agent, string before)
    {
        using var home = Home();
        var file = home.Write(AgentHome.FileOf(home, agent), before);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);
        var picture = home.Picture();

        var (exitCode, output, errors) = await home.RunAsync("connect", agent, "--yes");
        exitCode.ShouldBe(0, errors);
        output.ShouldContain($"+++ {file}");
        output.ShouldContain($"connected  {file}");
        output.ShouldContain("accepted: node 1 (simulated) until ");
        var after = await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken);
        after.ShouldContain(Sidecar);
        foreach (var comment in (string[])["// what I like", "// mine", "// mine too", "/* last */", "# mine", "# m", "# c", "# first"])
            after.Contains(comment, StringComparison.Ordinal).ShouldBe(before.Contains(comment, StringComparison.Ordinal), comment);
        File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);
        (await home.RunAsync("connect", agent, "--yes")).Output.ShouldContain("is connected already");

        (await home.RunAsync("status")).Output.ShouldContain($"{agent}  connected, model {stack.Model}: {file}");
        (await home.RunAsync("disconnect", agent)).Output.ShouldContain("byte for byte what it was");
        home.Picture().ShouldBe(picture);
        var again = await home.RunAsync("disconnect", agent);
        (again.ExitCode, home.Picture()).ShouldBe((0, picture));
        again.Output.ShouldContain("there is nothing to take back");
        Directory.GetFiles(home.Journal).Select(Path.GetFileName).Order(StringComparer.Ordinal).ShouldBe(["in-use", "journal.json"]);
        File.GetUnixFileMode(home.Journal).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    [Theory]
    [MemberData(nameof(Files))]
    public async Task A_file_that_was_made_is_removed_with_its_folders(string agent, string before)
    {
        using var home = Home();
        var picture = home.Picture();
        (await home.RunAsync("connect", agent, "--yes")).ExitCode.ShouldBe(0);
        var file = AgentHome.FileOf(home, agent);
        File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        before.ShouldNotBeEmpty();
        (await home.RunAsync("disconnect", agent)).Output.ShouldContain("it is removed");
        home.Picture().ShouldBe(picture);
    }

    [Fact]
    public async Task What_a_tool_rewrote_meanwhile_stays_and_only_ours_is_taken_out()
    {
        using var home = Home();
        home.Write(home.Opencode, OpencodeBefore);
        home.Write(home.Codex, CodexBefore);
        home.Write(home.Claude, ClaudeBefore);
        home.Write(home.Aider, AiderBefore);
        home.Write(home.Continue, ContinueBefore);
        foreach (var agent in Files.Select(row => row.Data.Item1))
            (await home.RunAsync("connect", agent, "--yes")).ExitCode.ShouldBe(0);

        void Change(string file, string from, string to) => File.WriteAllText(file, File.ReadAllText(file).Replace(from, to, StringComparison.Ordinal));
        Change(home.Opencode, "\"theme\": \"dark\"", "\"theme\": \"light\"");
        Change(home.Codex, "[projects.\"/x\"]", "[projects.\"/new\"]\ntrust_level = \"trusted\"\n\n[projects.\"/x\"]");
        Change(home.Codex, $"model = \"{stack.Model}\"", "model = \"my-choice\"");
        Change(home.Claude, "\"theme\": \"dark\"", "\"theme\": \"light\",\n  \"permissions\": {}");
        Change(home.Aider, "auto-commits: false", "auto-commits: true");
        Change(home.Continue, "rules: []", "rules:\n  - be kind");
        (await home.RunAsync("status")).Output.ShouldContain("codex  connected, and changed since");

        foreach (var agent in Files.Select(row => row.Data.Item1))
        {
            var (exitCode, output, errors) = await home.RunAsync("disconnect", agent);
            exitCode.ShouldBe(0, errors);
            output.ShouldContain("was changed meanwhile: only what");
            output.Contains("left as it is by now: model", StringComparison.Ordinal).ShouldBe(agent == "codex", output);
        }

        File.ReadAllText(home.Opencode).ShouldBe(OpencodeBefore.Replace("dark", "light", StringComparison.Ordinal));
        File.ReadAllText(home.Codex).ShouldBe(CodexBefore.Replace("gpt-5", "my-choice", StringComparison.Ordinal)
            .Replace("[projects.\"/x\"]", "[projects.\"/new\"]\ntrust_level = \"trusted\"\n\n[projects.\"/x\"]", StringComparison.Ordinal));
        File.ReadAllText(home.Claude).ShouldBe(ClaudeBefore.Replace("\"dark\"", "\"light\",\n  \"permissions\": {}", StringComparison.Ordinal));
        File.ReadAllText(home.Aider).ShouldBe(AiderBefore.Replace("false", "true", StringComparison.Ordinal));
        File.ReadAllText(home.Continue).ShouldBe(ContinueBefore.Replace("rules: []", "rules:\n  - be kind", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Connected_anew_to_another_sidecar_it_still_goes_back_to_the_first_file()
    {
        using var home = Home();
        home.Write(home.Codex, CodexBefore);
        (await home.RunAsync("connect", "codex", "--yes")).ExitCode.ShouldBe(0);
        await using var other = await SidecarUnderTest.StartAsync(stack.Options());
        home.Sidecar = other.Url.ToString();
        (await home.RunAsync("status")).Output.ShouldContain("codex  connected to another sidecar");
        (await home.RunAsync("connect", "codex", "--yes")).ExitCode.ShouldBe(0);
        File.ReadAllText(home.Codex).ShouldContain(other.Url.GetLeftPart(UriPartial.Authority));
        File.ReadAllText(home.Codex).ShouldNotContain(Sidecar);
        (await home.RunAsync("disconnect", "codex")).Output.ShouldContain("byte for byte");
        File.ReadAllText(home.Codex).ShouldBe(CodexBefore);
    }

    [Fact]
    public async Task Nobody_is_asked_without_a_terminal_and_print_only_prints()
    {
        using var home = Home();
        var picture = home.Picture();
        var (exitCode, output, errors) = await home.RunAsync("connect", "opencode");
        (exitCode, errors.Contains("--yes", StringComparison.Ordinal)).ShouldBe((2, true), errors);
        output.ShouldContain("+  \"provider\": {");

        var printed = await home.RunAsync("connect", "opencode", "--print");
        printed.ExitCode.ShouldBe(0, printed.Errors);
        printed.Output.ShouldContain("start it   opencode");
        home.Picture().ShouldBe(picture);
        (await home.RunAsync("status")).Output.ShouldContain("opencode  not connected");
    }

    [Fact]
    public async Task A_refused_verdict_connects_and_runs_nothing_and_names_the_check()
    {
        await using var strict = await SidecarUnderTest.StartAsync(stack.Options() with { Policy = Policy.Default });
        using var home = new AgentHome(strict.Url.ToString());
        AgentHome.WriteProgram(Path.Combine(home.Programs, "opencode"), $"touch {home.In("ran")}");
        var picture = home.Picture();
        foreach (var command in (string[][])[["connect", "opencode", "--yes"], ["connect", "opencode", "--print"], ["run", "opencode"], ["status"]])
        {
            var (exitCode, _, errors) = await home.RunAsync(command);
            exitCode.ShouldBe(7, errors);
            errors.ShouldContain("node 1: ");
            errors.ShouldMatch(@"[a-z_.]+ \([A-Z_]+\)");
        }

        home.Picture().ShouldBe(picture);
    }

    [Fact]
    public async Task Whoever_else_sits_at_the_port_is_not_connected_to()
    {
        const string Models = """{"data":[{"id":"m"}]}""";
        string Json(string body) => $"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}";
        Func<string, string>[] others =
        [
            _ => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<html",
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
            _ => "SSH-2.0-OpenSSH\r\n",
            line => Json(line.Contains("models", StringComparison.Ordinal) ? """{"object":"list","data":[{"id":"llama3"}]}""" : "{}"), // an engine
            line => Json(line.Contains("models", StringComparison.Ordinal) ? Models : """{"model":"m","nodes":[{"node":1,"verdict":{"accepted":"true"}}]}"""),
            line => Json(line.Contains("models", StringComparison.Ordinal) ? Models : """{"model":"m","nodes":[]}"""),
            _ => "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/v1/models\r\nContent-Length: 0\r\n\r\n",
        ];
        foreach (var other in others)
        {
            using var server = new RawServer(other);
            using var home = new AgentHome(server.Url.ToString());
            var picture = home.Picture();
            var (exitCode, _, errors) = await home.RunAsync("connect", "opencode", "--yes");
            (exitCode is 5 or 7).ShouldBeTrue(errors);
            errors.ShouldContain("error: ");
            home.Picture().ShouldBe(picture);
        }
    }

    [Theory]
    [InlineData("https://127.0.0.1:8787")]
    [InlineData("http://192.0.2.1:8787/v1")]
    [InlineData("http://127.0.0.1.example:8787")]
    [InlineData("http://user@127.0.0.1:8787")]
    [InlineData("http://127.0.0.1:8787/v2")]
    public async Task A_sidecar_of_another_machine_is_refused(string url)
    {
        using var home = Home();
        var (exitCode, _, errors) = await home.RunAsync("connect", "opencode", "--yes", "--sidecar", url);
        exitCode.ShouldBe(2, errors);
    }

    [Fact]
    public async Task Without_a_sidecar_or_a_tool_it_says_what_to_do()
    {
        using var home = new AgentHome("http://127.0.0.1:9", "codex");
        var unreached = await home.RunAsync("connect", "codex", "--yes");
        unreached.ExitCode.ShouldBe(5);
        unreached.Errors.ShouldContain("no sidecar answers at http://127.0.0.1:9");
        var status = await home.RunAsync("status", "--json");
        status.ExitCode.ShouldBe(5);
        ((string?)JsonNode.Parse(status.Output)!["error"])!.ShouldContain("no sidecar answers");

        home.Sidecar = Sidecar;
        foreach (var command in (string[][])[["connect", "opencode", "--yes"], ["run", "opencode"]])
        {
            var missing = await home.RunAsync(command);
            missing.ExitCode.ShouldBe(2);
            missing.Errors.ShouldContain("opencode is not installed: looked for opencode on the PATH");
            missing.Errors.ShouldContain("npm install -g opencode-ai");
        }

        (await home.RunAsync("connect", "opencode", "--print")).ExitCode.ShouldBe(0);
        (await home.RunAsync("connect", "vim")).Errors.ShouldContain("opencode, codex, claude-code, aider, continue, open-webui");
        (await home.RunAsync("connect", "codex", "--yes", "--model", "none")).Errors.ShouldContain(stack.Model);
    }

    [Fact]
    public async Task Two_versions_of_a_tool_are_both_named()
    {
        using var home = Home();
        var second = Path.Combine(home.Home, "npm", "bin");
        AgentHome.WriteProgram(Path.Combine(second, "codex"), "exit 0");
        File.CreateSymbolicLink(Path.Combine(second, "opencode"), Path.Combine(home.Programs, "opencode")); // one, by two names
        home.Variables["PATH"] = $"{home.Programs}:{second}";
        var codex = await home.RunAsync("connect", "codex", "--yes");
        codex.Errors.ShouldContain($"there are 2 of Codex, which read the same files: {home.Programs}/codex, {second}/codex; the first is run");
        (await home.RunAsync("connect", "opencode", "--yes")).Errors.ShouldNotContain("there are 2");
    }

    [Theory]
    [InlineData("broken", "it is no JSON: line 2")]
    [InlineData("empty-object-list", "\"provider\" is no object")]
    [InlineData("latin1", "it is not UTF-8")]
    [InlineData("folder", "it is a folder")]
    [InlineData("pipe", "it is no regular file")]
    [InlineData("read-only", "it is read-only")]
    [InlineData("dangling", "leads nowhere")]
    [InlineData("circle", "leads in a circle")]
    [InlineData("hard-linked", "has 2 names")]
    [InlineData("huge", "more than 4194304 bytes")]
    public async Task A_file_that_cannot_be_changed_is_left_as_it_is(string kind, string said)
    {
        using var home = Home();
        var file = home.Write(home.Opencode, kind switch
        {
            "broken" => "{\n  \"model\" \"x\"\n}\n",
            "empty-object-list" => "{\"provider\": []}",
            "huge" => new string(' ', 4 * 1024 * 1024) + "{}",
            _ => "{}\n",
        });
        switch (kind)
        {
            case "latin1":
                File.WriteAllBytes(file, [(byte)'{', (byte)'"', 0xE9, (byte)'"', (byte)':', (byte)'1', (byte)'}']);
                break;
            case "folder":
                File.Delete(file);
                Directory.CreateDirectory(file);
                break;
            case "pipe":
                File.Delete(file);
                using (var made = System.Diagnostics.Process.Start("mkfifo", [file]))
                    await made.WaitForExitAsync(TestContext.Current.CancellationToken);
                break;
            case "read-only":
                File.SetUnixFileMode(file, UnixFileMode.UserRead);
                break;
            case "dangling":
                File.Delete(file);
                File.CreateSymbolicLink(file, home.In("none"));
                break;
            case "circle":
                File.Delete(file);
                File.CreateSymbolicLink(file, file);
                break;
            case "hard-linked":
                using (var made = System.Diagnostics.Process.Start("ln", [file, home.In("other")]))
                    await made.WaitForExitAsync(TestContext.Current.CancellationToken);
                break;
        }

        var picture = kind == "pipe" ? "" : home.Picture();
        var (exitCode, _, errors) = await home.RunAsync("connect", "opencode", "--yes");
        exitCode.ShouldBe(2, errors);
        errors.ShouldContain($"error: {file} is left as it is: ");
        errors.ShouldContain(said);
        if (kind != "pipe")
            home.Picture().ShouldBe(picture);
        (await home.RunAsync("status")).Output.ShouldContain("opencode  not connected");
    }

    [Fact]
    public async Task A_link_stays_one_and_the_file_behind_it_is_changed()
    {
        using var home = Home();
        var real = home.Write(home.In("dotfiles", "codex.toml"), CodexBefore);
        Directory.CreateDirectory(Path.GetDirectoryName(home.Codex)!);
        File.CreateSymbolicLink(home.Codex, "../dotfiles/codex.toml");
        var picture = home.Picture();
        var (exitCode, _, errors) = await home.RunAsync("connect", "codex", "--yes");
        exitCode.ShouldBe(0, errors);
        errors.ShouldContain($"{home.Codex} is a link: {real} is changed");
        new FileInfo(home.Codex).LinkTarget.ShouldBe("../dotfiles/codex.toml");
        File.ReadAllText(real).ShouldContain(Sidecar);
        (await home.RunAsync("disconnect", "codex")).ExitCode.ShouldBe(0);
        home.Picture().ShouldBe(picture);
    }

    [Fact]
    public async Task A_file_that_is_broken_or_gone_by_now_is_said_and_left()
    {
        using var home = Home();
        home.Write(home.Opencode, OpencodeBefore);
        (await home.RunAsync("connect", "opencode", "--yes")).ExitCode.ShouldBe(0);
        (await home.RunAsync("connect", "codex", "--yes")).ExitCode.ShouldBe(0);
        File.WriteAllText(home.Opencode, "{ broken");
        var broken = await home.RunAsync("disconnect", "opencode");
        broken.ExitCode.ShouldBe(2);
        broken.Errors.ShouldContain(".before");
        File.ReadAllText(home.Opencode).ShouldBe("{ broken");
        File.ReadAllText(Directory.GetFiles(home.Journal, "*.before").Single()).ShouldBe(OpencodeBefore);

        File.Delete(home.Codex);
        (await home.RunAsync("status")).Output.ShouldContain("codex  no more connected");
        (await home.RunAsync("disconnect", "codex")).Output.ShouldContain("is gone");
        File.Exists(home.Codex).ShouldBeFalse();
    }

    [Fact]
    public async Task A_journal_that_cannot_be_read_stops_what_would_change_something()
    {
        using var home = Home();
        Directory.CreateDirectory(home.Journal);
        foreach (var journal in (string[])["{", "[]", "{}", """{"version":2,"connections":[]}"""])
        {
            File.WriteAllText(Path.Combine(home.Journal, "journal.json"), journal);
            var picture = home.Picture();
            foreach (var command in (string[][])[["connect", "codex", "--yes"], ["disconnect", "codex"]])
            {
                var (exitCode, _, errors) = await home.RunAsync(command);
                exitCode.ShouldBe(1, errors);
                errors.ShouldContain("the journal of connections cannot be read");
            }

            home.Picture().ShouldBe(picture);
        }
    }

    [Fact]
    public async Task Files_are_found_where_each_agent_looks_for_them()
    {
        using var home = Home();
        (string Agent, string File, string Variable, string Value)[] places =
        [
            ("opencode", home.In("xdg", "opencode", "config.json"), "XDG_CONFIG_HOME", home.In("xdg")),
            ("opencode", home.In("own.jsonc"), "OPENCODE_CONFIG", home.In("own.jsonc")),
            ("codex", home.In("cx", "config.toml"), "CODEX_HOME", home.In("cx")),
            ("claude-code", home.In("cl", "settings.json"), "CLAUDE_CONFIG_DIR", home.In("cl")),
            ("continue", home.In("co", "config.yaml"), "CONTINUE_GLOBAL_DIR", home.In("co")),
        ];
        foreach (var (agent, file, variable, value) in places)
        {
            home.Write(file, agent is "continue" ? ContinueBefore : agent is "codex" ? "" : "{}");
            home.Variables[variable] = value;
            (await home.RunAsync("connect", agent, "--print")).Output.ShouldContain($"+++ {file}", customMessage: variable);
            home.Variables.Remove(variable);
        }

        home.Write(home.In(".continue", "config.json"), "{}");
        (await home.RunAsync("connect", "continue", "--yes")).Errors.ShouldContain("older file");
        (await home.RunAsync("connect", "codex", "--project", "--yes")).ExitCode.ShouldBe(2);
    }

    [Fact]
    public async Task A_local_key_is_asked_for_and_gets_into_no_file()
    {
        const string key = "quillfeather-local-key";
        await using var guarded = await SidecarUnderTest.StartAsync(stack.Options(), options => options with { LocalKey = key });
        using var home = new AgentHome(guarded.Url.ToString());
        (await home.RunAsync("connect", "opencode", "--yes")).Errors.ShouldContain("the sidecar asks for its local key");
        var file = home.Write(Path.Combine(home.Project, "key"), key + "\n");
        foreach (var agent in (string[])["opencode", "codex", "claude-code", "aider", "continue", "open-webui"])
        {
            var (exitCode, output, errors) = await home.RunAsync("connect", agent, "--yes", "--local-key", file);
            exitCode.ShouldBe(0, errors);
            output.ShouldContain("CONFIDENTIALCHAT_LOCAL_KEY");
            (output + errors).ShouldNotContain(key);
        }

        foreach (var written in (string[])[home.Home, home.Data])
            Directory.GetFiles(written, "*", SearchOption.AllDirectories).ShouldAllBe(one => !File.ReadAllText(one).Contains(key, StringComparison.Ordinal));

        AgentHome.WriteProgram(Path.Combine(home.Programs, "claude"), "echo \"$ANTHROPIC_AUTH_TOKEN $*\"");
        var run = await home.RunAsync("run", "claude-code", "--local-key", file);
        run.Output.ShouldStartWith(key + " --settings");
        run.Output.Split(' ', 2)[1].ShouldNotContain(key); // arguments are everybody's to read
    }

    [Fact]
    public async Task Run_gives_arguments_streams_and_the_exit_code_through_and_changes_no_file()
    {
        using var home = Home();
        AgentHome.WriteProgram(Path.Combine(home.Programs, "opencode"), "echo \"$OPENCODE_CONFIG_CONTENT\"; echo \"args:$#:$1:$2\" >&2; exit 42");
        var picture = home.Picture();
        var (exitCode, output, errors) = await home.RunAsync("run", "opencode", "--", "--auto", "two words");
        (exitCode, errors.Trim()).ShouldBe((42, "args:2:--auto:two words"));
        ((string?)JsonNode.Parse(output)!["provider"]!["cchat"]!["options"]!["baseURL"]).ShouldBe($"{Sidecar}/v1");
        home.Picture().ShouldBe(picture);

        AgentHome.WriteProgram(Path.Combine(home.Programs, "codex"), "printf '%s\\n' \"$@\"");
        (await home.RunAsync("run", "codex", "--", "exec")).Output.ShouldContain("-c\nmodel_provider=\"cchat\"\n");
        AgentHome.WriteProgram(Path.Combine(home.Programs, "aider"), "printf '%s\\n' \"$@\"");
        (await home.RunAsync("run", "aider", "--", "--yes")).Output.ShouldContain($"--openai-api-base\n{Sidecar}/v1\n--yes\n");
        AgentHome.WriteProgram(Path.Combine(home.Programs, "open-webui"), "echo $OPENAI_API_BASE_URL $1");
        (await home.RunAsync("run", "open-webui", "--", "serve")).Output.ShouldBe($"{Sidecar}/v1 serve\n");
        (await home.RunAsync("run", "continue")).ExitCode.ShouldBe(2);
    }

    [Fact]
    public async Task A_sidecar_that_was_stopped_while_an_agent_ran_is_said()
    {
        var stopped = await SidecarUnderTest.StartAsync(stack.Options());
        using var home = new AgentHome(stopped.Url.ToString());
        var script = $"touch {home.In("started")}; while [ ! -e {home.In("go")} ]; do sleep 0.05; done; exit 1";
        AgentHome.WriteProgram(Path.Combine(home.Programs, "opencode"), script);
        var run = home.RunAsync("run", "opencode");
        await Waiting.UntilAsync(() => File.Exists(home.In("started")));
        await stopped.DisposeAsync();
        home.Write(home.In("go"), "");
        var (exitCode, _, errors) = await run;
        (exitCode, errors.Contains("answers no more: was it stopped?", StringComparison.Ordinal)).ShouldBe((1, true), errors);
    }

    [Fact]
    public async Task A_signal_reaches_the_agent_and_its_exit_code_comes_back()
    {
        using var home = Home();
        var script = $"trap 'exit 7' TERM; touch {home.In("started")}; while true; do sleep 0.05; done";
        AgentHome.WriteProgram(Path.Combine(home.Programs, "opencode"), script);
        using var run = RunningStack.Start(["run", "opencode"], home.Environment());
        await Waiting.UntilAsync(() => File.Exists(home.In("started")));
        await RunningStack.SignalAsync(run.Id, "TERM");
        await run.WaitForExitAsync(TestContext.Current.CancellationToken).Soon();
        run.ExitCode.ShouldBe(7);
    }

    [Theory]
    [InlineData("y", true)]
    [InlineData("YES", true)]
    [InlineData("n", false)]
    [InlineData("", false)]
    public async Task At_a_terminal_it_asks_and_changes_only_on_a_yes(string answer, bool isChanged)
    {
        using var home = Home();
        var picture = home.Picture();
        var cchat = Path.Combine(AppContext.BaseDirectory, "cchat");
        var start = new ProcessStartInfo("script", ["-qec", $"{cchat} connect codex --data {home.Data}", "/dev/null"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        foreach (var (name, value) in home.Environment())
            start.Environment[name] = value;
        using var terminal = Process.Start(start)!;
        var said = "";
        var (buffer, read) = (new char[1024], 1);
        for (; read > 0 && !said.Contains("[y/N]", StringComparison.Ordinal); said += new string(buffer, 0, read))
            read = await terminal.StandardOutput.ReadAsync(buffer, TestContext.Current.CancellationToken);
        said.ShouldContain($"Change {home.Codex}? [y/N]");
        home.Picture().ShouldBe(picture);
        await terminal.StandardInput.WriteAsync(answer + "\n");
        await terminal.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        said += await terminal.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await terminal.WaitForExitAsync(TestContext.Current.CancellationToken);

        (terminal.ExitCode, File.Exists(home.Codex)).ShouldBe((isChanged ? 0 : 1, isChanged), said);
        said.Contains("nothing was changed", StringComparison.Ordinal).ShouldBe(!isChanged, said);
    }

    [Fact]
    public async Task The_owner_of_a_file_stays_its_owner()
    {
        Assert.SkipUnless(FileFacts.Self == 0, "only root changes another user's file");
        using var home = Home();
        home.Write(home.Codex, CodexBefore);
        FileFacts.TryGive(home.Codex, 65534, 65533).ShouldBeTrue();
        (await home.RunAsync("connect", "codex", "--yes")).ExitCode.ShouldBe(0);
        FileFacts.Of(home.Codex).ShouldBe(new FileFacts(65534, 65533, 1, IsRegular: true));
        (await home.RunAsync("disconnect", "codex")).ExitCode.ShouldBe(0);
        FileFacts.Of(home.Codex).ShouldBe(new FileFacts(65534, 65533, 1, IsRegular: true));
    }

    [Fact]
    public async Task What_wins_over_the_file_is_noted()
    {
        using var home = Home();
        home.Write(home.Opencode, "{\"enabled_providers\":[\"openai\"]}");
        (await home.RunAsync("connect", "opencode", "--yes")).Errors.ShouldContain("\"enabled_providers\" leaves cchat out");
        home.Write(home.Codex, "profile = \"work\"\n");
        (await home.RunAsync("connect", "codex", "--yes")).Errors.ShouldContain("profile = \"work\" is chosen in it");
    }

    [Fact]
    public async Task Status_says_all_of_it_as_JSON()
    {
        using var home = Home();
        (await home.RunAsync("connect", "codex", "--yes")).ExitCode.ShouldBe(0);
        var (exitCode, output, errors) = await home.RunAsync("status", "--json");
        exitCode.ShouldBe(0, errors);
        var status = JsonNode.Parse(output)!;
        ((string?)status["sidecar"], (string?)status["model"], status["error"]).ShouldBe(($"{Sidecar}/v1", stack.Model, null));
        new Uri((string)status["gateway"]!).IsLoopback.ShouldBeTrue();
        var node = status["nodes"]!.AsArray().Single()!;
        ((long)node["node"]!, (bool)node["accepted"]!).ShouldBe((1, true));
        DateTimeOffset.Parse((string)node["until"]!, null).ShouldBeGreaterThan(DateTimeOffset.UtcNow);
        var connection = status["connections"]!.AsArray().Single()!;
        ((string?)connection["agent"], (string?)connection["file"], (string?)connection["state"]).ShouldBe(("codex", home.Codex, "connected"));
    }
}
