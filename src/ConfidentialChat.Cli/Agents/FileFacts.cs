// spec/connect.md section 3 rules 2 and 5.
using System.Runtime.InteropServices;

namespace ConfidentialChat.Cli.Agents;

/// <summary>What the system says of a file that the framework does not.</summary>
/// <param name="Owner">Number of the user.</param>
/// <param name="Group">Number of the group.</param>
/// <param name="Names">Hard links.</param>
/// <param name="IsRegular">No folder, pipe, socket or device.</param>
internal readonly partial record struct FileFacts(uint Owner, uint Group, uint Names, bool IsRegular)
{
    /// <summary>The number of the user who runs this program; null where the system has none.</summary>
    public static uint? Self => OperatingSystem.IsWindows() ? null : Native.geteuid();

    /// <summary>Of a file, links followed; null where it is not known.</summary>
    public static FileFacts? Of(string path)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        Span<byte> facts = stackalloc byte[Native.StatxSize];
        if (Native.statx(Native.WorkingFolder, path, 0, Native.Asked, ref MemoryMarshal.GetReference(facts)) != 0)
            return null;
        return new FileFacts(
            Read(facts, 20), Read(facts, 24), Read(facts, 16), (BitConverter.ToUInt16(facts[28..]) & Native.TypeMask) == Native.Regular);
    }

    /// <summary>Gives a file to a user and a group. False where the system does not allow it.</summary>
    public static bool TryGive(string path, uint owner, uint group) => !OperatingSystem.IsWindows() && Native.chown(path, owner, group) == 0;

    private static uint Read(ReadOnlySpan<byte> facts, int at) => BitConverter.ToUInt32(facts[at..]);

    /// <summary>
    /// The offsets of struct statx are those of every processor: linux/stat.h.
    /// <code>
    /// offset  name         size
    /// 16      stx_nlink    4
    /// 20      stx_uid      4
    /// 24      stx_gid      4
    /// 28      stx_mode     2
    /// </code>
    /// </summary>
    private static partial class Native
    {
        public const int WorkingFolder = -100; // AT_FDCWD
        public const uint Asked = 0x1 | 0x4 | 0x8 | 0x10; // STATX_TYPE | STATX_NLINK | STATX_UID | STATX_GID
        public const int TypeMask = 0xF000; // S_IFMT
        public const int Regular = 0x8000; // S_IFREG
        public const int StatxSize = 256;

        [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
        public static partial int statx(int folder, string path, int flags, uint mask, ref byte facts);

        [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
        public static partial int chown(string path, uint owner, uint group);

        [LibraryImport("libc")]
        public static partial uint geteuid();
    }
}
