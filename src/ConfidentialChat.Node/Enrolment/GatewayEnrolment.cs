// spec/gateway.md section 3.
using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>The gateway that this node serves, kept across restarts.</summary>
internal sealed class GatewayEnrolment
{
    private readonly string path;
    private volatile EnrolledGateway? current;

    public GatewayEnrolment(NodeOptions options)
    {
        path = Path.Combine(options.DataDirectory, "enrolment.json");
        current = Read(options.GatewayUrl);
    }

    /// <summary>Null until the node is enrolled; it then serves nobody.</summary>
    public EnrolledGateway? Current => current;

    public void Set(EnrolledGateway gateway)
    {
        var stored = new StoredEnrolment(gateway.Url, gateway.Node.Value, gateway.GatewayKey.ToString());
        PrivateFile.Write(path, JsonSerializer.SerializeToUtf8Bytes(stored, EnrolmentJson.Default.StoredEnrolment));
        current = gateway;
    }

    // Another gateway's enrolment does not count: the operator has pointed the node elsewhere.
    private EnrolledGateway? Read(Uri gatewayUrl)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            var stored = JsonSerializer.Deserialize(File.ReadAllBytes(path), EnrolmentJson.Default.StoredEnrolment);
            return stored is not null && stored.Gateway == gatewayUrl && Ed25519PublicKey.TryParse(stored.GatewayKey, out var key)
                ? new EnrolledGateway(stored.Gateway, new NodeId(stored.NodeId), key)
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>One gateway, as it answered at enrolment.</summary>
internal sealed record EnrolledGateway(Uri Url, NodeId Node, Ed25519PublicKey GatewayKey);

internal sealed record StoredEnrolment(Uri Gateway, long NodeId, string GatewayKey);

[JsonSerializable(typeof(StoredEnrolment))]
internal sealed partial class EnrolmentJson : JsonSerializerContext;
