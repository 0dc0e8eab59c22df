using System.Collections.ObjectModel;
using ConfidentialChat.Client;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace ConfidentialChat.Extensions.AI;

/// <summary>Whether a request would be sealed to a node now. What a client has verified already costs nothing to ask for.</summary>
internal sealed class NodeHealthCheck(ConfidentialChatClient client, ConfidentialChatSettings settings) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellation = default)
    {
        try
        {
            var facts = new Dictionary<string, object>(StringComparer.Ordinal);
            string[] models = [.. new[] { settings.Model, settings.EmbeddingModel }.OfType<string>().Distinct(StringComparer.Ordinal)];
            foreach (var model in models)
            {
                var node = await client.VerifyNodeAsync(model, cancellation).ConfigureAwait(false);
                facts[Telemetry.NodeId] = node.Id.ToString();
                facts[Telemetry.NodeTee] = node.Tee;
            }

            if (models.Length == 0)
                await client.Models.ListAsync(cancellation).ConfigureAwait(false);
            return HealthCheckResult.Healthy(
                models.Length == 0 ? "The gateway answers." : "A node is verified.", new ReadOnlyDictionary<string, object>(facts));
        }
        catch (ConfidentialChatException e)
        {
            return new HealthCheckResult(context.Registration.FailureStatus, e.Message, e);
        }
    }
}
