using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Vouchers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Metering;

/// <summary>spec/vouchers.md section 4, rules 3 to 5: what waits outlives the process, whatever stands in the file.</summary>
public sealed class OutboxTests : IDisposable
{
    private const int All = int.MaxValue;

    private readonly string directory = Directory.CreateTempSubdirectory("cchat-outbox-").FullName;
    private readonly FakeTimeProvider time = new(DateTimeOffset.FromUnixTimeSeconds(1_800_000_000));
    private readonly Ed25519PrivateKey key = Ed25519PrivateKey.Generate(out _);
    private readonly Ed25519PrivateKey gateway = Ed25519PrivateKey.Generate(out _);
    private readonly CapturedLog captured = new();
    private readonly LoggerFactory logs;
    private readonly Seldom seldom;

    public OutboxTests()
    {
        logs = new LoggerFactory([captured]);
        seldom = new Seldom(time, NullLogger<Seldom>.Instance);
    }

    public void Dispose()
    {
        seldom.Dispose();
        logs.Dispose();
        key.Dispose();
        gateway.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public void What_waits_is_there_again_byte_for_byte_and_what_was_acknowledged_is_not()
    {
        var (first, second) = (Batch(3), Batch(1));
        using (var outbox = Open())
        {
            outbox.Add(first);
            outbox.Add(second);
            outbox.Acknowledge([first.Requests[1].Value, Guid.NewGuid()]).ShouldBe(1);
        }

        using var again = Open();
        again.Next(Audience, All, All).Select(voucher => voucher.Voucher)
            .ShouldBe(((byte[][])[first.Signed(0), first.Signed(2), second.Signed(0)]).Select(Convert.ToBase64String));
        foreach (var delivered in again.Next(Audience, All, All))
        {
            SignedVoucher.TryParse(Convert.FromBase64String(delivered.Voucher), out var signed).ShouldBe(CoseError.None);
            signed!.IsSignedBy(key.PublicKey).ShouldBeTrue();
        }
    }

    [Fact]
    public void A_file_that_was_never_closed_is_whole_when_the_process_is_killed()
    {
        var outbox = Open();
        outbox.Add(Batch(5));
        var copy = Path.Combine(directory, "copy");
        Directory.CreateDirectory(copy);
        using (var copying = Process.Start("cp", [FilePath, copy])) // what the system has, whatever becomes of this process
            copying.WaitForExit();
        outbox.Dispose();
        using var again = Open(copy);
        again.Count.ShouldBe(5);
    }

    [Fact]
    public void The_file_is_its_owners_alone_and_empty_when_nothing_waits()
    {
        using var outbox = Open();
        var batch = Batch(2);
        outbox.Add(batch);
        if (!OperatingSystem.IsWindows())
            File.GetUnixFileMode(FilePath).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        outbox.Acknowledge(batch.Requests.Select(request => request.Value)).ShouldBe(2);
        new FileInfo(FilePath).Length.ShouldBe(0);
        outbox.Next(Audience, All, All).ShouldBeEmpty();
    }

    [Fact]
    public void The_mode_of_a_file_that_was_open_to_others_is_mended()
    {
        if (OperatingSystem.IsWindows())
            return;
        File.WriteAllText(FilePath, "");
        File.SetUnixFileMode(FilePath, (UnixFileMode)0b110_110_110);
        using var outbox = Open();
        File.GetUnixFileMode(FilePath).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    [Fact]
    public void A_torn_last_record_is_skipped_wherever_it_was_torn_and_what_comes_next_is_kept()
    {
        var (whole, torn, next) = (Batch(2), Batch(2), Batch(1));
        using (var outbox = Open())
        {
            outbox.Add(whole);
            outbox.Add(torn);
        }

        var bytes = File.ReadAllBytes(FilePath);
        var begin = Array.IndexOf(bytes, (byte)'\n') + 1;
        for (var end = begin; end < bytes.Length; end += 7)
        {
            File.WriteAllBytes(FilePath, bytes[..end]);
            using (var outbox = Open())
            {
                outbox.Count.ShouldBe(2);
                outbox.Add(next);
            }

            using var again = Open();
            again.Next(Audience, All, All).Select(voucher => voucher.Request)
                .ShouldBe([.. whole.Requests.Select(request => request.Value), next.Requests[0].Value]);
        }

        captured.Text.ShouldContain("The file vouchers holds 1 lines");
    }

    [Fact]
    public void A_byte_that_was_changed_costs_its_own_line_alone()
    {
        VoucherBatch[] kept = [Batch(2), Batch(2), Batch(2)];
        using (var outbox = Open())
            Array.ForEach(kept, outbox.Add);
        var bytes = File.ReadAllBytes(FilePath);
        var random = new Random(7);
        for (var i = 0; i < 300; i++)
        {
            var bent = bytes.ToArray();
            bent[random.Next(bent.Length)] ^= (byte)(1 << random.Next(8));
            File.WriteAllBytes(FilePath, bent);
            using var outbox = Open();
            outbox.Count.ShouldBeInRange(2, 6); // a line's end that went takes the one behind it, too
            foreach (var delivered in outbox.Next(Audience, All, All))
                kept.Any(batch => batch.Requests.Any(request => request.Value == delivered.Request)).ShouldBeTrue();
        }
    }

    [Fact]
    public void Foreign_bytes_of_any_kind_are_skipped_and_crash_nothing()
    {
        var batch = Batch(2);
        using (var outbox = Open())
            outbox.Add(batch);
        var good = File.ReadAllBytes(FilePath);
        var random = new Random(8);
        byte[] noise = new byte[100_000];
        random.NextBytes(noise);
        byte[][] strange =
        [
            noise, new byte[3 << 20], [.. Enumerable.Repeat((byte)'\n', 5000)], Encoding.UTF8.GetBytes("{\"vouchers\": []}\n"),
            [.. Enumerable.Repeat((byte)'+', (512 * 1024) + 1), (byte)'\n'], Line('+', noise), Line('-', noise[..99_999]), Line('?', []), Line('-', []),
            Line('+', [0x83, 0x40, 0x40, 0x80]), Line('+', [.. Enumerable.Repeat((byte)0x83, 5000)]),
        ];
        foreach (var bytes in strange)
        {
            File.WriteAllBytes(FilePath, [.. bytes, (byte)'\n', .. good]);
            using (var outbox = Open())
                outbox.Next(Audience, All, All).Select(voucher => voucher.Request).ShouldBe(batch.Requests.Select(request => request.Value));
            File.ReadAllBytes(FilePath).SequenceEqual(good).ShouldBeTrue(); // and gone from the file
        }
    }

    [Fact]
    public void A_file_that_is_another_processes_is_not_taken()
    {
        using var outbox = Open();
        Should.Throw<NodeOptionsException>(Open).Message.ShouldStartWith("Another node runs with the data directory");
        var batch = Batch(300 - 44);
        outbox.Add(batch);
        for (var i = 0; i < 80; i++) // until it was written anew
        {
            var more = Batch(256);
            outbox.Add(more);
            outbox.Acknowledge(more.Requests.Select(request => request.Value));
        }

        Should.Throw<NodeOptionsException>(Open);
        File.Exists(FilePath + ".new").ShouldBeFalse();
    }

    [Fact]
    public void A_file_of_which_most_is_acknowledged_is_written_anew_and_stays_small()
    {
        var old = Batch(3);
        using (var outbox = Open())
        {
            outbox.Add(old);
            outbox.Acknowledge([old.Requests[0].Value]);
            for (var i = 0; i < 200; i++)
            {
                var batch = Batch(256);
                outbox.Add(batch);
                outbox.Acknowledge(batch.Requests.Select(request => request.Value));
                new FileInfo(FilePath).Length.ShouldBeLessThan(2 << 20);
            }
        }

        using var again = Open();
        again.Next(Audience, All, All).Select(voucher => voucher.Request).ShouldBe(old.Requests.Skip(1).Select(request => request.Value));
    }

    [Fact]
    public void Beyond_a_hundred_thousand_the_oldest_is_given_up_also_when_the_file_holds_more()
    {
        var first = Batch(256);
        using (var outbox = Open())
        {
            outbox.Add(first);
            outbox.Next(Audience, 100, All); // whose turn it was is no younger for it
            for (var added = 256; added < Outbox.MaxWaiting; added += 256)
                outbox.Add(Batch(Math.Min(256, Outbox.MaxWaiting - added)));
            captured.Text.ShouldNotContain("given up");
            outbox.Add(Batch(1));
            outbox.Count.ShouldBe(Outbox.MaxWaiting);
            captured.Text.ShouldContain($"request {first.Requests[0].Value} was given up");
        }

        using var again = Open();
        again.Count.ShouldBe(Outbox.MaxWaiting);
    }

    [Fact]
    public void What_no_gateway_has_a_key_for_any_more_is_given_up()
    {
        using var outbox = Open();
        var old = Batch(2);
        outbox.Add(old);
        time.Advance(TimeSpan.FromDays(30));
        outbox.Next(Audience, All, All).Count.ShouldBe(2);
        outbox.Add(Batch(1));
        time.Advance(TimeSpan.FromSeconds(1));
        outbox.Next(Audience, All, All).Count.ShouldBe(1);
        captured.Text.ShouldContain($"request {old.Requests[0].Value} was given up");
    }

    [Fact]
    public void What_is_for_another_gateway_waits_for_it_and_holds_up_nothing()
    {
        using var other = Ed25519PrivateKey.Generate(out _);
        using var outbox = Open();
        var (theirs, mine) = (Batch(200, SignedVoucher.AudienceOf(other.PublicKey)), Batch(2));
        outbox.Add(theirs);
        outbox.Add(mine);
        outbox.Next(Audience, 10, All).Select(voucher => voucher.Request).ShouldBe(mine.Requests.Select(request => request.Value));
        outbox.Next(SignedVoucher.AudienceOf(other.PublicKey), All, All).Count.ShouldBe(200);
    }

    [Fact]
    public void What_is_not_acknowledged_goes_behind_the_others_and_a_message_has_its_size()
    {
        using var outbox = Open();
        var batch = Batch(10);
        outbox.Add(batch);
        Guid[] ids = [.. batch.Requests.Select(request => request.Value)];
        outbox.Next(Audience, 4, All).Select(voucher => voucher.Request).ShouldBe(ids[..4]);
        outbox.Next(Audience, 4, All).Select(voucher => voucher.Request).ShouldBe(ids[4..8]);
        outbox.Next(Audience, 4, All).Select(voucher => voucher.Request).ShouldBe([.. ids[8..], .. ids[..2]]);
        var one = outbox.Next(Audience, 1, All)[0].Voucher.Length;
        outbox.Next(Audience, All, (3 * one) + 1).Count.ShouldBe(3);
    }

    [Fact]
    public void A_disk_that_takes_nothing_costs_no_voucher_and_the_file_is_whole_again_when_it_does()
    {
        using (var outbox = Open())
        {
            var (held, first) = (Batch(2), Batch(256));
            outbox.Add(held);
            Directory.CreateDirectory(FilePath + ".new"); // nothing can be written beside it
            for (var i = 0; i < 80; i++)
            {
                outbox.Add(first = Batch(256));
                outbox.Acknowledge(first.Requests.Select(request => request.Value));
            }

            captured.Text.ShouldContain("Vouchers could not be written");
            outbox.Sync();
            outbox.Add(Batch(1));
            outbox.Count.ShouldBe(3);
            Directory.Delete(FilePath + ".new");
            outbox.Sync();
        }

        using var again = Open();
        again.Count.ShouldBe(3);
        captured.Text.ShouldNotContain("are skipped");
    }

    private string FilePath => Path.Combine(directory, "vouchers");

    private string Audience => SignedVoucher.AudienceOf(gateway.PublicKey);

    private Outbox Open() => Open(directory);

    private Outbox Open(string place) => Outbox.Open(place, time, seldom, logs.CreateLogger<Outbox>());

    private static byte[] Line(char kind, byte[] content)
    {
        var text = Convert.ToBase64String(content);
        return Encoding.ASCII.GetBytes($"{kind}{Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(text))[..8])}{text}");
    }

    private VoucherBatch Batch(int count, string? audience = null) => VoucherBatch.Sign(
        [
            .. Enumerable.Range(0, count).Select(i => new Voucher
            {
                Request = new RequestId(Guid.NewGuid()), Model = "m", Usage = new Usage(16, 16 * i), Multiple = 16,
            }),
        ],
        new KeySetDigest(new byte[32]), audience ?? Audience, time.GetUtcNow(), key);
}
