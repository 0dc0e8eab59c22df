using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Cli.Agents;

namespace ConfidentialChat.EndToEnd.Tests.Agents;

/// <summary>spec/connect.md section 3: texts are changed by spans, and what is taken back leaves no trace.</summary>
public sealed class ConfigurationTextTests
{
    public static TheoryData<string> Objects =>
    [
        "{}", "{ }", "{\n}", "{}\n", "\n{\n}\n",
        """{"a":1}""", """{ "a": 1 }""", """{"a":1,}""", "{\n  \"a\": 1\n}\n", "{\n\t\"a\": 1,\n\t\"b\": [1, 2],\n}\n", "{\r\n    \"a\": 1 // one\r\n}\r\n",
        "// head\n{\n  // first\n  \"a\": 1, // one\n  /* two */ \"b\": {\"c\": \"// no comment, }\"} // last\n  // tail\n}\n// end\n",
        "{\n  \"ż\": \"😀\", \"provider\": {\n    \"x\": 1 /* x */\n  }, \"t\": true\n}", "{\"provider\":{}}", "{\n  \"provider\": {},\n}\n",
        "{\n  \"provider\": { /* mine */ }\n}\n",
    ];

    [Theory]
    [MemberData(nameof(Objects))]
    public void JSON_with_comments_keeps_every_byte_that_is_not_ours(string before)
    {
        var text = new JsoncText(before);
        var made = text.Set(["provider", "cchat"], new JsonObject { ["npm"] = "x", ["models"] = new JsonObject { ["demo"] = new JsonObject() } });
        text.Set(["model"], "cchat/demo").ShouldBeNull();
        var after = text.Text;

        Squeezed(after, ours: ["cchat", "model"]).ShouldBe(Squeezed(before, ours: []));
        JsonNode.Parse(after, documentOptions: Lax)!["provider"]!["cchat"]!["models"]!["demo"].ShouldBeOfType<JsonObject>();
        foreach (var comment in (string[])["// head", "// first", "// one", "/* two */", "// last", "// tail", "// end", "/* mine */", "/* x */"])
            after.Contains(comment, StringComparison.Ordinal).ShouldBe(before.Contains(comment, StringComparison.Ordinal), comment);
        after.Contains("\r\n", StringComparison.Ordinal).ShouldBe(before.Contains("\r\n", StringComparison.Ordinal));
        if (before.Contains('\r', StringComparison.Ordinal))
            after.Replace("\r\n", "", StringComparison.Ordinal).ShouldNotContain('\n');

        text.Remove(["model"]);
        text.Remove(["provider", "cchat"]);
        if (made is not null && text.IsEmpty(made))
            text.Remove(made);
        Squeezed(text.Text, ours: []).ShouldBe(Squeezed(before, ours: []));
        if (before.Count(c => c == '\n') > 1 && before.Contains("\"a\"", StringComparison.Ordinal))
            text.Text.ShouldBe(before); // a line of its own leaves none behind
    }

    [Fact]
    public void A_value_of_JSON_is_replaced_in_its_place_and_put_back()
    {
        const string before = "{\n  \"model\": \"a/b\", // mine\n  \"env\": {\"A\": \"1\"}\n}";
        var text = new JsoncText(before);
        text.Set(["model"], "cchat/demo");
        text.Text.ShouldBe("{\n  \"model\": \"cchat/demo\", // mine\n  \"env\": {\"A\": \"1\"}\n}");
        text.Set(["env", "B"], "2");
        text.Text.ShouldContain("""{"A": "1", "B": "2"}""");
        text.Remove(["env", "A"]);
        text.Text.ShouldContain("""{"B": "2"}""");
        text.Set(["env", "A"], "1");
        text.Remove(["env", "A"]);
        text.Text.ShouldContain("""{"B": "2"}""");
        text.Replace(["model"], "\"a/b\"");
        text.Find(["model"]).ShouldBe("\"a/b\"");
        text.Find(["env", "none"]).ShouldBeNull();
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("{", "line 1")]
    [InlineData("{\n  \"a\": 1\n  \"b\": 2\n}", "line 3")]
    [InlineData("{} {}", "line 1")]
    [InlineData("[1]", "no object")]
    [InlineData("\"text\"", "no object")]
    [InlineData("{\"provider\":[]}", "\"provider\" is no object")]
    [InlineData("{\"provider\":{},\"provider\":{}}", "stands twice")]
    public void JSON_that_has_no_place_for_it_is_refused(string before, string what) => Should.Throw<AgentFileException>(() =>
        new JsoncText(before).Set(["provider", "cchat"], new JsonObject { ["a"] = 1 })).Message.ShouldContain(what);

