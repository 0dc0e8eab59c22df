using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>Messages made into the tokens that the model is given.</summary>
/// <remarks>
/// A message that spells <c>&lt;|im_end|&gt;</c> must not end itself: whoever writes one message of several could otherwise speak as
/// the system or the assistant. So the template is applied to markers that nobody can guess, control tokens are looked for in the
/// template's own text only, and the messages are tokenized as plain text.
/// </remarks>
internal static class ChatPrompt
{
    // A marker: letters with 128 random bits, the same for all messages of a request, then the number of the message.
    private const int NonceLength = 32;
    private const int NumberLength = 8;

    // Templates that trim a message trim this with it, and none writes it: so what is left of it tells whether they do.
    private const char Rim = '\v';

    private static readonly char[] Space = [' ', '\t', '\n', '\v', '\f', '\r']; // isspace of C

    /// <summary>Makes the tokens.</summary>
    /// <param name="model">The model.</param>
    /// <param name="messages">The messages.</param>
    /// <param name="tokensMax">How many there may be.</param>
    /// <param name="refusal">Why the result is null: <c>messages</c> is at fault where it is <see cref="InferenceRefusal.InvalidField"/>.</param>
    public static List<int>? Tokenize(
        LlamaModel model, IReadOnlyList<ChatMessage> messages, int tokensMax, out InferenceRefusal refusal)
    {
        // 1. The template around markers.
        var nonce = RandomNumberGenerator.GetString("bcdfghjklmnpqrstvwxz", NonceLength);
        var around = model.ApplyTemplate([.. messages.Select((message, i) => (message.Role, $"{Rim}{nonce}{i:D8}{Rim}"))]);
        refusal = InferenceRefusal.InvalidField;
        if (around is null)
            return null;

        // 2. Alternately: template, message, template, … A template that leaves a message out cannot take its role in that place.
        var pieces = new List<(string Text, bool IsTemplate)>();
        var rest = around.AsSpan();
        var seen = new bool[messages.Count];
        for (var at = rest.IndexOf(nonce, StringComparison.Ordinal); at >= 0; at = rest.IndexOf(nonce, StringComparison.Ordinal))
        {
            var which = int.Parse(rest.Slice(at + NonceLength, NumberLength), NumberStyles.None, CultureInfo.InvariantCulture);
            var content = messages[which].Content;
            var before = rest[..at];
            var after = rest[(at + NonceLength + NumberLength)..];
            seen[which] = true;
            if (before.EndsWith([Rim]))
                before = before[..^1];
            else
                content = content.TrimStart(Space);
            if (after.StartsWith([Rim]))
                after = after[1..];
            else
                content = content.TrimEnd(Space);
            pieces.Add((before.ToString(), true));
            pieces.Add((content, false));
            rest = after;
        }

        if (Array.Exists(seen, shown => !shown))
            return null;
        pieces.Add((rest.ToString(), true));

        // 3. Control tokens stay; what is between two of them is one plain text, as it is to a tokenizer that sees the whole.
        refusal = InferenceRefusal.ContextTooLarge;
        var tokens = new List<int>();
        var plain = new StringBuilder();
        if (model.Beginning is { } beginning)
            tokens.Add(beginning);
        var stripsNext = false;
        foreach (var (text, isTemplate) in pieces)
        {
            if (!isTemplate)
            {
                plain.Append(text);
                continue;
            }

            var position = 0;
            foreach (var token in model.TokenizeTemplate(text))
            {
                var attributes = model.AttributesOf(token);
                const LlamaNative.TokenAttributes Special =
                    LlamaNative.TokenAttributes.Control | LlamaNative.TokenAttributes.UserDefined | LlamaNative.TokenAttributes.Unknown;
                var spelled = (attributes & Special) != LlamaNative.TokenAttributes.None ? model.TextOf(token) : "";
                var found = spelled.Length > 0 ? text.IndexOf(spelled, position, StringComparison.Ordinal) : -1;
                if (found < 0)
                    continue;
                plain.Append(text, position, found - position);
                position = found + spelled.Length;
                if (!Flush(attributes.HasFlag(LlamaNative.TokenAttributes.LeftStrip)))
                    return null;
                // A template may spell the beginning that the model gets anyway.
                if (tokens.Count != 1 || token != model.Beginning)
                    tokens.Add(token);
                stripsNext = attributes.HasFlag(LlamaNative.TokenAttributes.RightStrip);
            }

            plain.Append(text, position, text.Length - position);
        }

        return Flush(stripsEnd: false) && tokens.Count > 0 && tokens.Count <= tokensMax ? tokens : null;

        bool Flush(bool stripsEnd)
        {
            var text = plain.ToString();
            plain.Clear();
            if (stripsNext)
                text = text.TrimStart(Space);
            if (stripsEnd)
                text = text.TrimEnd(Space);
            return model.AppendPlain(text, tokens, tokensMax);
        }
    }
}
