// spec/attestation.md section 2.
namespace ConfidentialChat.Attestation;

/// <summary>One named check and what came of it.</summary>
/// <param name="Name">Which check.</param>
/// <param name="Outcome">What came of it.</param>
/// <param name="IsEnforced">Whether a failure refuses the evidence.</param>
/// <param name="Code">Why it failed; null where it did not.</param>
/// <param name="Expected">Short printable ASCII.</param>
/// <param name="Found">Short printable ASCII.</param>
public sealed record Factor(FactorName Name, Outcome Outcome, bool IsEnforced, RejectionCode? Code, string Expected, string Found);

/// <summary>What came of a check.</summary>
public enum Outcome
{
    Pass,
    Fail,

    /// <summary>Nobody asked for it.</summary>
    Skip,
}

/// <summary>Who decides whether a failure counts.</summary>
public enum FactorKind
{
    /// <summary>Always enforced: without it nothing that the evidence says can be believed.</summary>
    Authenticity,

    /// <summary>Decided by the policy, and never made advisory.</summary>
    Guard,

    /// <summary>Enforced unless the policy calls it advisory.</summary>
    Policy,

    /// <summary>There to be read; never enforced.</summary>
    Notice,
}

/// <summary>The name of a check as the specification has it, for example <c>tdx.quote_signature</c>.</summary>
/// <param name="Value">Lower case, the family before the dot.</param>
/// <param name="Kind">Who decides whether its failure counts.</param>
public sealed record FactorName(string Value, FactorKind Kind)
{
    public override string ToString() => Value;
}

/// <summary>Why a check failed.</summary>
public enum RejectionCode
{
    Malformed,
    TooLarge,
    Unsupported,
    Missing,
    BadSignature,
    Untrusted,
    BadCertificate,
    NotYetValid,
    Expired,
    Revoked,
    Mismatch,
    OutOfDate,
    NoReference,
    Forbidden,
}

/// <summary>The module's own typed refusal: nothing else comes out of its parsers and checks.</summary>
public sealed record Rejection(RejectionCode Code, string Expected, string Found)
{
    public static Rejection Malformed(string expected, string found) => new(RejectionCode.Malformed, expected, found);

    public static Rejection Missing(string expected) => new(RejectionCode.Missing, expected, "nothing");

    public static Rejection TooLarge(int bound, long found) => new(RejectionCode.TooLarge, $"at most {bound} bytes", $"{found} bytes");
}

/// <summary>The spelling of codes in texts and JSON: BAD_SIGNATURE.</summary>
public static class RejectionCodes
{
    private static readonly Dictionary<RejectionCode, string> Spelling = new()
    {
        [RejectionCode.Malformed] = "MALFORMED",
        [RejectionCode.TooLarge] = "TOO_LARGE",
        [RejectionCode.Unsupported] = "UNSUPPORTED",
        [RejectionCode.Missing] = "MISSING",
        [RejectionCode.BadSignature] = "BAD_SIGNATURE",
        [RejectionCode.Untrusted] = "UNTRUSTED",
        [RejectionCode.BadCertificate] = "BAD_CERTIFICATE",
        [RejectionCode.NotYetValid] = "NOT_YET_VALID",
        [RejectionCode.Expired] = "EXPIRED",
        [RejectionCode.Revoked] = "REVOKED",
        [RejectionCode.Mismatch] = "MISMATCH",
        [RejectionCode.OutOfDate] = "OUT_OF_DATE",
        [RejectionCode.NoReference] = "NO_REFERENCE",
        [RejectionCode.Forbidden] = "FORBIDDEN",
    };

    public static string Spell(this RejectionCode code) => Spelling[code];
}
