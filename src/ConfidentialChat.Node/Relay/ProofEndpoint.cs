// spec/gateway.md section 3, "The address".
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Errors;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Relay;

/// <summary>Shows the enrolled gateway that it has reached this node. Whoever else asks learns nothing.</summary>
internal static class ProofEndpoint
{
    public static Task AnswerAsync(HttpContext http, GatewayEnrolment enrolment)
    {
        var headers = http.Request.Headers;
        if (enrolment.Current is not { } gateway
            || NodeProof.FromHeaders(
                gateway.Node, gateway.RelayKey, headers[NodeProof.ChallengeHeaderName], headers[NodeProof.CodeHeaderName]) is not { } asked)
            return http.Response.WriteAsync(new Rejection(RequestError.AuthError));
        http.Recognise(maxBodyBytes: 0);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
        http.Response.Headers[NodeProof.CodeHeaderName] = asked.Write(gateway.RelayKey);
        http.Response.Headers.CacheControl = "no-store";
        return Task.CompletedTask;
    }
}
