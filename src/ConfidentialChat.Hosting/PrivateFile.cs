using System.Runtime.InteropServices;

namespace ConfidentialChat.Hosting;

/// <summary>Files and directories that their owner alone may use, whatever the process's umask says.</summary>
internal static partial class PrivateFile
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const int SharingViolation = unchecked((int)0x80070020);
    private const UnixFileMode OwnerEnters = OwnerOnly | UnixFileMode.UserExecute;

    /// <summary>Writes a file whole or not at all.</summary>
    public static void Write(string path, byte[] bytes)
    {
        var unfinished = path + ".new";
        File.Delete(unfinished);
        using (var file = Open(unfinished, FileMode.CreateNew, FileAccess.Write))
        {
            file.Write(bytes);
            file.Flush(flushToDisk: true);
        }

        File.Move(unfinished, path, overwrite: true);
    }

    /// <summary>Makes a file, whole from its first moment, where there is none. Of several that try at once one does.</summary>
    /// <returns>Whether this one did.</returns>
    /// <exception cref="IOException">It cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">The directory is another user's.</exception>
    public static bool TryCreate(string path, ReadOnlySpan<byte> content)
    {
        var beside = $"{path}.{Guid.NewGuid():N}";
        try
        {
            using (var file = Open(beside, FileMode.CreateNew, FileAccess.Write))
            {
                file.Write(content);
                file.Flush(flushToDisk: true);
            }

            return TryName(beside, path);
        }
        finally
        {
            File.Delete(beside);
        }
    }

    // On Unix File.Move looks whether there is one and then renames: whoever is second replaces what the first has open by then. A link
    // is made or refused in one step; where a file system knows none, the move has to do.
    private static bool TryName(string file, string path)
    {
        if (!OperatingSystem.IsWindows())
        {
            if (Native.link(file, path) == 0)
                return true;
            if (Marshal.GetLastPInvokeError() == Native.Exists)
                return false;
        }

        try
        {
            File.Move(file, path, overwrite: false);
            return true;
        }
        catch (IOException) when (File.Exists(path))
        {
            return false;
        }
    }

    /// <summary>Opens a file; one that is made, or was open to others, is its owner's from then on.</summary>
    /// <exception cref="UnauthorizedAccessException">It is another user's.</exception>
    public static FileStream Open(string path, FileMode mode, FileAccess access, FileShare share = FileShare.Read)
    {
        var options = new FileStreamOptions { Mode = mode, Access = access, Share = share };
        if (OperatingSystem.IsWindows())
            return new FileStream(path, options);
        options.UnixCreateMode = OwnerOnly;
        var file = new FileStream(path, options);
        try
        {
            File.SetUnixFileMode(file.SafeFileHandle, OwnerOnly);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Opens a file, made where it is missing, that one process at a time has open by
    /// this method; the system lets go of it with its process.
    /// </summary>
    /// <returns>Null while another process has it.</returns>
    public static FileStream? TryLock(string path)
    {
        try
        {
            return Open(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (e.HResult == (OperatingSystem.IsWindows() ? SharingViolation : OperatingSystem.IsMacOS() ? 35 : 11)) // EAGAIN
        {
            return null; // and nothing else is: a disk that is read-only is no other process
        }
    }

    /// <summary>Makes a directory that only its owner enters, or makes an existing one so.</summary>
    /// <exception cref="UnauthorizedAccessException">It is another user's.</exception>
    public static void CreateDirectory(string path)
    {
        MakeDirectory(path);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, OwnerEnters);
    }

    /// <summary>Makes a directory that only its owner enters, and those above it alike; an existing one stays as it is.</summary>
    /// <remarks>The framework would make those above it as the umask says, and who may write there may put another in its place.</remarks>
    public static void MakeDirectory(string path)
    {
        var full = Path.GetFullPath(path);
        if (Path.GetDirectoryName(full) is { } above && !Directory.Exists(above))
            MakeDirectory(above);
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(full);
        else
            Directory.CreateDirectory(full, OwnerEnters);
    }

    private static partial class Native
    {
        public const int Exists = 17; // EEXIST

        [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
        public static partial int link(string file, string name);
    }
}
