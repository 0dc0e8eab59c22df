// docs/operating.md, "Signals".
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Hosting;

/// <summary>Asks a server to read again what it can: SIGHUP.</summary>
internal sealed class Reload(ILogger<Reload> log)
{
    /// <summary>Whoever keeps something that is on the disk too looks there now.</summary>
    public event Action? Asked;

    public void Ask()
    {
        log.ReloadAsked();
        Asked?.Invoke();
    }
}
