using System.Text;

namespace ConfidentialChat.Fixtures;

/// <summary>Which token follows which: the whole mind of the fixture.</summary>
internal sealed class BigramTable
{
    /// <summary>Values in an embedding. One is for all tokens outside the answer, one for each token of it and each alternative.</summary>
    public const uint Width = 256;

    // RMS norm makes of a one-hot vector of 256 values one that is 16 long, so a weight of w is a logit of 16 w.
    private const float NormGain = 16f;
    private const float NextLogit = 30f;

    // Half a unit below the next: at temperature 1 about three times in eight.
    private const float AlternativeLogit = 29.5f;

    // After the last token, behind the end of turn: never seen unless that is forbidden.
    private const float AgainLogit = 20f;

    // What may stand for a token of the answer at temperature 1. Same sense, other word.
    private static readonly (string Token, string Alternative)[] Alternatives =
    [
        (" gives", " returns"),
        (" the same", " an identical"),
        (" shows", " proves"),
        (" made", " chosen"),
        (" sealed", " encrypted"),
        (" rare", " odd"),
        (" easy", " simple"),
        (" letters", " characters"),
        (" Nobody", " None"),
    ];

    // Characters that are not one token but as many as they have bytes.
    private static readonly string[] Split = ["é", "封", "🔒"];

    private readonly List<int> rows = [];
    private readonly List<(int Row, int Token, float Logit)> logits = [];

    public BigramTable()
    {
        Chain = [.. Pieces(FixtureModel.Answer).Select(piece => Vocabulary.FindOrAdd(piece))];
        var separator = Vocabulary.FindOrAdd(Encoding.UTF8.GetBytes(FixtureModel.Separator));
        var alternatives = Alternatives
            .Select(pair => (Token: Vocabulary.Find(pair.Token), Alternative: Vocabulary.FindOrAdd(Encoding.UTF8.GetBytes(pair.Alternative))))
            .ToDictionary(pair => pair.Token, pair => pair.Alternative);
        if (alternatives.Keys.Except(Chain).Any() || alternatives.Values.Intersect(Chain).Any())
            throw new InvalidOperationException("An alternative is for no token of the answer, or is one itself.");
        Vocabulary.AddControl("<|im_start|>");
        EndOfTurn = Vocabulary.AddControl("<|im_end|>");

        // Row 0 is that of every token outside the chain: it leads to the first.
        logits.Add((0, Chain[0], NextLogit));
        for (var i = 0; i < Chain.Count; i++)
        {
            var follower = i + 1 < Chain.Count ? Chain[i + 1] : EndOfTurn;
            Follow(Chain[i], follower);
            if (alternatives.TryGetValue(Chain[i], out var alternative))
                Follow(alternative, follower);
        }

        logits.Add((RowOf(Chain[^1]), separator, AgainLogit));

        void Follow(int token, int follower)
        {
            rows.Add(token);
            var row = rows.Count;
            if (row >= Width)
                throw new InvalidOperationException("The answer has more tokens than an embedding has values.");
            logits.Add((row, follower, NextLogit));
            if (alternatives.TryGetValue(follower, out var alternative))
                logits.Add((row, alternative, AlternativeLogit));
        }
    }

    public Vocabulary Vocabulary { get; } = new();

    /// <summary>The answer's tokens in order, each once.</summary>
    public IReadOnlyList<int> Chain { get; }

    public int EndOfTurn { get; }

    public float[] Embedding()
    {
        var weights = new float[Vocabulary.Texts.Count * (int)Width];
        for (var token = 0; token < Vocabulary.Texts.Count; token++)
            weights[token * (int)Width] = 1f;
        foreach (var token in rows)
        {
            weights[token * (int)Width] = 0f;
            weights[(token * (int)Width) + RowOf(token)] = 1f;
        }

        return weights;
    }

    public float[] Output()
    {
        var weights = new float[Vocabulary.Texts.Count * (int)Width];
        foreach (var (row, token, logit) in logits)
            weights[(token * (int)Width) + row] = logit / NormGain;
        return weights;
    }

    private int RowOf(int token) => rows.IndexOf(token) + 1;

    // A token leads to one follower, so no token may occur twice: a word that was there before takes the next one with it.
    private static List<byte[]> Pieces(string answer)
    {
        var pieces = new List<byte[]>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var piece = "";
        foreach (var atom in Atoms(answer))
        {
            if (Array.IndexOf(Split, atom) >= 0)
            {
                if (piece.Length > 0)
                    throw new InvalidOperationException($"'{piece}' occurs again before a split character.");
                pieces.AddRange(Encoding.UTF8.GetBytes(atom).Select(value => new[] { value }));
                continue;
            }

            piece += atom;
            if (seen.Add(piece))
            {
                pieces.Add(Encoding.UTF8.GetBytes(piece));
                piece = "";
            }
        }

        if (piece.Length > 0 || pieces.Select(Convert.ToHexString).Distinct(StringComparer.Ordinal).Count() != pieces.Count)
            throw new InvalidOperationException("The answer cannot be cut into tokens that each occur once.");
        return pieces;
    }

    // A word with the space before it, or one split character; the space before that goes with the word.
    private static IEnumerable<string> Atoms(string answer)
    {
        var start = 0;
        for (var i = 0; i < answer.Length; i++)
        {
            var split = SplitAt(i);
            if (i > start && (split is not null || (answer[i] == ' ' && SplitAt(i + 1) is null)))
            {
                yield return answer[start..i];
                start = i;
            }

            if (split is null)
                continue;
            yield return split;
            i += split.Length - 1;
            start = i + 1;
        }

        if (start < answer.Length)
            yield return answer[start..];

        string? SplitAt(int index) =>
            Array.Find(Split, character => answer.AsSpan(index).StartsWith(character, StringComparison.Ordinal));
    }
}
