namespace ConfidentialChat.Node.Enrolment;

/// <summary>Files that hold secrets: written whole or not at all, readable by their owner only.</summary>
internal static class PrivateFile
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    public static void Write(string path, byte[] bytes)
    {
        var unfinished = path + ".new";
        File.Delete(unfinished);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = OwnerOnly;
        using (var file = new FileStream(unfinished, options))
        {
            file.Write(bytes);
            file.Flush(flushToDisk: true);
        }

        File.Move(unfinished, path, overwrite: true);
    }

    /// <summary>Makes a directory that only its owner enters, or makes an existing one so.</summary>
    /// <exception cref="UnauthorizedAccessException">It is another user's.</exception>
    public static void CreateDirectory(string path)
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(path);
        else
            File.SetUnixFileMode(Directory.CreateDirectory(path).FullName, OwnerOnly | UnixFileMode.UserExecute);
    }
}
