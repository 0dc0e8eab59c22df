using ConfidentialChat.EndToEnd.Tests.Agents;

#pragma warning disable MA0047 // the runtime wants it outside of any namespace
/// <summary>Called by the runtime in a process that has this assembly in <c>DOTNET_STARTUP_HOOKS</c>.</summary>
internal static class StartupHook
{
    public static void Initialize() => ConnectCrashTests.Listen();
}
