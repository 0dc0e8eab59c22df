using System.Reflection.PortableExecutable;
using System.Runtime.InteropServices;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>What makes a start fast, where that can be seen without a watch.</summary>
public sealed class StartTests
{
    /// <summary>docs/decisions/0015: elsewhere there is no compiler for it.</summary>
    private static readonly bool IsCompiledAhead =
        OperatingSystem.IsLinux() && RuntimeInformation.OSArchitecture is Architecture.X64 or Architecture.Arm64
#if DEBUG
        && false
#endif
        ;

    [Theory]
    [InlineData("cchat.dll")]
    [InlineData("ConfidentialChat.Gateway.dll")]
    [InlineData("ConfidentialChat.Node.dll")]
    [InlineData("ConfidentialChat.Protocol.dll")]
    [InlineData("Microsoft.Data.Sqlite.dll")]
    [InlineData("Microsoft.EntityFrameworkCore.dll")]
    [InlineData("System.CommandLine.dll")]
    [InlineData("Yarp.ReverseProxy.dll")]
    public void What_starts_from_a_release_build_is_compiled_ahead(string file)
    {
        using var image = new PEReader(File.OpenRead(Path.Combine(AppContext.BaseDirectory, file)));

        (image.PEHeaders.CorHeader!.ManagedNativeHeaderDirectory.Size > 0).ShouldBe(IsCompiledAhead);
    }
}
