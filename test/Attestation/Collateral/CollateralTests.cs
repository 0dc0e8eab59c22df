using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Collateral;

/// <summary>Where collateral comes from: a folder, and what is kept of it.</summary>
public sealed class CollateralTests : IDisposable
{
    private const string Set = "tdx/01-v4-uptodate-b0c06f";

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("cchat-collateral-");

    [Theory]
    [InlineData(Set)]
    [InlineData("tdx/12-v4-wrong-root-intel-sample")]
    [InlineData("bundles/01-tinfoil-direct-tdx-1gpu")]
    public void Each_way_of_naming_the_files_is_read(string set)
    {
        var collateral = new CollateralFolder(Vectors.Locate(set)).Tdx("90c06f000000");
        foreach (var file in new[] { collateral.TcbInfo, collateral.QeIdentity, collateral.TcbSigningChain, collateral.PckCrl, collateral.RootCaCrl })
            file.ShouldNotBeNull().Length.ShouldBeGreaterThan(100);
    }

    [Fact]
    public void TCB_info_of_the_platform_comes_before_that_of_any()
    {
        Write("tcb_info.json", [1]);
        Write("tcb_info_b0c06f000000.json", [2]);
        var source = new CollateralFolder(folder.FullName);
        source.Tdx("b0c06f000000").TcbInfo!.Value.Span[0].ShouldBe((byte)2);
        source.Tdx("00806f050000").TcbInfo!.Value.Span[0].ShouldBe((byte)1);
        source.Tdx(null).TcbInfo!.Value.Span[0].ShouldBe((byte)1);
    }

    [Fact]
    public void An_absent_file_is_missing_and_an_oversized_one_is_too_large()
    {
        var (quote, at) = (Evidence.Bytes($"{Set}/quote.bin"), Evidence.First(Set).At);
        var none = new CollateralFolder(folder.FullName).Tdx(null);
        none.ShouldBe(new TdxCollateral());
        TdxVerifier.Verify(quote, none, Policy.Default, at).Verdict.CodeOf(TdxFactors.PckCrl).ShouldBe(RejectionCode.Missing);
        Write("pck_crl.der", new byte[Bounds.RevocationList + 100]);
        TdxVerifier.Verify(quote, new CollateralFolder(folder.FullName).Tdx(null), Policy.Default, at).Verdict.CodeOf(TdxFactors.PckCrl)
            .ShouldBe(RejectionCode.TooLarge);
    }

    [Fact]
    public void What_is_kept_is_asked_for_again_when_it_is_too_old()
    {
        var clock = new Clock();
        var source = new Counting();
        var kept = new KeptCollateral(source, TimeSpan.FromHours(1), clock);
        var first = kept.Tdx("b0c06f000000");
        clock.Now += TimeSpan.FromMinutes(59);
        kept.Tdx("b0c06f000000").ShouldBeSameAs(first);
        kept.Tdx("00806f050000").ShouldNotBeSameAs(first);
        kept.Tdx(null);
        source.Asked.ShouldBe(["b0c06f000000", "00806f050000", null]);
        clock.Now += TimeSpan.FromMinutes(1);
        kept.Tdx("b0c06f000000").ShouldNotBeSameAs(first);
        for (var i = 0; i < 200; i++)
            kept.Tdx($"{i:x12}");
        source.Asked.Count.ShouldBe(204);
    }

    [Fact]
    public void What_is_kept_of_many_platforms_is_bounded_and_one_that_is_too_old_costs_the_others_nothing()
    {
        var clock = new Clock();
        var source = new Counting();
        var kept = new KeptCollateral(source, TimeSpan.FromHours(1), clock);
        kept.Tdx("0");
        clock.Now += TimeSpan.FromMinutes(30);
        for (var i = 1; i < 64; i++)
            kept.Tdx($"{i}");
        clock.Now += TimeSpan.FromMinutes(30);
        kept.Tdx("0"); // too old, and asked for again
        source.Asked.Count.ShouldBe(65);
        for (var i = 0; i < 64; i++)
            kept.Tdx($"{i}");
        source.Asked.Count.ShouldBe(65);
        kept.Tdx("64"); // one too many
        kept.Tdx("64");
        source.Asked.Count.ShouldBe(66);
        kept.Tdx("0");
        source.Asked.Count.ShouldBe(67);
    }

    [Fact]
    public void An_answer_with_something_missing_is_not_kept()
    {
        var source = new Counting { IsComplete = false };
        var kept = new KeptCollateral(source, TimeSpan.FromHours(1), new Clock());
        kept.Tdx(null).PckCrl.ShouldBeNull();
        source.IsComplete = true;
        var whole = kept.Tdx(null);
        whole.PckCrl.ShouldNotBeNull("it was put there meanwhile");
        kept.Tdx(null).ShouldBeSameAs(whole);
    }

    [Theory]
    [InlineData("/dev/zero")]
    [InlineData("/dev/full")]
    [InlineData("/proc/self/stat")]
    public void What_is_no_regular_file_is_refused_before_it_is_opened(string target)
    {
        File.CreateSymbolicLink(Path.Combine(folder.FullName, "qe_identity.json"), target);
        Should.Throw<IOException>(() => new CollateralFolder(folder.FullName).Tdx(null)).Message.ShouldContain("qe_identity.json");
    }

    [Fact]
    public async Task A_pipe_that_nobody_writes_to_is_refused_and_not_waited_for()
    {
        using (var made = System.Diagnostics.Process.Start("mkfifo", Path.Combine(folder.FullName, "pck_crl.der")))
            await made.WaitForExitAsync(TestContext.Current.CancellationToken);
        var read = Task.Run(() => new CollateralFolder(folder.FullName).Tdx(null), TestContext.Current.CancellationToken);
        await Should.ThrowAsync<IOException>(() => read.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_link_to_a_file_is_read()
    {
        Write("elsewhere", [1, 2, 3]);
        File.CreateSymbolicLink(Path.Combine(folder.FullName, "pck_crl.der"), Path.Combine(folder.FullName, "elsewhere"));
        new CollateralFolder(folder.FullName).Tdx(null).PckCrl!.Value.ToArray().ShouldBe([1, 2, 3]);
    }

    public void Dispose() => folder.Delete(recursive: true);

    private void Write(string name, byte[] bytes) => File.WriteAllBytes(Path.Combine(folder.FullName, name), bytes);

    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.UnixEpoch;

        public override DateTimeOffset GetUtcNow() => Now;
    }

    private sealed class Counting : ICollateralSource
    {
        private static readonly TdxCollateral Whole = new()
        {
            TcbInfo = new byte[1],
            QeIdentity = new byte[1],
            TcbSigningChain = new byte[1],
            PckCrl = new byte[1],
            RootCaCrl = new byte[1],
        };

        public List<string?> Asked { get; } = [];

        public bool IsComplete { get; set; } = true;

        public TdxCollateral Tdx(string? fmspc)
        {
            Asked.Add(fmspc);
            return IsComplete ? Whole with { } : Whole with { PckCrl = null };
        }
    }
}
