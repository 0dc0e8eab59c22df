using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport;

/// <summary>What is asked of a model, at whichever endpoint.</summary>
internal interface IModelRequest
{
    string Model { get; }

    IDictionary<string, JsonElement>? Extra { get; }

    /// <summary>What the call is to reserve; null for the default.</summary>
    ComputeUnits? Units { get; }

    /// <summary>The request as it is sealed, UTF-8 JSON; the request itself stays as it is.</summary>
    byte[] ToJson(bool stream);
}
