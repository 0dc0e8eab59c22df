using ConfidentialChat.Client;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;

namespace ConfidentialChat.Extensions.AI;

/// <summary>
/// Registers a <see cref="ConfidentialChatClient"/>, an <see cref="IChatClient"/> and an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> on it, one
/// of each for the program. Settings are looked at when the host starts: what is missing or wrong stops it there.
/// </summary>
/// <remarks>
/// Spans and metrics follow OpenTelemetry's conventions for generative AI, from the source <see cref="TelemetrySource"/>; they hold no content, whatever
/// the environment says, and name the node that answered.
/// </remarks>
public static class ConfidentialChatServices
{
    /// <summary>The usual name of the section that <see cref="ConfidentialChatSettings"/> are read from.</summary>
    public const string SectionName = "ConfidentialChat";

    /// <summary>The name of the activity source and of the meter.</summary>
    public const string TelemetrySource = "ConfidentialChat";

    /// <summary>Registers them with settings from a configuration. A member that the section has and the settings do not is an error.</summary>
    /// <param name="services">Where.</param>
    /// <param name="section">Such as <c>configuration.GetSection(ConfidentialChatServices.SectionName)</c>.</param>
    /// <param name="options">Has the last word; null leaves what the settings say.</param>
    /// <returns>The pipeline of the chat client, for more around it.</returns>
    public static ChatClientBuilder AddConfidentialChat(
        this IServiceCollection services, IConfiguration section, Func<IServiceProvider, ConfidentialChatOptions, ConfidentialChatOptions>? options = null)
    {
        Bind(services, Options.DefaultName, section);
        return Add(services, key: null, options);
    }

    /// <summary>Registers them with settings from code, and from the environment where they say nothing.</summary>
    /// <inheritdoc cref="AddConfidentialChat(IServiceCollection, IConfiguration, Func{IServiceProvider, ConfidentialChatOptions, ConfidentialChatOptions}?)"/>
    public static ChatClientBuilder AddConfidentialChat(
        this IServiceCollection services,
        Action<ConfidentialChatSettings>? configure = null,
        Func<IServiceProvider, ConfidentialChatOptions, ConfidentialChatOptions>? options = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddOptions<ConfidentialChatSettings>().Configure(configure ?? (_ => { }));
        return Add(services, key: null, options);
    }

    /// <summary>Registers them under a key, beside others, with settings from a configuration.</summary>
    /// <param name="services">Where.</param>
    /// <param name="name">The key of the services, and the name of the settings.</param>
    /// <param name="section">Of these settings.</param>
    /// <param name="options">Has the last word; null leaves what the settings say.</param>
    /// <returns>The pipeline of the chat client, for more around it.</returns>
    public static ChatClientBuilder AddKeyedConfidentialChat(
        this IServiceCollection services,
        string name,
        IConfiguration section,
        Func<IServiceProvider, ConfidentialChatOptions, ConfidentialChatOptions>? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        Bind(services, name, section);
        return Add(services, name, options);
    }

    /// <summary>Registers them under a key, beside others, with settings from code.</summary>
    /// <inheritdoc cref="AddKeyedConfidentialChat(IServiceCollection, string, IConfiguration, Func{IServiceProvider, ConfidentialChatOptions, ConfidentialChatOptions}?)"/>
    public static ChatClientBuilder AddKeyedConfidentialChat(
        this IServiceCollection services,
        string name,
        Action<ConfidentialChatSettings> configure,
        Func<IServiceProvider, ConfidentialChatOptions, ConfidentialChatOptions>? options = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(name);
        services.AddOptions<ConfidentialChatSettings>(name).Configure(configure);
        return Add(services, name, options);
    }

