// spec/vouchers.md section 4, rules 3 to 5.
using System.Buffers.Text;
using System.Text;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Node.Metering;

// a line: '+' or '-', 16 digits (the checksum: 8 bytes of SHA-256 of what follows), base64, '\n'
//   +  a batch, as VoucherBatch writes it
//   -  request ids of 16 bytes, big endian: they are acknowledged
/// <summary>
/// The vouchers that wait for their gateway, in memory and in a file, which outlives the process. One process at a time has it open.
/// Safe from any thread.
/// </summary>
internal sealed class Outbox : IDisposable
{
    /// <summary>Vouchers; beyond them the oldest give way.</summary>
    public const int MaxWaiting = 100_000;

    private const string FileName = "vouchers";
    private const int ChecksumSize = 8;
    private const int IdSize = 16;
    private const int PrefixSize = 1 + (2 * ChecksumSize);
    private const int MaxLine = 512 * 1024;
    private const long MaxFile = 256L * 1024 * 1024;
    private const int Slack = 1024 * 1024; // of what is acknowledged, before the file is written anew

    /// <summary>No gateway has a key for longer.</summary>
    private static readonly TimeSpan MaxAge = TimeSpan.FromDays(30);

    private readonly string path;
    private readonly TimeProvider time;
    private readonly Seldom seldom;
    private readonly ILogger<Outbox> log;
    private readonly Lock gate = new();
    private readonly Dictionary<Guid, Waiting> waiting = [];
    private readonly LinkedList<Waiting> turn = new(); // whoever was delivered goes behind the others, acknowledged or not
    private readonly LinkedList<Batch> batches = new(); // the oldest first
    private FileStream file;
    private long live; // bytes of the lines of batches that wait
    private bool isUnsynced, isBroken;

    private Outbox(string path, FileStream file, TimeProvider time, Seldom seldom, ILogger<Outbox> log)
    {
        (this.path, this.file, this.time, this.seldom, this.log) = (path, file, time, seldom, log);
    }

    /// <summary>How many wait.</summary>
    public int Count
    {
        get
        {
            lock (gate)
                return waiting.Count;
        }
    }

    /// <summary>Takes up what the process before left.</summary>
    /// <exception cref="NodeOptionsException">Another process has it, or it cannot be read.</exception>
    public static Outbox Open(string directory, TimeProvider time, Seldom seldom, ILogger<Outbox> log)
    {
        var path = Path.Combine(directory, FileName);
        FileStream? file = null;
        try
        {
            file = PrivateFile.TryLock(path)
                ?? throw new NodeOptionsException(
                    $"Another node runs with the data directory {directory}.", "stop it, or give this one a directory of its own");
            var outbox = new Outbox(path, file, time, seldom, log);
            outbox.Load();
            return outbox;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            file?.Dispose();
            throw new NodeOptionsException($"{path} cannot be used: {e.Message}", "restore it, or move it away: its vouchers are lost then", e);
        }
    }

    /// <summary>Keeps a batch, in the file before this returns unless that cannot be written.</summary>
    public void Add(VoucherBatch batch)
    {
        lock (gate)
        {
            var line = Line('+', batch.Write());
            Take(batch, line.Length);
            while (waiting.Count > MaxWaiting)
                GiveUpOldest();
            Append(line);
        }
    }

    /// <summary>These need not be delivered again.</summary>
    /// <returns>How many of them waited.</returns>
    public int Acknowledge(IEnumerable<Guid> requests)
    {
        lock (gate)
        {
            var settled = requests.Where(Settle).ToList();
            if (settled.Count == 0)
                return 0;
            if (waiting.Count == 0)
                Empty();
            else
                Append(Line('-', Ids(settled)));
            if (file.Length > (2 * live) + Slack)
                WriteAnew();
            return settled.Count;
        }
    }

