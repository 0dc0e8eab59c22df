// spec/gateway.md section 3.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>The gateway that this node serves, kept across restarts.</summary>
internal sealed class GatewayEnrolment
{
    private readonly string path;
    private volatile EnrolledGateway? current;

    public GatewayEnrolment(NodeOptions options)
    {
        path = Path.Combine(options.DataDirectory, "enrolment.json");
        current = Read(options.GatewayUrl, out var isOutdated);
        IsOutdated = isOutdated;
    }

    /// <summary>Raised after each enrolment, with the one before it.</summary>
    public event Action<EnrolledGateway?>? Changed;

    /// <summary>Null until the node is enrolled; it then serves nobody.</summary>
    public EnrolledGateway? Current => current;

    /// <summary>Whether there was one when the node started, and of the time before relay keys: it counts as none.</summary>
    public bool IsOutdated { get; }

    /// <remarks>A relay key that this one replaces is not erased: a token may just be read under it, and zeros are a key that everyone knows.</remarks>
    public void Set(EnrolledGateway gateway)
    {
        var relayKey = gateway.RelayKey.Export();
        var stored = JsonSerializer.SerializeToUtf8Bytes(
            new StoredEnrolment(gateway.Url, gateway.Node.Value, gateway.GatewayKey.ToString(), relayKey), EnrolmentJson.Default.StoredEnrolment);
        CryptographicOperations.ZeroMemory(relayKey);
        PrivateFile.Write(path, stored);
        CryptographicOperations.ZeroMemory(stored);
        var before = current;
        current = gateway;
        Changed?.Invoke(before);
    }

    // Another gateway's enrolment does not count: the operator has pointed the node elsewhere.
    private EnrolledGateway? Read(Uri gatewayUrl, out bool isOutdated)
    {
        isOutdated = false;
        if (!File.Exists(path))
            return null;
        var bytes = File.ReadAllBytes(path);
        try
        {
            var stored = JsonSerializer.Deserialize(bytes, EnrolmentJson.Default.StoredEnrolment);
            if (stored is null || stored.Gateway != gatewayUrl || !Ed25519PublicKey.TryParse(stored.GatewayKey, out var key))
                return null;
            isOutdated = stored.RelayKey is null;
            return TryTake(stored.RelayKey, out var relayKey) ? new EnrolledGateway(stored.Gateway, new NodeId(stored.NodeId), key, relayKey) : null;
        }
        catch (JsonException)
        {
            return null;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    private static bool TryTake(byte[]? stored, [NotNullWhen(true)] out RelayKey? key)
    {
        key = stored?.Length == RelayKey.Size ? new RelayKey(stored) : null;
        CryptographicOperations.ZeroMemory(stored);
        return key is not null;
    }
}

/// <summary>One gateway, as it answered at enrolment, and the key that its relay tokens are written under.</summary>
internal sealed record EnrolledGateway(Uri Url, NodeId Node, Ed25519PublicKey GatewayKey, RelayKey RelayKey);

internal sealed record StoredEnrolment(Uri Gateway, long NodeId, string GatewayKey, byte[]? RelayKey);

[JsonSerializable(typeof(StoredEnrolment))]
internal sealed partial class EnrolmentJson : JsonSerializerContext;
