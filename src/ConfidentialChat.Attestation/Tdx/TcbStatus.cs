// spec/attestation.md section 6, "TCB status".
namespace ConfidentialChat.Attestation.Tdx;

/// <summary>Intel's word on a platform's security versions; the spelling of the Provisioning Certification Service.</summary>
public enum TcbStatus
{
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    Revoked,

    /// <summary>Not Intel's word: no level is as low as the platform.</summary>
    NoMatchingTcbLevel,
}

/// <summary>Names of statuses, and how several become one.</summary>
public static class TcbStatusNames
{
    /// <summary>Those that a policy may accept.</summary>
    public static IReadOnlyCollection<string> Acceptable { get; } =
        [.. Enum.GetValues<TcbStatus>().Where(status => status is not (TcbStatus.Revoked or TcbStatus.NoMatchingTcbLevel)).Select(status => status.ToString())];

    /// <summary>Reads a status as Intel spells it, and no other.</summary>
    public static bool TryRead(string? text, out TcbStatus status)
    {
        status = TcbStatus.NoMatchingTcbLevel;
        return text is not null && Enum.TryParse(text, out status) && Enum.IsDefined(status)
            && status != TcbStatus.NoMatchingTcbLevel && status.ToString() == text;
    }

    /// <summary>The combined status of platform, TDX module and quoting enclave.</summary>
    public static TcbStatus Combine(TcbStatus platform, TcbStatus module, TcbStatus qe)
    {
        foreach (var worst in (ReadOnlySpan<TcbStatus>)[TcbStatus.NoMatchingTcbLevel, TcbStatus.Revoked])
        {
            if (platform == worst || module == worst || qe == worst)
                return worst;
        }

        // Intel gives modules and enclaves no status but UpToDate, OutOfDate and Revoked; whatever else it is, it is no better than OutOfDate.
        if (module == TcbStatus.UpToDate && qe == TcbStatus.UpToDate)
            return platform;
        return platform switch
        {
            TcbStatus.UpToDate or TcbStatus.SWHardeningNeeded or TcbStatus.OutOfDate => TcbStatus.OutOfDate,
            _ => TcbStatus.OutOfDateConfigurationNeeded,
        };
    }
}