    /// <summary>The next that are for a gateway; whatever of them is not acknowledged comes again after all others.</summary>
    /// <param name="audience">The gateway.</param>
    /// <param name="most">How many.</param>
    /// <param name="mostCharacters">Of all their base64.</param>
    public IReadOnlyList<DeliveredVoucher> Next(string audience, int most, int mostCharacters)
    {
        lock (gate)
        {
            while (batches.First?.Value is { } oldest && time.GetUtcNow() - oldest.Vouchers.Time > MaxAge)
            {
                foreach (var request in oldest.Vouchers.Requests)
                    GiveUp(request.Value);
            }

            var next = new List<DeliveredVoucher>();
            var characters = 0;
            for (var left = turn.Count; left > 0 && next.Count < most; left--)
            {
                var first = turn.First!;
                var (batch, index) = (first.Value.Batch.Vouchers, first.Value.Index);
                if (string.Equals(batch.Audience, audience, StringComparison.Ordinal))
                {
                    var text = Convert.ToBase64String(batch.Signed(index));
                    if ((characters += text.Length) > mostCharacters)
                        break;
                    next.Add(new DeliveredVoucher(batch.Requests[index].Value, text));
                }

                turn.RemoveFirst();
                turn.AddLast(first);
            }

            return next;
        }
    }

    /// <summary>Flushes to the disk what waits and was written since, and writes anew what could not be written.</summary>
    public void Sync()
    {
        lock (gate)
        {
            if (isBroken)
                WriteAnew();
            if (!isUnsynced || isBroken)
                return;
            Try(() => file.Flush(flushToDisk: true)); // under the lock: what is added meanwhile waits, and no request does
            isUnsynced = false;
        }
    }

    public void Dispose()
    {
        lock (gate)
        {
            if (waiting.Count > 0)
                Try(() => file.Flush(flushToDisk: true));
            file.Dispose();
        }
    }

    // --- What waits
    private void Take(VoucherBatch vouchers, int bytes)
    {
        var batch = new Batch(vouchers, bytes);
        for (var i = 0; i < vouchers.Requests.Count; i++)
        {
            var one = new Waiting(batch, i);
            if (!waiting.TryAdd(vouchers.Requests[i].Value, one))
                continue; // a request has one voucher, and a file may say anything
            one.Turn = turn.AddLast(one);
            batch.Left++;
        }

        if (batch.Left == 0)
            return;
        batch.Place = batches.AddLast(batch);
        live += bytes;
    }

    private bool Settle(Guid request)
    {
        if (!waiting.Remove(request, out var one))
            return false;
        turn.Remove(one.Turn!);
        if (--one.Batch.Left == 0)
        {
            batches.Remove(one.Batch.Place!);
            live -= one.Batch.Bytes;
        }

        return true;
    }

    private void GiveUpOldest()
    {
        var oldest = batches.First!.Value;
        GiveUp(oldest.Vouchers.Requests.First(request => waiting.TryGetValue(request.Value, out var one) && one.Batch == oldest).Value);
    }

    private void GiveUp(Guid request)
    {
        if (Settle(request) && seldom.Says("Vouchers given up"))
            log.ReportGivenUp(request);
    }

    // --- The file
    private void Load()
    {
        var skipped = 0;
        var length = file.Length;
        foreach (var line in Lines(file, () => skipped++))
        {
            if (!TryRead(line, out var kind, out var content))
                skipped++;
            else if (kind == '-' && content.Length % IdSize == 0)
                Array.ForEach(Guids(content), request => Settle(request));
            else if (kind == '+' && VoucherBatch.TryRead(content, out var batch))
                Take(batch, line.Length + 1);
            else
                skipped++;
        }

        while (waiting.Count > MaxWaiting)
            GiveUpOldest();
        if (skipped > 0)
            log.VouchersSkipped(skipped);
        if (waiting.Count == 0 && skipped == 0)
            Empty();
        else if (skipped > 0 || length > (2 * live) + Slack)
            WriteAnew(); // what is added is not to stand behind half a line
        else
            file.Seek(0, SeekOrigin.End);
    }

    private void Append(byte[] line)
    {
        if (isBroken)
            return; // all of it is written anew, as soon as it can be
        Try(() =>
        {
            file.Write(line);
            file.Flush(); // to the system, which keeps it when this process ends
        });
        isUnsynced = true;
    }

    private void Empty()
    {
        Try(() =>
        {
            file.SetLength(0);
            file.Seek(0, SeekOrigin.Begin);
        });
        isUnsynced = false;
    }

