// spec/attestation.md sections 2, 13 and 15.
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ConfidentialChat.Attestation;

/// <summary>What a verification found: the factors in the order of the checks. Immutable.</summary>
public sealed class Verdict
{
    internal Verdict(IReadOnlyList<Factor> factors, DateTimeOffset at, DateTimeOffset validFrom, DateTimeOffset validBefore)
    {
        Factors = factors;
        At = at;
        ValidFrom = validFrom;
        ValidBefore = validBefore;
        IsAccepted = factors.Any(factor => factor.Outcome == Outcome.Pass) && !Failures.Any();
    }

    public IReadOnlyList<Factor> Factors { get; }

    /// <summary>No enforced factor failed, and at least one passed.</summary>
    public bool IsAccepted { get; }

    /// <summary>The time for which it was asked.</summary>
    public DateTimeOffset At { get; }

    /// <summary>The same evidence, collateral and policy have the same verdict from here ...</summary>
    public DateTimeOffset ValidFrom { get; }

    /// <summary>... until here, exclusively: the next date of a certificate, list or bundle.</summary>
    public DateTimeOffset ValidBefore { get; }

    /// <summary>The factors that refuse the evidence.</summary>
    public IEnumerable<Factor> Failures => Factors.Where(factor => factor is { Outcome: Outcome.Fail, IsEnforced: true });

    /// <summary>What failed without refusing.</summary>
    public IEnumerable<Factor> Warnings => Factors.Where(factor => factor is { Outcome: Outcome.Fail, IsEnforced: false });

    /// <summary>What nobody asked for.</summary>
    public IEnumerable<Factor> NotChecked => Factors.Where(factor => factor.Outcome == Outcome.Skip);

    /// <summary>One line a factor, for people. Ends with a line feed.</summary>
    public string ToText()
    {
        var text = new StringBuilder();
        foreach (var factor in Factors)
        {
            text.Append(factor.Outcome switch { Outcome.Pass => "PASS", Outcome.Skip => "SKIP", _ => factor.IsEnforced ? "FAIL" : "WARN" })
                .Append("  ").Append(factor.Name.Value.PadRight(27)).Append(' ');
            if (factor.Code is { } code)
                text.Append(code.Spell()).Append(": ");
            if (factor.Code is not null || factor.Expected.Length > 0)
                text.Append("expected ").Append(factor.Expected).Append("; found ");
            text.Append(factor.Found).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>
    /// Writes the object that <c>cchat verify --json</c> prints: accepted, at, valid_from, valid_before, failures, warnings, factors, not_checked.
    /// </summary>
    public void WriteJson(Utf8JsonWriter json)
    {
        ArgumentNullException.ThrowIfNull(json);
        json.WriteStartObject();
        WriteMembers(json);
        json.WriteEndObject();
    }

    /// <summary>As <see cref="WriteJson"/>, into an object that is already open.</summary>
    public void WriteMembers(Utf8JsonWriter json)
    {
        ArgumentNullException.ThrowIfNull(json);
        json.WriteBoolean("accepted", IsAccepted);
        json.WriteString("at", Shown.Date(At));
        WriteDate(json, "valid_from", ValidFrom);
        WriteDate(json, "valid_before", ValidBefore);
        json.WriteStartArray("failures");
        foreach (var factor in Failures)
            json.WriteStringValue(factor.Name.Value);
        json.WriteEndArray();
        json.WriteStartArray("warnings");
        foreach (var factor in Warnings)
            json.WriteStringValue(factor.Name.Value);
        json.WriteEndArray();
        json.WriteStartArray("factors");
        foreach (var factor in Factors)
        {
            json.WriteStartObject();
            json.WriteString("factor", factor.Name.Value);
            json.WriteString("outcome", factor.Outcome switch { Outcome.Pass => "PASS", Outcome.Fail => "FAIL", _ => "SKIP" });
            json.WriteBoolean("enforced", factor.IsEnforced);
            if (factor.Code is { } code)
                json.WriteString("code", code.Spell());
            json.WriteString("expected", factor.Expected);
            json.WriteString("found", factor.Found);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("not_checked");
        foreach (var factor in NotChecked)
            json.WriteStringValue(factor.Name.Value);
        json.WriteEndArray();
    }

    public string ToJson()
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            WriteJson(json);
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    // Null where no date was compared on that side.
    private static void WriteDate(Utf8JsonWriter json, string name, DateTimeOffset date)
    {
        if (date == DateTimeOffset.MinValue || date == DateTimeOffset.MaxValue)
            json.WriteNull(name);
        else
            json.WriteString(name, Shown.Date(date));
    }
}
