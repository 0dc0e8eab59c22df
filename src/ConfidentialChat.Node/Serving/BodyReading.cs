// spec/gateway.md section 8 rule 2.
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Node.Serving;

/// <summary>Reads a request's body, whichever envelope it is, and says what its caller, the gateway, is told where it is none.</summary>
internal static class BodyReading
{
    /// <returns>The body, which its taker disposes of, or the fault.</returns>
    /// <exception cref="OperationCanceledException">The caller is gone.</exception>
    /// <exception cref="CallerGoneException">The connection broke.</exception>
    public static ValueTask<(ReceivedBody? Body, RequestError Fault)> ReadAsync(HttpContext http, NodeOptions options, BodyShare room, TimeProvider time) =>
        ReadAsync(http, new BodyLimits(options.MaxBodyBytes, options.UploadTimeout), room, time);

    /// <inheritdoc cref="ReadAsync(HttpContext, NodeOptions, BodyShare, TimeProvider)"/>
    public static async ValueTask<(ReceivedBody? Body, RequestError Fault)> ReadAsync(HttpContext http, BodyLimits limits, BodyShare room, TimeProvider time)
    {
        try
        {
            var (body, fault) = await BodyReader.ReadAsync(http, limits, room, time);
            return (body, fault switch
            {
                BodyFault.TooLarge => RequestError.BodyTooLarge,
                BodyFault.NoRoom => RequestError.TooManyRequests,
                _ => RequestError.InternalError, // who is slow is the gateway
            });
        }
        catch (BadHttpRequestException e) when (e.StatusCode == StatusCodes.Status408RequestTimeout)
        {
            return (null, RequestError.InternalError); // below Kestrel's rate
        }
        catch (IOException)
        {
            throw new CallerGoneException();
        }
    }
}
