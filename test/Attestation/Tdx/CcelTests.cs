using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>spec/attestation.md section 7, CCEL: a log of our own, right but for one thing.</summary>
public sealed class CcelTests
{
    private const ushort Sha1 = 4, Sha256 = 0x000B, Sha384 = 0x000C;
    private const uint NoAction = 3, Tag = 6;

    private static readonly Event[] Events =
    [
        new(1, Tag, SHA384.HashData("configuration"u8)), new(2, Tag, SHA384.HashData("kernel"u8)), new(2, NoAction, new byte[48]),
        new(3, Tag, SHA384.HashData("command line"u8)), new(2, Tag, SHA384.HashData("loader"u8)), new(4, Tag, SHA384.HashData("container"u8)),
    ];

    [Fact]
    public void A_log_that_gives_the_registers_is_believed()
    {
        Rejected(Write(Events)).ShouldBeNull();
        Rejected([.. Write(Events), .. Enumerable.Repeat((byte)0xFF, 64)]).ShouldBeNull("the rest of a table is unused");
        Rejected([.. Write(Events), .. new byte[64]]).ShouldBeNull();
        Rejected(Write(Events, [Sha1, Sha256, Sha384])).ShouldBeNull("digests of other algorithms stand beside");
    }

    [Fact]
    public void An_altered_digest_is_refused()
    {
        for (var i = 0; i < Events.Length; i++)
        {
            var altered = (Event[])Events.Clone();
            altered[i] = Events[i] with { Digest = SHA384.HashData("another"u8) };
            Rejected(Write(altered)).ShouldBe(Events[i].Type == NoAction ? null : RejectionCode.Mismatch, $"event {i}");
        }
    }

    [Fact]
    public void An_event_that_is_dropped_moved_or_put_into_another_register_is_refused()
    {
        for (var i = 0; i < Events.Length; i++)
            Rejected(Write([.. Events[..i], .. Events[(i + 1)..]]))
                .ShouldBe(Events[i].Type == NoAction || Events[i].Index == 4 ? null : RejectionCode.Mismatch, $"without event {i}");
        Rejected(Write([Events[0], Events[4], Events[2], Events[3], Events[1], Events[5]])).ShouldBe(RejectionCode.Mismatch, "two of one register");
        Rejected(Write([Events[1], Events[0], .. Events[2..]])).ShouldBeNull("two of different registers commute");
        Rejected(Write([Events[0] with { Index = 2 }, .. Events[1..]])).ShouldBe(RejectionCode.Mismatch);
        // An event that the log says was not measured, and was.
        Rejected(Write([Events[0] with { Type = NoAction }, .. Events[1..]])).ShouldBe(RejectionCode.Mismatch);
    }

    [Fact]
    public void Events_of_index_0_are_logged_and_end_no_log()
    {
        Event[] more = [new(0, NoAction, new byte[48]), Events[0], new(0, NoAction, SHA384.HashData("a name"u8)), .. Events[1..]];
        Rejected(Write(more)).ShouldBeNull();
        Rejected(Write([.. more[..^2], more[^2] with { Digest = new byte[48] }, more[^1]])).ShouldBe(RejectionCode.Mismatch, "what is behind them counts");
        Rejected(Write([.. Enumerable.Repeat(more[0], Bounds.EventCount + 1)])).ShouldBe(RejectionCode.TooLarge, "they are counted as well");
    }

    [Theory]
    [InlineData("ccel-index0", "with.ccel", "3 events give rtmr0 to rtmr2; rtmr3 is not in a CCEL")]
    [InlineData("ccel-index0", "without.ccel", "3 events give rtmr0 to rtmr2; rtmr3 is not in a CCEL")]
    [InlineData("ccel-rtmr3", "log.ccel", "3 events give rtmr0 to rtmr2; rtmr3 is not in a CCEL")]
    public void A_log_whose_firmware_or_system_does_more_than_usual_replays(string set, string file, string found)
    {
        var folder = $"../faults/tdx/{set}";
        var verdict = TdxVerifier.Verify(
            Evidence.Bytes($"{folder}/quote.bin"), Evidence.Collateral(folder), Policy.Parse(Vectors.Text($"{folder}/policy.toml")),
            Evidence.Time("2026-06-01T18:00:00Z"),
            eventLog: Evidence.Bytes($"{folder}/{file}")).Verdict;
        verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        verdict.Factors.Single(factor => factor.Name == TdxFactors.EventLog).Found.ShouldBe(found);
    }

    [Fact]
    public void A_CCEL_that_records_RTMR3_is_held_against_it()
    {
        var altered = Events[^1] with { Digest = SHA384.HashData("another container"u8) };
        Rejected(Write([.. Events[..^1], altered])).ShouldBe(RejectionCode.Mismatch);
        Rejected(Write([.. Events, Events[^1]])).ShouldBe(RejectionCode.Mismatch);
    }

    [Theory]
    [InlineData(5)]
    [InlineData(0x7FFFFFFF)]
    [InlineData(0xFFFFFFFE)]
    public void A_register_that_there_is_not_is_refused(uint index) =>
        Rejected(Write([.. Events, Events[0] with { Index = index }])).ShouldBe(RejectionCode.Malformed);

    [Fact]
    public void An_event_with_an_algorithm_that_the_log_does_not_list_is_refused() =>
        Rejected(Write(Events, [Sha384], written: [Sha256, Sha384])).ShouldBe(RejectionCode.Malformed);

