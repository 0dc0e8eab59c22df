// spec/binary-http.md section 1; RFC 9292 section 3.3.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>The first integer of a message.</summary>
internal enum Framing
{
    KnownLengthRequest = 0,
    KnownLengthResponse = 1,
    IndeterminateLengthRequest = 2,
    IndeterminateLengthResponse = 3,
}