    public static TheoryData<string> Tables =>
    [
        "", "\n", "# nothing\n", "model = \"x\" # mine", "model = \"x\"\n", "a = 1\r\n[t]\r\nb = 2\r\n",
        "# head\n\n[features]\n# f\nfoo = true # t\n\n# next\n[[list]]\nx = 1\n",
        "\n[projects.\"/a b\"]\ntrust_level = \"trusted\"\n[features]", "features.foo = true\ns = '''\n[no.table]\n'''\n",
        "[model_providers.other]\nname = \"o\"\n\n[model_providers.other.headers]\nk = \"v\"\n# end",
    ];

    [Theory]
    [MemberData(nameof(Tables))]
    public void TOML_keeps_every_byte_that_is_not_ours(string before)
    {
        var text = new TomlText(before);
        var old = text.Find(["model"]);
        text.Set(["model"], "demo");
        text.Set(["model_provider"], "cchat");
        text.Set(["features", "multi_agent"], false);
        text.Set(["model_providers", "cchat"], new JsonObject { ["name"] = "N", ["base_url"] = "http://127.0.0.1:1/v1" });
        var after = text.Text;
        text.Find(["features", "multi_agent"]).ShouldBe("false");
        text.Find(["model"]).ShouldBe("\"demo\"");
        foreach (var line in before.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => !line.StartsWith("model =", StringComparison.Ordinal)))
            after.ShouldContain(line);