    [Fact]
    public void An_event_without_its_digest_or_with_two_is_refused()
    {
        Rejected(Write(Events, [Sha256, Sha384], written: [Sha256])).ShouldBe(RejectionCode.Malformed);
        Rejected(Write(Events, [Sha256, Sha384], written: [Sha384, Sha384])).ShouldBe(RejectionCode.Malformed);
        Rejected(Write(Events, [Sha384], written: [])).ShouldBe(RejectionCode.Malformed);
    }

    [Fact]
    public void A_log_without_SHA_384_is_refused_by_name()
    {
        Rejected(Write(Events, [Sha1, Sha256], written: [Sha1, Sha256])).ShouldBe(RejectionCode.Unsupported);
        Rejected(Write(Events, [])).ShouldBe(RejectionCode.Unsupported);
    }

    [Fact]
    public void The_ACPI_table_that_points_to_a_log_is_no_log() =>
        Rejected(Evidence.Bytes("tdx/05-v4-gcp-ccel-00806f/ccel_table.bin")).ShouldBe(RejectionCode.Malformed);

    [Fact]
    public void A_log_with_too_many_events_or_algorithms_is_refused()
    {
        Rejected(Write([.. Enumerable.Repeat(Events[0], Bounds.EventCount + 1)])).ShouldBe(RejectionCode.TooLarge);
        Rejected(Write(Events, [.. Enumerable.Range(0x20, 8).Select(id => (ushort)id), Sha384])).ShouldBe(RejectionCode.Malformed);
        Rejected(Write(Events, [Sha384, Sha384])).ShouldBe(RejectionCode.Malformed);
    }

    [Fact]
    public void A_beginning_of_another_kind_or_size_is_refused()
    {
        var log = Write(Events);
        foreach (var at in new[] { 4, 32, 47 }) // type, the text's first byte and its last
            Rejected(Changed(log, at, (byte)(log[at] ^ 1))).ShouldBe(RejectionCode.Malformed, $"byte {at}");
        Rejected(log[..40]).ShouldBe(RejectionCode.Malformed);
        // Two algorithms, of which one is there.
        Rejected(Changed(log, 56, 2)).ShouldBe(RejectionCode.Unsupported);
        Rejected(Write(Events, [.. Enumerable.Range(0x20, 7).Select(id => (ushort)id), Sha384])).ShouldBeNull("eight algorithms");
        // SHA-384 of another size.
        Rejected(Changed(log, 62, 32)).ShouldBe(RejectionCode.Unsupported);

        static byte[] Changed(byte[] log, int at, byte value)
        {
            var changed = (byte[])log.Clone();
            changed[at] = value;
            return changed;
        }
    }

    [Fact]
    public void An_event_that_does_not_end_is_refused()
    {
        var log = Write(Events);
        EventLog.TryParse(log.AsMemory(0, log.Length - 1), out _)!.Code.ShouldBe(RejectionCode.Malformed);
        EventLog.TryParse((byte[])[.. log, 1, 0, 0, 0], out _)!.Code.ShouldBe(RejectionCode.Malformed);
        EventLog.TryParse((byte[])[.. log, 1, 0, 0], out var whole).ShouldBeNull("less than an index");
        whole!.Events.Count.ShouldBe(5);
        EventLog.TryParse(Write([.. Enumerable.Repeat(Events[0], Bounds.EventCount)]), out whole).ShouldBeNull();
        whole!.Events.Count.ShouldBe(Bounds.EventCount);
    }

    // The verdict on a quote with the registers of Events: null where the log is believed, and no other factor refuses.
    private static RejectionCode? Rejected(byte[] log)
    {
        var platform = new IntelPlatform();
        foreach (var measured in Events.Where(measured => measured.Type != NoAction))
        {
            var register = platform.Register((int)measured.Index - 1);
            SHA384.HashData([.. register, .. measured.Digest]).CopyTo(register);
        }

        var verdict = platform.Verify(eventLog: log).Verdict;
        verdict.Refusals().ShouldBeSubsetOf(["tdx.event_log"]);
        return verdict.CodeOf(TdxFactors.EventLog);
    }

    // TCG PC Client Platform Firmware Profile, section 10: the legacy event first, then the crypto-agile ones.
    private static byte[] Write(Event[] events, ushort[]? listed = null, ushort[]? written = null)
    {
        listed ??= [Sha384];
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream, Encoding.ASCII);
        writer.Write(0u);
        writer.Write(NoAction);
        writer.Write(new byte[20]);
        writer.Write(16 + 8 + 4 + (4 * listed.Length) + 1);
        writer.Write("Spec ID Event03\0"u8);
        writer.Write([0, 0, 0, 0, 0, 2, 0, 2]);
        writer.Write(listed.Length);
        foreach (var algorithm in listed)
        {
            writer.Write(algorithm);
            writer.Write((ushort)Size(algorithm));
        }

        writer.Write((byte)0);
        foreach (var (index, type, digest) in events)
        {
            writer.Write(index);
            writer.Write(type);
            writer.Write((written ?? listed).Length);
            foreach (var algorithm in written ?? listed)
            {
                writer.Write(algorithm);
                writer.Write(algorithm == Sha384 ? digest : new byte[Size(algorithm)]);
            }

            writer.Write(4);
            writer.Write("data"u8);
        }

        writer.Flush();
        return stream.ToArray();

        static int Size(ushort algorithm) => algorithm switch { Sha1 => 20, Sha256 => 32, _ => 48 };
    }

    private sealed record Event(uint Index, uint Type, byte[] Digest);
}
