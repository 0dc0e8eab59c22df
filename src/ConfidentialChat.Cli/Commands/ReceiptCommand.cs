// spec/receipts.md section 5.
using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Client;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat receipt</c>: a verdict on what <c>ask --receipt</c> or a program kept. Nothing is fetched, and no server is asked.</summary>
internal static class ReceiptCommand
{
    private static readonly VerifiedThing Receipt = new("receipt", "spec/receipts.md");
    private static readonly Argument<FileInfo> File = new("file") { Description = "What \"cchat ask --receipt\" wrote." };
    private static readonly Option<FileInfo?> PolicyFile = VerifyOptions.Policy();
    private static readonly Option<string?> At = new("--at")
    {
        Description = "Time for which the evidence is verified, 2026-07-04T10:16:31Z for example. Default: the receipt's own.",
        HelpName = "TIME",
    };
    private static readonly Option<bool> Json = VerifyOptions.Json();

    public static Command Create()
    {
        var verify = new Command(
            "verify",
            "Verify a receipt, offline: the node's evidence, its signature, and the hashes of request and answer. Exit code 0 only on acceptance.")
        {
            File, PolicyFile, At, Json,
        };
        verify.SetAction(VerifyAsync);
        return new Command("receipt", "Verify what a node signed about one request and its answer.") { verify };
    }

    private static Task<int> VerifyAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var bytes = VerifyOptions.ReadFile(parsed.GetRequiredValue(File), ReceiptFile.MaxSize);
        var policy = VerifyOptions.ReadPolicy(parsed.GetValue(PolicyFile));
        var verification = ReceiptFile.Verify(bytes, policy, parsed.GetValue(At) is { } at ? VerifyOptions.ReadTime(at) : null);
        return VerifyOutput.WriteAsync(
            verification.Verdict, bytes, policy, isRaw: false, parsed.GetValue(Json), json => Write(json, verification.Receipt), Receipt,
            verification.Receipt is { } receipt ? Words(receipt) : "");
    }

    private static string Words(VerifiedReceipt receipt) =>
        $"""
        request     {receipt.Request}
        node        {receipt.Statement.Node}, {receipt.Tee}{(receipt.Tee == CpuType.Simulated ? ": NOTHING WAS PROTECTED from whoever ran it" : "")}
        time        {Shown.Date(receipt.Time)}, by the node's clock
        model       {Shown.Text(receipt.Model)}, {(receipt.Weights is { } weights ? $"weights {weights}" : "weights not stated: an engine elsewhere has them")}
        answer      status {receipt.Status}, {(receipt.IsComplete ? "complete" : "cut off by its engine")}
        usage       {receipt.Usage.PromptTokens} prompt, {receipt.Usage.CompletionTokens} completion, {receipt.Usage.Pixels} pixels; at most {receipt.MaxUnits}

        """;

    private static void Write(Utf8JsonWriter json, VerifiedReceipt? receipt)
    {
        if (receipt is null)
            return;
        json.WriteStartObject("receipt");
        json.WriteString("request", receipt.Request.ToString());
        json.WriteNumber("node", receipt.Statement.Node);
        json.WriteString("type", receipt.Tee);
        json.WriteString("key_set", receipt.KeySet.ToString());
        json.WriteString("time", Shown.Date(receipt.Time));
        json.WriteString("model", receipt.Model);
        json.WriteString("weights", receipt.Weights);
        json.WriteNumber("status", receipt.Status);
        json.WriteBoolean("complete", receipt.IsComplete);
        json.WriteNumber("max_units", receipt.MaxUnits.Value);
        json.WriteStartObject("usage");
        json.WriteNumber("prompt", receipt.Usage.PromptTokens);
        json.WriteNumber("completion", receipt.Usage.CompletionTokens);
        json.WriteNumber("pixels", receipt.Usage.Pixels);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
