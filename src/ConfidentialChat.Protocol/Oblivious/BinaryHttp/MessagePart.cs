// spec/binary-http.md section 7.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>What a reader has come upon.</summary>
public enum MessagePart
{
    /// <summary>The input is used up and the message goes on.</summary>
    NeedMore,

    /// <summary>The head is there. Comes once.</summary>
    Head,

    /// <summary>Some of the content; never empty.</summary>
    Content,

    /// <summary>The trailers are there, be they empty. Comes once, and the content is whole then.</summary>
    Trailers,

    /// <summary>The message has ended as it should. Repeated by every further call.</summary>
    End,

    /// <summary>The bytes are no message. Repeated by every further call.</summary>
    Invalid,
}
