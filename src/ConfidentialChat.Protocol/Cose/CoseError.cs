// spec/receipts.md section 1.
namespace ConfidentialChat.Protocol.Cose;

/// <summary>Why bytes are not what a node signs.</summary>
public enum CoseError
{
    None,

    /// <summary>More than <see cref="CoseSign1.MaxSize"/> bytes.</summary>
    TooLarge,

    /// <summary>They end within an item.</summary>
    Truncated,

    /// <summary>Something follows the item.</summary>
    TrailingBytes,

    /// <summary>No CBOR: a reserved form, or text that is no UTF-8.</summary>
    Malformed,

    /// <summary>CBOR in another form than RFC 8949 section 4.2.1 has: a longer integer, an indefinite length, labels out of order.</summary>
    NotDeterministic,

    /// <summary>An item of another type than stands there, nested ones too; or an array or map of another size.</summary>
    WrongType,

    /// <summary>A label stands twice.</summary>
    RepeatedLabel,

    /// <summary>A label that nobody defined for this place.</summary>
    UnknownLabel,

    /// <summary>Labels are named that one has to understand (<c>crit</c>): none is defined.</summary>
    CriticalLabel,

    /// <summary>A label is absent.</summary>
    MissingLabel,

    /// <summary>Something stands outside what is signed.</summary>
    UnprotectedContent,

    /// <summary>Not signed with Ed25519: neither -8 nor -19.</summary>
    UnsupportedAlgorithm,

    /// <summary>Another kind of statement: a voucher is no receipt.</summary>
    WrongContentType,

    /// <summary>A value that none such has: of another size, out of range, or unlike what it repeats.</summary>
    WrongValue,
}
