namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>How the next token is chosen. Values are in the ranges of <see cref="RequestMembers"/>.</summary>
internal sealed record Sampling
{
    // Dividing by less makes infinite numbers of ordinary logits, and the likeliest token has all the chance long before.
    private const float TemperatureMin = 1e-4f;

    /// <summary>0 takes the likeliest.</summary>
    public float Temperature { get; init; } = 1f;

    /// <summary>1 is off.</summary>
    public float TopP { get; init; } = 1f;

    /// <summary>0 or less is off.</summary>
    public int TopK { get; init; }

    /// <summary>0 is off.</summary>
    public float MinP { get; init; }

    public float FrequencyPenalty { get; init; }

    public float PresencePenalty { get; init; }

    /// <summary>Null takes a random one.</summary>
    public long? Seed { get; init; }

    public IReadOnlyList<LlamaNative.LogitBias> Bias { get; init; } = [];

    /// <summary>Makes the samplers. The caller owns them.</summary>
    /// <param name="model">Whose tokens.</param>
    /// <param name="window">Tokens that the penalties remember: all that the answer can have.</param>
    public unsafe SamplerHandle Build(LlamaModel model, int window)
    {
        var chain = new SamplerHandle(LlamaNative.CreateChain(new LlamaNative.ChainParameters { NoPerformance = 1 }));
        if (Bias.Count > 0)
        {
            var bias = Bias.ToArray();
            fixed (LlamaNative.LogitBias* first = bias)
                LlamaNative.AddToChain(chain, LlamaNative.Bias(model.TokenCount, bias.Length, first));
        }

        // As the API defines them, over what was generated: the prompt's tokens are never shown to the chain.
        if (FrequencyPenalty != 0 || PresencePenalty != 0)
            LlamaNative.AddToChain(chain, LlamaNative.Penalties(model.TokenCount, window, repeat: 1f, FrequencyPenalty, PresencePenalty));

        if (Temperature < TemperatureMin)
        {
            LlamaNative.AddToChain(chain, LlamaNative.Greedy());
            return chain;
        }

        // Temperature first: top_p is a share of the distribution that is sampled from.
        if (Temperature != 1)
            LlamaNative.AddToChain(chain, LlamaNative.Temperature(Temperature));
        if (TopK > 0)
            LlamaNative.AddToChain(chain, LlamaNative.TopK(TopK));
        if (TopP < 1)
            LlamaNative.AddToChain(chain, LlamaNative.TopP(TopP, keep: 1));
        if (MinP > 0)
            LlamaNative.AddToChain(chain, LlamaNative.MinP(MinP, keep: 1));
        LlamaNative.AddToChain(chain, LlamaNative.Distribution(SeedOfChain()));
        return chain;
    }

    // 64 bits folded to the 32 that the sampler takes. One value means "random" there, and a seed that was given never does.
    private uint SeedOfChain()
    {
        var seed = Seed is { } given
            ? (uint)((ulong)given ^ ((ulong)given >> 32))
            : BitConverter.ToUInt32(System.Security.Cryptography.RandomNumberGenerator.GetBytes(sizeof(uint)));
        return seed == LlamaNative.RandomSeed ? 0 : seed;
    }
}