    /// <summary>
    /// Adds a check whether a request would be sealed to a node now: the gateway answers, and the policy accepts a node of the model. Where no model
    /// is named, whether the gateway answers. Its text names what fails and what to do about it.
    /// </summary>
    /// <param name="builder">Where.</param>
    /// <param name="name">The name of the check, and of the keyed client where <paramref name="isKeyed"/>.</param>
    /// <param name="isKeyed">Whether the client is one of <c>AddKeyedConfidentialChat</c>, under that name.</param>
    /// <param name="failureStatus">Null for <see cref="HealthStatus.Unhealthy"/>.</param>
    /// <param name="tags">For filters.</param>
    /// <param name="timeout">Null for half a minute.</param>
    public static IHealthChecksBuilder AddConfidentialChat(
        this IHealthChecksBuilder builder,
        string name = "confidentialchat",
        bool isKeyed = false,
        HealthStatus? failureStatus = null,
        IEnumerable<string>? tags = null,
        TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.Add(new HealthCheckRegistration(
            name,
            services => new NodeHealthCheck(
                isKeyed ? services.GetRequiredKeyedService<ConfidentialChatClient>(name) : services.GetRequiredService<ConfidentialChatClient>(),
                SettingsOf(services, isKeyed ? name : null)),
            failureStatus,
            tags,
            timeout ?? TimeSpan.FromSeconds(30)));
    }

    private static void Bind(IServiceCollection services, string name, IConfiguration section)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(section);
        services.AddOptions<ConfidentialChatSettings>(name).Bind(section, binding => binding.ErrorOnUnknownConfiguration = true);
    }

    private static ChatClientBuilder Add(
        IServiceCollection services, string? key, Func<IServiceProvider, ConfidentialChatOptions, ConfidentialChatOptions>? options)
    {
        options ??= (_, made) => made;
        services.AddOptions<ConfidentialChatSettings>(key).ValidateOnStart();
        services.AddSingleton<IValidateOptions<ConfidentialChatSettings>>(
            provider => new SettingsCheck(key ?? Options.DefaultName, settings => options(provider, settings.ToOptions(TimeOf(provider)))));
        if (key is null)
        {
            services.AddSingleton(provider => Open(provider));
            services.AddEmbeddingGenerator(provider => Embeddings(provider, provider.GetRequiredService<ConfidentialChatClient>()));
            return services.AddChatClient(provider => Chat(provider, provider.GetRequiredService<ConfidentialChatClient>()));
        }

        services.AddKeyedSingleton(key, (provider, _) => Open(provider));
        services.AddKeyedEmbeddingGenerator(key, provider => Embeddings(provider, provider.GetRequiredKeyedService<ConfidentialChatClient>(key)));
        return services.AddKeyedChatClient(key, provider => Chat(provider, provider.GetRequiredKeyedService<ConfidentialChatClient>(key)));

        ConfidentialChatClient Open(IServiceProvider provider) => new(options(provider, SettingsOf(provider, key).ToOptions(TimeOf(provider))));

        // Nearest to the client, so that each request has a span: also those that others repeat, or make for the model's calls.
        IChatClient Chat(IServiceProvider provider, ConfidentialChatClient client) =>
            client.AsIChatClient(SettingsOf(provider, key).Model).AsBuilder()
                .UseOpenTelemetry(sourceName: TelemetrySource, configure: telemetry => telemetry.EnableSensitiveData = false).Build();

        IEmbeddingGenerator<string, Embedding<float>> Embeddings(IServiceProvider provider, ConfidentialChatClient client) =>
            client.AsIEmbeddingGenerator(SettingsOf(provider, key).EmbeddingModel).AsBuilder()
                .UseOpenTelemetry(sourceName: TelemetrySource, configure: telemetry => telemetry.EnableSensitiveData = false).Build();
    }

    private static ConfidentialChatSettings SettingsOf(IServiceProvider services, string? key) =>
        services.GetRequiredService<IOptionsMonitor<ConfidentialChatSettings>>().Get(key);

    private static TimeProvider? TimeOf(IServiceProvider services) => services.GetService<TimeProvider>();

    /// <summary>What the client itself would say of the settings.</summary>
    private sealed class SettingsCheck(string checkedName, Func<ConfidentialChatSettings, ConfidentialChatOptions> make)
        : IValidateOptions<ConfidentialChatSettings>
    {
        public ValidateOptionsResult Validate(string? name, ConfidentialChatSettings options)
        {
            if (name != checkedName)
                return ValidateOptionsResult.Skip;
            try
            {
                make(options).Validate();
                return ValidateOptionsResult.Success;
            }
            catch (ConfigurationException e)
            {
                return ValidateOptionsResult.Fail(e.Message);
            }
        }
    }
}
