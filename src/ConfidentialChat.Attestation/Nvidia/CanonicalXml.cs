// spec/attestation.md section 20, "The signature". Canonical XML 1.1 of what a RIM file may contain.
using System.Buffers;
using System.Text;
using System.Xml;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>An attribute that is no declaration of a namespace.</summary>
internal sealed record XmlValue(string Prefix, string Name, string Namespace, string Value);

/// <summary>An element, as far as RIM files have them: elements and text, and nothing that is read but not signed, or signed but not read.</summary>
internal sealed class XmlPart
{
    private const string XmlNamespace = "http://www.w3.org/XML/1998/namespace";
    private static readonly SearchValues<char> InText = SearchValues.Create("&<>\r");
    private static readonly SearchValues<char> InAttribute = SearchValues.Create("&<\"\t\n\r");

    private readonly List<object> children = []; // XmlPart or string
    private readonly SortedDictionary<string, string> declarations = new(StringComparer.Ordinal);
    private readonly XmlPart? parent;

    private XmlPart(XmlReader reader, XmlPart? parent)
    {
        this.parent = parent;
        Prefix = reader.Prefix;
        Name = reader.LocalName;
        Namespace = reader.NamespaceURI;
    }

    public string Prefix { get; }

    public string Name { get; }

    public string Namespace { get; }

    public List<XmlValue> Attributes { get; } = [];

    public IEnumerable<XmlPart> Elements => children.OfType<XmlPart>();

    /// <summary>The text of an element that has nothing else; null where it has elements.</summary>
    public string? Text => children.Exists(child => child is XmlPart) ? null : string.Concat(children);

    /// <summary>Whether there is text that is not white space beside the elements.</summary>
    public bool HasLooseText => children.OfType<string>().Any(text => text.AsSpan().ContainsAnyExcept(" \t\r\n"));

    /// <summary>Reads a document of UTF-8 without a document type, comments, instructions and sections of CDATA.</summary>
    public static Rejection? TryParse(ReadOnlySpan<byte> utf8, out XmlPart? root)
    {
        root = null;
        try
        {
            // Decoded here: no declaration within can choose another encoding.
            using var text = new StringReader(new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(utf8));
            using var reader = XmlReader.Create(
                text,
                new XmlReaderSettings
                {
                    DtdProcessing = DtdProcessing.Prohibit,
                    XmlResolver = null,
                    MaxCharactersInDocument = Bounds.Rim,
                    MaxCharactersFromEntities = 1,
                    CheckCharacters = true,
                    ConformanceLevel = ConformanceLevel.Document,
                });
            return Read(reader, out root);
        }
        // "Invalid operation" and "argument" are what it says of surrogates and of names that stand twice.
        catch (Exception e) when (e is XmlException or DecoderFallbackException or ArgumentException or InvalidOperationException)
        {
            root = null;
            return Rejection.Malformed("XML without a document type", "something else");
        }
    }

    /// <summary>The value of an attribute, or null where it is absent.</summary>
    public string? Attribute(string name, string ns = "") =>
        Attributes.Find(attribute => attribute.Name == name && attribute.Namespace == ns)?.Value;

