using System.Buffers.Binary;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>A model that cannot be served is said before anything listens.</summary>
public sealed class ModelFileTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("cchat-test-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("missing", "There is no model file")]
    [InlineData("empty", "does not begin with GGUF")]
    [InlineData("text", "does not begin with GGUF")]
    [InlineData("truncated", "is not all there")]
    [InlineData("corrupt", "is damaged")]
    [InlineData("architecture", "unknown model architecture")]
    [InlineData("template", "chat template")]
    public async Task Up_with_a_model_that_cannot_be_served_starts_neither_gateway_nor_node(string fault, string says)
    {
        var model = Path.Combine(directory, "model.gguf");
        if (fault != "missing")
            await File.WriteAllBytesAsync(model, Faulty(fault), TestContext.Current.CancellationToken);
        var data = Path.Combine(directory, "data");

        var (exitCode, output, errors) = await RunningStack.RunAsync(
            ["up", "--json", "--gateway-port", "0", "--node-port", "0", "--data", data, "--model", model]);

        exitCode.ShouldBe(2, errors);
        output.ShouldBeEmpty();
        errors.ShouldContain(says);
        errors.ShouldContain("hint: ");
        errors.ShouldNotContain("gateway: ");
        Directory.Exists(Path.Combine(data, "logs")).ShouldBeFalse();
    }

    [Fact]
    public async Task A_node_whose_weights_are_no_numbers_does_not_listen()
    {
        var model = Path.Combine(directory, "model.gguf");
        await File.WriteAllBytesAsync(model, Faulty("weights"), TestContext.Current.CancellationToken);

        var (exitCode, output, errors) = await RunningStack.RunAsync(
            ["node", "--data", Path.Combine(directory, "data"), "--port", "0", "--gateway", "http://127.0.0.1:1", "--model", model]);

        exitCode.ShouldBe(2, errors);
        output.ShouldBeEmpty();
        errors.ShouldContain("invalid data");
        errors.ShouldContain("hint: ");
    }

    private static byte[] Faulty(string fault)
    {
        using var stream = new MemoryStream();
        FixtureModel.Write(stream, fault == "template" ? "{{ messages }}" : FixtureModel.ChatTemplate);
        var model = stream.ToArray();
        switch (fault)
        {
            case "empty":
                return [];
            case "text":
                return "version https://git-lfs.github.com/spec/v1"u8.ToArray();
            case "truncated":
                return model[..^1000];
            case "corrupt":
                BinaryPrimitives.WriteUInt64LittleEndian(model.AsSpan(16), 1UL << 40); // the count of metadata
                break;
            case "architecture":
                foreach (var at in (int[])[.. Occurrences(model, "llama"u8)])
                    "lamma"u8.CopyTo(model.AsSpan(at));
                break;
            case "weights":
                BinaryPrimitives.WriteSingleLittleEndian(model.AsSpan(model.Length - 4096), float.NaN);
                break;
        }

        return model;
    }

    private static List<int> Occurrences(byte[] bytes, ReadOnlySpan<byte> text)
    {
        var found = new List<int>();
        for (var at = bytes.AsSpan().IndexOf(text); at >= 0; at = bytes.AsSpan(found[^1] + 1).IndexOf(text) is >= 0 and var next ? found[^1] + 1 + next : -1)
            found.Add(at);
        return found;
    }
}
