// spec/gateway.md section 2.
namespace ConfidentialChat.Gateway.Nodes;

/// <summary>Why a message that says it is a node's is answered 401. On the wire all of them are one: a stranger learns nothing.</summary>
public enum NodeRefusal
{
    /// <summary>It enrols, and shows no token that the gateway made.</summary>
    UnknownToken,

    /// <summary>It enrols with a token that is spent or past, or with a message that was sent before.</summary>
    SpentToken,

    /// <summary>No node of its number is enrolled here.</summary>
    UnknownNode,

    /// <summary>It enrolled before there were relay keys.</summary>
    OutdatedEnrolment,

    /// <summary>A header is missing or malformed.</summary>
    MalformedHeaders,

    /// <summary>Its clock is too far away from the gateway's.</summary>
    ClockTooFarAway,

    /// <summary>It is not signed by the identity key of its number.</summary>
    WrongSignature,

    /// <summary>It does not hold the relay key of its last enrolment here.</summary>
    WrongRelayKey,

    /// <summary>Its body is not the one that was signed.</summary>
    AlteredBody,

    /// <summary>Its time is not larger than that of a message before it: a recording, or a clock that was set back.</summary>
    NotNewer,

    /// <summary>Another process began to speak under its identity after it.</summary>
    SecondProcess,
}

/// <summary>The words for operators.</summary>
internal static class NodeRefusals
{
    public static string InWords(this NodeRefusal reason) => reason switch
    {
        NodeRefusal.UnknownToken => "it shows no enrolment token of this gateway",
        NodeRefusal.SpentToken => "its enrolment token is spent or past, or its message was sent before",
        NodeRefusal.UnknownNode => "no node of its number is enrolled here",
        NodeRefusal.OutdatedEnrolment => "it enrolled with an older gateway and has to enrol anew",
        NodeRefusal.MalformedHeaders => "a header is missing or malformed",
        NodeRefusal.ClockTooFarAway => "its clock is too far away from the gateway's",
        NodeRefusal.WrongSignature => "it is not signed by the identity key of its number",
        NodeRefusal.WrongRelayKey => "it does not hold the relay key of its last enrolment here",
        NodeRefusal.AlteredBody => "its body is not the one that was signed",
        NodeRefusal.SecondProcess => "another process runs under its identity, and began to speak later",
        NodeRefusal.NotNewer => "its time is not later than that of a message before it",
        _ => throw new ArgumentOutOfRangeException(nameof(reason)),
    };
}