        text.Set(["model_providers", "cchat"], new JsonObject { ["name"] = "Other" }); // a second time it is replaced
        text.Text.ShouldNotContain("base_url");
        text.Remove(["model_providers", "cchat"]);
        text.Remove(["features", "multi_agent"]);
        text.Remove(["model_provider"]);
        if (old is null)
            text.Remove(["model"]);
        else
            text.Replace(["model"], old);
        text.Text.TrimEnd().ShouldBe(before.TrimEnd());
    }

    [Theory]
    [InlineData("model = ", "line 1")]
    [InlineData("a = 1\n[t\n", "line 2")]
    [InlineData("model = 1\nmodel = 2\n", "no TOML")]
    [InlineData("features = { foo = true }\n", "within one line")]
    [InlineData("[model_providers]\ncchat = { name = \"x\" }\n", "no table of its own")]
    public void TOML_that_has_no_place_for_it_is_refused(string before, string what) => Should.Throw<AgentFileException>(() =>
    {
        var text = new TomlText(before);
        text.Set(["features", "multi_agent"], false);
        text.Set(["model_providers", "cchat"], new JsonObject { ["name"] = "N" });
    }).Message.ShouldContain(what);

    public static TheoryData<string> Mappings =>
    [
        "", "# nothing\n", "model: gpt # mine\n", "model: \"gpt\"\nread: [a, b]\n# end",
        "a: |\n  text: x\n\n  more\nmodel: x\n", "model: x\r\nauto-commits: false\r\n",
        "models:\n  # first\n  - name: GPT\n    provider: openai\n  - name: Other # o\n\n# tail\nrules: []\n",
        "models:\n- name: GPT\n  model: x\nname: N\n", "models: []\nname: N\n", "models:\nname: N\n",
    ];

    [Theory]
    [MemberData(nameof(Mappings))]
    public void YAML_keeps_every_byte_that_is_not_ours(string before)
    {
        var text = new YamlText(before);
        var old = text.Find(["model"]);
        text.Set(["model"], "openai/demo");
        text.Set(["openai-api-base"], "http://127.0.0.1:1/v1");
        var made = text.Set(["models", "Ours"], new JsonObject { ["name"] = "Ours", ["roles"] = new JsonArray("chat") });
        var after = new YamlDotNet.Serialization.DeserializerBuilder().Build().Deserialize<Dictionary<string, object>>(text.Text);
        after["model"].ShouldBe("openai/demo");
        after["openai-api-base"].ShouldBe("http://127.0.0.1:1/v1");
        ((Dictionary<object, object>)((List<object>)after["models"])[0])["name"].ShouldBe("Ours");
        foreach (var line in before.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => !line.StartsWith("model", StringComparison.Ordinal)))
            text.Text.ShouldContain(line);

        text.Remove(["models", "Ours"]);
        if (made is not null && text.IsEmpty(made))
            text.Remove(made);
        text.Remove(["openai-api-base"]);
        if (old is null)
            text.Remove(["model"]);
        else
            text.Replace(["model"], old);
        if (!before.Contains("models: []", StringComparison.Ordinal))
            text.Text.TrimEnd().ShouldBe(before.TrimEnd());
    }

    [Theory]
    [InlineData("a: [", "no YAML")]
    [InlineData("a: b: c\n", "line 1")]
    [InlineData("- a\n", "no mapping")]
    [InlineData("{a: b}\n", "no mapping")]
    [InlineData("a: b\n---\nc: d\n", "several documents")]
    [InlineData("model: x\nmodel: y\n", "twice")]
    [InlineData("models: {a: b}\n", "no list")]
    [InlineData("models: [{name: x}]\n", "no list")]
    public void YAML_that_has_no_place_for_it_is_refused(string before, string what) => Should.Throw<AgentFileException>(() =>
    {
        var text = new YamlText(before);
        text.Set(["model"], "x");
        text.Set(["models", "Ours"], new JsonObject { ["name"] = "Ours" });
    }).Message.ShouldContain(what);

    [Fact]
    public void A_difference_is_a_unified_diff_that_git_and_patch_take()
    {
        var before = string.Concat(Enumerable.Range(0, 30).Select(i => $"line {i}\n")) + "last";
        var after = before.Replace("line 3\n", "line three\n", StringComparison.Ordinal).Replace("line 20\n", "", StringComparison.Ordinal) + "\nmore\n";
        using var home = new AgentHome("");
        home.Write(home.In("f"), before);
        var shown = LineDifference.Show("f", before, after);
        home.Write(home.In("d"), shown);
        using (var patch = System.Diagnostics.Process.Start("git", ["-C", home.Home, "apply", "-p0", "d"]))
        {
            patch.WaitForExit();
            patch.ExitCode.ShouldBe(0, shown);
        }

        File.ReadAllText(home.In("f")).ShouldBe(after);
        shown.ShouldContain("@@ -1,7 +1,7 @@");
        shown.ShouldContain("\\ No newline at end of file");
        LineDifference.Show("f", before, before).ShouldBe("");
        LineDifference.Show("f", null, "a\n").ShouldBe("--- /dev/null\n+++ f\n@@ -0,0 +1 @@\n+a\n");
    }

    [Fact]
    public void A_difference_shows_no_secret_of_others()
    {
        const string before = "{\n  \"apiKey\": \"sk-secret\",\n  \"b\": { \"auth_token\": \"t-secret\" }\n}\n";
        var after = before.Replace("  \"b\"", "  \"openai-api-key\": \"cchat\",\n  \"b\"", StringComparison.Ordinal);
        var shown = LineDifference.Show("f", before, after);
        shown.ShouldNotContain("secret");
        shown.ShouldContain("+  \"openai-api-key\": \"cchat\",");
    }

    private static readonly JsonDocumentOptions Lax = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    // The document without what is ours, and without an object that is empty then.
    private static string Squeezed(string text, string[] ours)
    {
        var node = (JsonObject)JsonNode.Parse(text, documentOptions: Lax)!;
        foreach (var name in ours)
        {
            node.Remove(name);
            (node["provider"] as JsonObject)?.Remove(name);
        }

        if (node["provider"] is JsonObject { Count: 0 })
            node.Remove("provider");
        return node.ToJsonString();
    }
}
