// spec/envelope-v1.md section 13.
using System.Security.Cryptography;

namespace ConfidentialChat.Client;

/// <summary>
/// When a call that failed before its answer began is made again, and after how long. Never afterwards: once the first byte of an answer
/// is there, a repetition would be a second request, and paid for as one.
/// </summary>
/// <remarks>
/// <para>
/// Tried again are refusals that say "later": 429, 503, and, where this SDK seals, 425 and UNKNOWN_NODE_KEY, which mean that the lock or
/// the node's key is gone. The flags add 500, 502 and 504, and broken connections. Every attempt is sealed anew.
/// </para>
/// <para>
/// The wait before the n-th repetition (from 0) is <c>InitialInterval × Exponent^n</c>, a random part of up to <see cref="Jitter"/> added,
/// at most <see cref="MaxInterval"/>; where the answer says <c>Retry-After</c>, exactly that. A wait that would end after
/// <see cref="MaxElapsed"/> or after the call's timeout is not begun: the call fails at once, with what the last attempt met.
/// </para>
/// <example>
/// <code>
/// var options = new ConfidentialChatOptions { Retries = RetryConfig.Backoff with { MaxElapsed = TimeSpan.FromMinutes(5) } };
/// </code>
/// </example>
/// </remarks>
public sealed record RetryConfig
{
    /// <summary>Nothing is tried again, as in the origin's SDKs.</summary>
    public static RetryConfig None { get; } = new() { Strategy = RetryStrategy.None };

    /// <summary>What a client does that is told nothing else: only what was certainly not computed or charged, for half a minute.</summary>
    public static RetryConfig Default { get; } = new() { RetryServerErrors = false, MaxElapsed = TimeSpan.FromSeconds(30) };

    /// <summary>The origin's <c>backoff</c> with its numbers, the same as a new <see cref="RetryConfig"/>.</summary>
    public static RetryConfig Backoff { get; } = new();

    public RetryStrategy Strategy { get; init; } = RetryStrategy.Backoff;

    /// <summary>The first wait.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is negative.</exception>
    public TimeSpan InitialInterval { get; init => field = NotNegative(value); } = TimeSpan.FromMilliseconds(500);

    /// <summary>The longest wait, <c>Retry-After</c> excepted.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is negative.</exception>
    public TimeSpan MaxInterval { get; init => field = NotNegative(value); } = TimeSpan.FromSeconds(60);

    /// <summary>What each wait is multiplied by to give the next; from 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is below 1 or no number.</exception>
    public double Exponent { get; init => field = FromOne(value); } = 1.5;

    /// <summary>From the call's beginning to the end of its last wait.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is negative.</exception>
    public TimeSpan MaxElapsed { get; init => field = NotNegative(value); } = TimeSpan.FromHours(1);

    /// <summary>
    /// The random part of a wait is between nothing and this, so that callers who failed together do not come back together.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">It is negative.</exception>
    public TimeSpan Jitter { get; init => field = NotNegative(value); } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Whether 500, 502 and 504 are tried again. A failed engine is not charged for; but one that took too long (INFERENCE_TIMEOUT) is, for
    /// every attempt, and an INTERNAL_ERROR, and what a proxy on the way says, can come of a request that the node has computed, and been
    /// paid for.
    /// </summary>
    public bool RetryServerErrors { get; init; } = true;

    /// <summary>
    /// Whether connections that fail or break, and waits that an <see cref="HttpClient"/> of the caller's gives up, are tried again.
    /// The node may have computed the lost answer, and is then paid for both.
    /// </summary>
    public bool RetryConnectionErrors { get; init; }

    /// <summary>The wait before a repetition, from 0, where the answer names none.</summary>
    internal TimeSpan Wait(int repetition)
    {
        var random = Jitter * (RandomNumberGenerator.GetInt32(1 << 24) / (double)(1 << 24));
        var seconds = (InitialInterval.TotalSeconds * Math.Pow(Exponent, repetition)) + random.TotalSeconds;
        return seconds < MaxInterval.TotalSeconds ? TimeSpan.FromSeconds(seconds) : MaxInterval;
    }

    private static double FromOne(double value) =>
        value >= 1 && double.IsFinite(value) ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "From one.");

    private static TimeSpan NotNegative(TimeSpan value) =>
        value >= TimeSpan.Zero ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "From zero.");
}

/// <summary>Whether a call is made again at all.</summary>
public enum RetryStrategy
{
    /// <summary>Never.</summary>
    None,

    /// <summary>After waits that grow.</summary>
    Backoff,
}
