// spec/binary-http.md section 6.
namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>What a reader takes at the most. Every number is checked before memory is taken for what it announces.</summary>
public sealed record BinaryHttpLimits
{
    public static BinaryHttpLimits Default { get; } = new();

    /// <summary>Method, scheme, authority and path together, in bytes.</summary>
    public int MaxControlDataSize { get; init; } = 8_192;

    /// <summary>The declared length of a field section, or its names and values together, in bytes.</summary>
    public int MaxFieldSectionSize { get; init; } = 16_384;

    /// <summary>Fields in one section.</summary>
    public int MaxFields { get; init; } = 128;

    public int MaxInformationalResponses { get; init; } = 8;

    /// <summary>In bytes.</summary>
    public long MaxContentSize { get; init; } = 64L << 20;
}
