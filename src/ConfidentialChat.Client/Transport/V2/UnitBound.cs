// spec/envelope-v2.md sections 3 and 8.
using System.Numerics;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.Client.Transport.V2;

/// <summary>The units that a call may spend at the most, as it names them: nobody adds anything to that.</summary>
internal static class UnitBound
{
    // Of a binary message around its content; what it is exactly is lost in the rounding.
    private const int Around = 512;

    /// <summary>
    /// Of tokens, the completion's bound and one for each byte of the padded prompt, which has no more tokens than bytes; a picture's prompt costs
    /// nothing. Rounded up to a power of two: an exact bound would undo the padding.
    /// </summary>
    public static ComputeUnits Of(PlainRequest request)
    {
        var row = request.Endpoint.Row();
        var prompt = row.Unit is InferenceUnit.Token ? MessagePadding.PaddedSize(request.Json.Length + Around) : 0;
        var bound = (ulong)(request.Units ?? row.DefaultUnits).Value + (ulong)prompt;
        return new ComputeUnits((long)Math.Min(BitOperations.RoundUpToPowerOf2(bound), ComputeUnits.MaxValue));
    }
}
