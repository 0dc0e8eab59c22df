using System.Text;

namespace ConfidentialChat.Fixtures;

/// <summary>A byte-level BPE vocabulary: all 256 bytes, so that any text has tokens, some common words, and what is added by hand.</summary>
internal sealed class Vocabulary
{
    // Token types of the GGUF specification.
    private const int Normal = 1;
    private const int Control = 3;

    // Each with and without a space before it. Words that share a beginning share the tokens of it.
    // The roles are first: where two merges could be made, the earlier one is.
    private const string CommonWords =
        "user assistant system a about after again all also always am an and another answer any are ask asked at away back be because been before being " +
        "between both bring but by call came can change chat city code come could country data day did different do does down " +
        "each easy end engine even every example explain few find first follow for four from gateway get give go good great had hand " +
        "hard has have he hello help her here high him his home hour house how i if important in into is it its key kind know large " +
        "last later learn leave left let letter life like line list little live long look made make man many mean message might " +
        "model more most much must my name near need never new next night no node not now number of off often old on once one only open or " +
        "other our out over own page paper part people place plan play please point prompt question quick read really red right " +
        "river round run said same saw say school sea second secret see sentence set shall she short should show side since small so some " +
        "something sound start state still stop story such sun take talk tell ten text than thank that the their them then there " +
        "these they thing think this those three through time to today token together too tree true try turn two under until up upon us " +
        "use very walk want was water way we week well went were what when where which while white who why will wind with word work " +
        "world would write year yes you young your";

    private readonly Dictionary<string, int> ids = new(StringComparer.Ordinal);
    private readonly HashSet<string> merges = new(StringComparer.Ordinal);
    private readonly List<string> texts = [];
    private readonly List<int> types = [];
    private readonly List<string> mergeList = [];

    public Vocabulary()
    {
        for (var value = 0; value < 256; value++)
            Add(Letter((byte)value).ToString(), Normal);
        foreach (var word in CommonWords.Split(' '))
        {
            AddWord(word);
            AddWord(" " + word);
        }
    }

    /// <summary>Tokens in the alphabet of byte-level BPE, in order of their ids.</summary>
    public IReadOnlyList<string> Texts => texts;

    public IReadOnlyList<int> Types => types;

    public IReadOnlyList<string> Merges => mergeList;

    /// <summary>The id of the token that stands for these bytes of text; made where there is none. No merge leads to it.</summary>
    public int FindOrAdd(ReadOnlySpan<byte> utf8)
    {
        var letters = Letters(utf8);
        return ids.TryGetValue(letters, out var id) ? id : Add(letters, Normal);
    }

    public int Find(string text) => ids[Letters(Encoding.UTF8.GetBytes(text))];

    public int AddControl(string text) => Add(text, Control);

    private void AddWord(string word)
    {
        var letters = Letters(Encoding.UTF8.GetBytes(word));
        for (var length = 2; length <= letters.Length; length++)
        {
            var merge = letters[..(length - 1)] + " " + letters[length - 1];
            if (merges.Add(merge))
                mergeList.Add(merge);
            if (!ids.ContainsKey(letters[..length]))
                Add(letters[..length], Normal);
        }
    }

    private int Add(string letters, int type)
    {
        ids.Add(letters, texts.Count);
        texts.Add(letters);
        types.Add(type);
        return texts.Count - 1;
    }

    private static string Letters(ReadOnlySpan<byte> utf8)
    {
        var letters = new StringBuilder(utf8.Length);
        foreach (var value in utf8)
            letters.Append(Letter(value));
        return letters.ToString();
    }

    // The alphabet of byte-level BPE: a printable byte of Latin-1 is its own letter; the others, in order, are U+0100 and on.
    private static char Letter(byte value)
    {
        if (IsPrintable(value))
            return (char)value;
        var before = 0;
        for (var other = 0; other < value; other++)
            before += IsPrintable((byte)other) ? 0 : 1;
        return (char)(0x100 + before);
    }

    private static bool IsPrintable(byte value) => value is (>= (byte)'!' and <= (byte)'~') or (>= 0xA1 and <= 0xAC) or >= 0xAE;
}
