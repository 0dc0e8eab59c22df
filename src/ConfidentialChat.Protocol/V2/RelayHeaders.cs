// spec/envelope-v2.md section 3.
namespace ConfidentialChat.Protocol.V2;

/// <summary>The headers of a relayed request. In lower case they are fields of the inner one.</summary>
public static class RelayHeaders
{
    public const string Model = "Confidential-Model";
    public const string RequestId = "Confidential-Request-Id";
    public const string KeySet = "Confidential-Key-Set";
    public const string MaxUnits = "Confidential-Max-Units";

    /// <summary>The most that a million units of each kind may cost, as <see cref="UnitPrices.TryParse"/> reads it. Outside only.</summary>
    public const string MaxPrice = "Confidential-Max-Price";

    /// <summary>What a relay token names in the place of a path: the inner one stays hidden.</summary>
    public const string RelayEndpoint = "relay";

    /// <summary>Likewise, of a challenge.</summary>
    public const string EvidenceEndpoint = "evidence";
}
