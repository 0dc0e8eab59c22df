// spec/sidecar.md section 2: the paths beside those of the one table of endpoints.
using ConfidentialChat.Protocol;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Sidecar;

/// <summary>Where the sidecar answers.</summary>
internal static class LocalPaths
{
    public const string Root = "/";
    public const string Models = "/v1/models";
    public const string Model = "/v1/models/{**id}";
    public const string Attestation = "/v1/attestation";
    public const string Metrics = "/metrics";
    public const string Live = "/health/live";
    public const string Ready = "/health/ready";

    /// <summary>What programs write before the paths of the APIs.</summary>
    public const string Base = "/v1";

    /// <summary>For people who asked for something else.</summary>
    public static string Listed { get; } =
        $"POST of {string.Join(", ", InferenceEndpoints.Table.Select(row => row.Path))}; GET of {Models}, {Attestation}, {Metrics}, {Live} and {Ready}";

    /// <summary>Whether anybody may ask, also without the local key, and finds a place whatever requests take.</summary>
    public static bool IsOpen(PathString path) => path.Value is Root or Live or Ready;
}
