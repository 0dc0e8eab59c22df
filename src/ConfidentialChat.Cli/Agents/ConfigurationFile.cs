// spec/connect.md section 3.
using System.Text;
using ConfidentialChat.Hosting;

namespace ConfidentialChat.Cli.Agents;

/// <summary>A file of an agent as it was read, and the way another content takes its place: whole, or not at all.</summary>
internal sealed class ConfigurationFile
{
    private const int MaxBytes = 4 * 1024 * 1024;
    private const UnixFileMode NewMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private static readonly byte[] Mark = [0xEF, 0xBB, 0xBF];
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private ConfigurationFile(string path, string target, byte[]? content)
    {
        Path = path;
        Target = target;
        Content = content;
    }

    /// <summary>Where the agent looks for it.</summary>
    public string Path { get; }

    /// <summary>Where it lies: elsewhere, if <see cref="Path"/> is a link.</summary>
    public string Target { get; }

    /// <summary>Its bytes; null where there is none yet.</summary>
    public byte[]? Content { get; }

    /// <summary>Without the byte order mark; null where there is none yet.</summary>
    /// <exception cref="AgentFileException">It is not UTF-8.</exception>
    public string? Text
    {
        get
        {
            try
            {
                return Content is null ? null : Strict.GetString(HasMark ? Content.AsSpan(Mark.Length) : Content);
            }
            catch (DecoderFallbackException)
            {
                throw new AgentFileException("it is not UTF-8");
            }
        }
    }

    private bool HasMark => Content?.AsSpan().StartsWith(Mark) ?? false;

    /// <summary>Reads it, links followed.</summary>
    /// <exception cref="AgentFileException">It is none that is changed: section 3 rules 1 to 3.</exception>
    public static ConfigurationFile Read(string path)
    {
        var target = path;
        if (new FileInfo(path) is { LinkTarget: not null } link)
        {
            target = Follow(link);
            if (!File.Exists(target) && !Directory.Exists(target))
                throw new AgentFileException($"it is a link that leads nowhere: {target}");
        }

        if (Directory.Exists(target))
            throw new AgentFileException("it is a folder");
        var file = new FileInfo(target);
        if (!file.Exists)
            return new ConfigurationFile(path, target, null);
        if (FileFacts.Of(target) is { } facts)
        {
            if (!facts.IsRegular)
                throw new AgentFileException("it is no regular file");
            if (FileFacts.Self is { } self && self != 0 && facts.Owner != self)
                throw new AgentFileException("it belongs to another user");
            if (facts.Names > 1)
                throw new AgentFileException($"it has {facts.Names} names (hard links), and they would part");
        }

        if (!OperatingSystem.IsWindows() && !file.UnixFileMode.HasFlag(UnixFileMode.UserWrite))
            throw new AgentFileException("it is read-only");
        if (file.Length > MaxBytes)
            throw new AgentFileException($"it has more than {MaxBytes} bytes");
        return new ConfigurationFile(path, target, File.ReadAllBytes(target));
    }

    /// <summary>A text as this file has it: with its byte order mark, if it has one.</summary>
    public byte[] Encode(string text) => HasMark ? [.. Mark, .. Strict.GetBytes(text)] : Strict.GetBytes(text);

    /// <summary>The folders that have to be made for it, outermost first.</summary>
    public IReadOnlyList<string> MissingFolders()
    {
        var missing = new List<string>();
        var folder = System.IO.Path.GetDirectoryName(Target);
        for (; folder is not null && !Directory.Exists(folder); folder = System.IO.Path.GetDirectoryName(folder))
            missing.Insert(0, folder);
        return missing;
    }

    /// <summary>Where the new file of a connection lies before it takes its place.</summary>
    public static string Beside(string target, string id) =>
        System.IO.Path.Combine(System.IO.Path.GetDirectoryName(target)!, $".{System.IO.Path.GetFileName(target)}.cchat-{id}");

    /// <summary>Puts another content in its place.</summary>
    /// <param name="content">Null removes the file.</param>
    /// <param name="id">Of the connection.</param>
    /// <exception cref="AgentFileException">Another program has written it meanwhile; it is as that left it.</exception>
    public void Become(byte[]? content, string id)
    {
        if (content is null)
        {
            RequireUnchanged();
            File.Delete(Target);
            return;
        }

        foreach (var folder in MissingFolders())
            PrivateFile.MakeDirectory(folder);
        var beside = Beside(Target, id);
        try
        {
            Write(beside, content);
            ConnectSteps.Reach("written");
            RequireUnchanged();
            File.Move(beside, Target, overwrite: true);
        }
        finally
        {
            File.Delete(beside);
        }

        ConnectSteps.Reach("renamed");
    }

    private void Write(string beside, byte[] content)
    {
        File.Delete(beside);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = NewMode; // its owner's alone until it has the mode of the old one
        using var file = new FileStream(beside, options);
        file.Write(content);
        if (Content is not null && !OperatingSystem.IsWindows())
        {
            if (FileFacts.Of(Target) is { } facts)
                _ = FileFacts.TryGive(beside, facts.Owner, facts.Group);
            File.SetUnixFileMode(file.SafeFileHandle, File.GetUnixFileMode(Target));
        }

        file.Flush(flushToDisk: true);
    }

    private void RequireUnchanged()
    {
        var now = File.Exists(Target) ? File.ReadAllBytes(Target) : null;
        if ((now is null) != (Content is null) || (now is not null && !now.AsSpan().SequenceEqual(Content)))
            throw new AgentFileException("another program has written it in this moment, and it is as that left it: try again");
    }

    private static string Follow(FileInfo link)
    {
        try
        {
            return link.ResolveLinkTarget(returnFinalTarget: true)!.FullName;
        }
        catch (IOException)
        {
            throw new AgentFileException("it is a link that leads in a circle");
        }
    }
}

/// <summary>The steps at which a connection may break off. Nobody listens but tests, which end the process there.</summary>
internal static class ConnectSteps
{
    public static Action<string>? Reached { get; set; }

    public static void Reach(string step) => Reached?.Invoke(step);
}