    // Beside the one that is there, and in its place when it is whole. It is locked before it has the name.
    private void WriteAnew()
    {
        isBroken = false;
        Try(() =>
        {
            var unfinished = path + ".new";
            File.Delete(unfinished);
            var anew = PrivateFile.Open(unfinished, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);
            try
            {
                foreach (var batch in batches)
                {
                    anew.Write(Line('+', batch.Vouchers.Write()));
                    var settled = batch.Vouchers.Requests.Select(request => request.Value)
                        .Where(request => !waiting.TryGetValue(request, out var one) || one.Batch != batch).ToList();
                    if (settled.Count > 0)
                        anew.Write(Line('-', Ids(settled)));
                }

                anew.Flush(flushToDisk: true);
                File.Move(unfinished, path, overwrite: true);
            }
            catch
            {
                anew.Dispose();
                throw;
            }

            file.Dispose();
            file = anew;
            isUnsynced = false;
        });
    }

    // A disk that fails takes nobody's voucher: memory has them, and the file is written anew when it can be.
    private void Try(Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            isBroken = true;
            if (seldom.Says("Times that vouchers could not be written"))
                log.VouchersNotWritten(e);
        }
    }

    private static byte[] Line(char kind, ReadOnlySpan<byte> content)
    {
        var line = new byte[PrefixSize + Base64.GetMaxEncodedToUtf8Length(content.Length) + 1];
        Base64.EncodeToUtf8(content, line.AsSpan(PrefixSize), out _, out _);
        line[0] = (byte)kind;
        Encoding.ASCII.GetBytes(Checksum(line.AsSpan(PrefixSize..^1)), line.AsSpan(1));
        line[^1] = (byte)'\n';
        return line;
    }

    private static bool TryRead(ReadOnlySpan<byte> line, out char kind, out byte[] content)
    {
        (kind, content) = ('\0', []);
        if (line.Length <= PrefixSize)
            return false;
        var text = line[PrefixSize..];
        if (!Encoding.ASCII.GetBytes(Checksum(text)).AsSpan().SequenceEqual(line[1..PrefixSize]))
            return false;
        content = new byte[Base64.GetMaxDecodedFromUtf8Length(text.Length)];
        if (Base64.DecodeFromUtf8(text, content, out _, out var written) != System.Buffers.OperationStatus.Done)
            return false;
        (kind, content) = ((char)line[0], content[..written]);
        return true;
    }

    private static string Checksum(ReadOnlySpan<byte> text) => Convert.ToHexStringLower(Sha256.Hash(text).AsSpan(0, ChecksumSize));

    private static byte[] Ids(List<Guid> requests)
    {
        var bytes = new byte[requests.Count * IdSize];
        for (var i = 0; i < requests.Count; i++)
            requests[i].TryWriteBytes(bytes.AsSpan(i * IdSize), bigEndian: true, out _);
        return bytes;
    }

    private static Guid[] Guids(byte[] bytes) =>
        [.. Enumerable.Range(0, bytes.Length / IdSize).Select(i => new Guid(bytes.AsSpan(i * IdSize, IdSize), bigEndian: true))];

    // Whole lines of at most MaxLine bytes; any other is told, and so is what is beyond the largest file.
    private static IEnumerable<byte[]> Lines(FileStream file, Action skip)
    {
        var buffer = new byte[MaxLine + 1];
        var (used, isSkipping) = (0, false);
        file.Seek(0, SeekOrigin.Begin);
        while (file.Position < MaxFile)
        {
            var read = file.Read(buffer, used, buffer.Length - used);
            if (read == 0)
                break;
            used += read;
            var begin = 0;
            for (int end; (end = buffer.AsSpan(begin, used - begin).IndexOf((byte)'\n')) >= 0; begin += end + 1)
            {
                if (!isSkipping)
                    yield return buffer[begin..(begin + end)];
                isSkipping = false;
            }

            Buffer.BlockCopy(buffer, begin, buffer, 0, used -= begin);
            if (used < buffer.Length)
                continue;
            if (!isSkipping)
                skip();
            (used, isSkipping) = (0, true);
        }

        if ((used > 0 && !isSkipping) || file.Position < file.Length)
            skip();
    }

    private sealed class Batch(VoucherBatch vouchers, int bytes)
    {
        public VoucherBatch Vouchers => vouchers;

        /// <summary>Of its line.</summary>
        public int Bytes => bytes;

        /// <summary>How many of it wait.</summary>
        public int Left { get; set; }

        public LinkedListNode<Batch>? Place { get; set; }
    }

    private sealed class Waiting(Batch batch, int index)
    {
        public Batch Batch => batch;

        public int Index => index;

        public LinkedListNode<Waiting>? Turn { get; set; }
    }
}
