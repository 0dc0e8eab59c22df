using System.Diagnostics;
using System.Globalization;
using Microsoft.Data.Sqlite;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>A file system of a few MiB.</summary>
internal sealed class SmallDisk : IDisposable
{
    private SmallDisk(string path) => Path = path;

    public string Path { get; }

    private string Filler => System.IO.Path.Combine(Path, "filler");

    /// <param name="mebibytes">Its size.</param>
    /// <param name="owner">Whose its folder is; null: the user's that runs the tests.</param>
    public static SmallDisk Mount(int mebibytes = 2, string? owner = null)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess, "only root on Linux may make a file system");
        var path = Directory.CreateTempSubdirectory("gateway-disk-").FullName;
        if (Run("mount", "-t", "tmpfs", "-o", string.Create(CultureInfo.InvariantCulture, $"size={mebibytes}m,mode=0700"), "tmpfs", path) == 0)
        {
            if (owner is not null)
                Run("chown", owner, path).ShouldBe(0);
            return new SmallDisk(path);
        }

        Directory.Delete(path);
        Assert.Skip("this container may not make a file system");
        throw new UnreachableException();
    }

    public void Fill()
    {
        try
        {
            using var file = new FileStream(Filler, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
            while (true)
                file.Write(new byte[4096]);
        }
        catch (IOException)
        {
            // it is full
        }
    }

    public void Clear() => File.Delete(Filler);

    /// <summary>Nobody has a file of it open then.</summary>
    public void MakeReadOnly()
    {
        SqliteConnection.ClearAllPools();
        Run("mount", "-o", "remount,ro", Path).ShouldBe(0);
    }

    public void MakeWritable() => Run("mount", "-o", "remount,rw", Path).ShouldBe(0);

    public void Dispose()
    {
        Run("umount", "--lazy", Path);
        Directory.Delete(Path);
    }

    private static int Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode;
    }
}
