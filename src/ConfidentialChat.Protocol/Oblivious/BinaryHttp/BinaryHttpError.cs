// spec/binary-http.md section 9; each member's attack stands in sections 1 to 6.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>Why bytes are not a message. A peer learns only that they are none.</summary>
public enum BinaryHttpError
{
    None,

    /// <summary>The message ends inside a part.</summary>
    Truncated,

    /// <summary>The framing indicator is none of the four.</summary>
    UnknownFraming,

    /// <summary>A response where a request is due, or the reverse.</summary>
    UnexpectedFraming,
    InvalidMethod,
    InvalidScheme,
    InvalidAuthority,
    InvalidPath,
    InvalidStatus,

    /// <summary>Not a token in lower case.</summary>
    InvalidFieldName,

    /// <summary>A name that starts with a colon.</summary>
    PseudoField,

    /// <summary>A field that speaks about a connection, which there is not.</summary>
    ConnectionField,

    /// <summary>CR, LF or NUL, or a blank at an end.</summary>
    InvalidFieldValue,

    /// <summary>A field runs past its section.</summary>
    FieldSectionOverrun,

    /// <summary>More than one host, or another than the authority.</summary>
    HostMismatch,

    /// <summary>A content-length that is not the size of the content.</summary>
    InvalidContentLength,

    /// <summary>Padding that is not zeros.</summary>
    NonZeroPadding,
    ControlDataTooLarge,
    FieldSectionTooLarge,
    TooManyFields,
    TooManyInformationalResponses,
    ContentTooLarge,
}