    /// <summary>Canonical XML 1.1 of this element within its document.</summary>
    /// <param name="without">An element that is left out, with all that is in it.</param>
    public byte[] Canonical(XmlPart? without = null)
    {
        var text = new StringBuilder();
        Write(text, [], InScope(), without);
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    private static Rejection? Read(XmlReader reader, out XmlPart? root)
    {
        root = null;
        var count = 0;
        XmlPart? current = null;
        while (reader.Read())
        {
            switch (reader.NodeType)
            {
                case XmlNodeType.XmlDeclaration:
                    break;
                case XmlNodeType.Element:
                    if (++count > Bounds.RimElements || reader.Depth >= Bounds.RimDepth || reader.AttributeCount > Bounds.RimAttributes)
                        return Rejection.Malformed(
                            $"at most {Bounds.RimElements} elements, {Bounds.RimAttributes} attributes of one, {Bounds.RimDepth} deep", "more");
                    var part = new XmlPart(reader, current);
                    var isEmpty = reader.IsEmptyElement;
                    if (!part.ReadAttributes(reader))
                        return Rejection.Malformed("names in ASCII, and no attributes of xml itself", "others");
                    current?.children.Add(part);
                    root ??= part;
                    if (!isEmpty)
                        current = part;
                    break;
                case XmlNodeType.EndElement:
                    current = current!.parent;
                    break;
                case XmlNodeType.Text or XmlNodeType.Whitespace or XmlNodeType.SignificantWhitespace:
                    current?.children.Add(reader.Value);
                    break;
                default:
                    // Comments are not signed and cut texts in two; instructions are for nobody here.
                    return Rejection.Malformed("elements and text only", $"{reader.NodeType}");
            }
        }

        return root is null ? Rejection.Malformed("an element", "none") : null;
    }

    private bool ReadAttributes(XmlReader reader)
    {
        while (reader.MoveToNextAttribute())
        {
            var (prefix, name, ns, value) = (reader.Prefix, reader.LocalName, reader.NamespaceURI, reader.Value);
            if (prefix == "xmlns" || (prefix.Length == 0 && name == "xmlns"))
                declarations[prefix.Length == 0 ? "" : name] = value;
            else if (ns == XmlNamespace)
                return false;
            else
                Attributes.Add(new XmlValue(prefix, name, ns, value));
        }

        Attributes.Sort((a, b) => string.CompareOrdinal(a.Namespace, b.Namespace) is not 0 and var order ? order : string.CompareOrdinal(a.Name, b.Name));
        // Their order is by code points, which is that of strings for ASCII.
        return Ascii.IsValid(Name) && Ascii.IsValid(Prefix) && Attributes.TrueForAll(item => Ascii.IsValid(item.Name) && Ascii.IsValid(item.Namespace))
            && declarations.All(item => Ascii.IsValid(item.Key) && Ascii.IsValid(item.Value));
    }

    // Every namespace that holds here, whoever declared it.
    private SortedDictionary<string, string> InScope()
    {
        var all = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (var part = this; part is not null; part = part.parent)
        {
            foreach (var (prefix, uri) in part.declarations)
                all.TryAdd(prefix, uri);
        }

        return all;
    }

    private void Write(StringBuilder text, Dictionary<string, string> rendered, SortedDictionary<string, string> namespaces, XmlPart? without)
    {
        var name = Prefix.Length == 0 ? Name : $"{Prefix}:{Name}";
        text.Append('<').Append(name);
        var within = rendered;
        foreach (var (prefix, uri) in namespaces)
        {
            if (rendered.TryGetValue(prefix, out var known) ? known == uri : prefix.Length == 0 && uri.Length == 0)
                continue;
            if (ReferenceEquals(within, rendered))
                within = new Dictionary<string, string>(rendered, StringComparer.Ordinal);
            within[prefix] = uri;
            text.Append(prefix.Length == 0 ? " xmlns" : $" xmlns:{prefix}").Append("=\"");
            WriteEscaped(text, uri, InAttribute);
            text.Append('"');
        }

        foreach (var attribute in Attributes)
        {
            text.Append(' ').Append(attribute.Prefix.Length == 0 ? attribute.Name : $"{attribute.Prefix}:{attribute.Name}").Append("=\"");
            WriteEscaped(text, attribute.Value, InAttribute);
            text.Append('"');
        }

        text.Append('>');
        foreach (var child in children)
        {
            if (child is not XmlPart part)
                WriteEscaped(text, (string)child, InText);
            else if (!ReferenceEquals(part, without))
                part.Write(text, within, part.declarations, without);
        }

        text.Append("</").Append(name).Append('>');
    }

    private static void WriteEscaped(StringBuilder text, ReadOnlySpan<char> value, SearchValues<char> special)
    {
        while (value.IndexOfAny(special) is >= 0 and var at)
        {
            text.Append(value[..at]).Append(value[at] switch
            {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\t' => "&#x9;",
                '\n' => "&#xA;",
                _ => "&#xD;",
            });
            value = value[(at + 1)..];
        }

        text.Append(value);
    }
}
