using ConfidentialChat.Fixtures;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Node.Tests.Llama;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/inference.md section 1: what is said to who configures engines that cannot be served together, or at all.</summary>
public sealed class EngineSetTests
{
    [Fact]
    public async Task One_name_for_the_embedded_and_the_http_engine_is_refused_as_that()
    {
        using var folder = new TemporaryFolder();
        var model = folder.File("fixture.gguf");
        FixtureModel.Write(model);
        await using var engine = await ScriptedEngine.StartAsync();
        var upstream = new UpstreamOptions { Model = FixtureModel.Name, EngineModel = "scripted", Urls = [engine.Url] };
        var embedded = new EmbeddedEngineOptions { ModelPath = model, Sequences = 1 };
        var error = await Should.ThrowAsync<UpstreamException>(() => EngineSet.OpenAsync(embedded, upstream, null, TestContext.Current.CancellationToken));
        error.Message.ShouldBe("The embedded engine's model and the HTTP engine's have one name.");
        error.Hint.ShouldContain("--upstream-model");

        await using var set = await EngineSet.OpenAsync(embedded, upstream with { Model = "another" }, null, TestContext.Current.CancellationToken);
        set.Models.ShouldBe([FixtureModel.Name, "another"]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(65)]
    [InlineData(int.MaxValue)]
    public async Task As_many_requests_at_once_as_the_embedded_engine_does_not_compute_are_refused_as_that(int sequences)
    {
        var options = new EmbeddedEngineOptions { ModelPath = "absent.gguf", Sequences = sequences };
        foreach (var open in (Func<Task>[])
        [
            () => EngineSet.OpenAsync(options, null, null, CancellationToken.None), () => EmbeddedEngine.CheckAsync(options, null, CancellationToken.None),
        ])
        {
            var error = await Should.ThrowAsync<ModelLoadException>(open);
            error.Message.ShouldBe($"The embedded engine was asked to compute {sequences} requests at once; it computes 1 to 64.");
            error.Hint.ShouldContain("--parallel");
        }
    }

    [Fact]
    public async Task A_model_file_without_a_name_is_refused_as_that()
    {
        var options = new EmbeddedEngineOptions { ModelPath = "" };
        (await Should.ThrowAsync<ModelLoadException>(() => EngineSet.OpenAsync(options, null, null, CancellationToken.None)))
            .Message.ShouldBe("The model file's name is empty.");
    }
}
