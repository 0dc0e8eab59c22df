// spec/attestation.md section 8, "A TCB version".
using System.Buffers.Binary;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>One security version in a <see cref="TcbVersion"/>; the values are those of the certificate's extension .3.n.</summary>
public enum TcbComponent
{
    Bootloader = 1,
    Tee = 2,
    Snp = 3,
    Spl4 = 4,
    Spl5 = 5,
    Spl6 = 6,
    Spl7 = 7,
    Microcode = 8,
    Fmc = 9,
}

/// <summary>Eight security versions, whose order the product decides.</summary>
/// <param name="Value">Byte 0 is the lowest.</param>
public readonly record struct TcbVersion(ulong Value)
{
    /// <summary>The security version of a component; null where the product has none.</summary>
    public int? Of(TcbComponent component, SevSnpProduct product)
    {
        ArgumentNullException.ThrowIfNull(product);
        for (var i = 0; i < product.Components.Count; i++)
        {
            if (product.Components[i] == component)
                return (byte)(Value >> (8 * i));
        }

        return null;
    }

    /// <summary>Whether no security version is higher than the other's.</summary>
    public bool IsAtMost(TcbVersion other)
    {
        for (var i = 0; i < 64; i += 8)
        {
            if ((byte)(Value >> i) > (byte)(other.Value >> i))
                return false;
        }

        return true;
    }

    /// <summary>The eight bytes in hexadecimal, byte 0 first.</summary>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, Value);
        return Shown.Hex(bytes);
    }

    /// <summary>For people: the named components.</summary>
    public string ToString(SevSnpProduct product)
    {
        var version = this;
        return string.Join(
            ", ",
            TcbComponents.Named.Where(component => version.Of(component, product) is not null)
                .Select(component => $"{component.Spell()} {version.Of(component, product)}"));
    }
}

/// <summary>Orders and names of the components.</summary>
internal static class TcbComponents
{
    public static readonly TcbComponent[] BeforeTurin =
    [
        TcbComponent.Bootloader, TcbComponent.Tee, TcbComponent.Spl4, TcbComponent.Spl5, TcbComponent.Spl6, TcbComponent.Spl7, TcbComponent.Snp,
        TcbComponent.Microcode,
    ];

    public static readonly TcbComponent[] SinceTurin =
    [
        TcbComponent.Fmc, TcbComponent.Bootloader, TcbComponent.Tee, TcbComponent.Snp, TcbComponent.Spl5, TcbComponent.Spl6, TcbComponent.Spl7,
        TcbComponent.Microcode,
    ];

    /// <summary>Those that AMD gave a meaning; the others are zero so far.</summary>
    public static readonly TcbComponent[] Named = [TcbComponent.Fmc, TcbComponent.Bootloader, TcbComponent.Tee, TcbComponent.Snp, TcbComponent.Microcode];

    /// <summary>As a policy and the specification spell it.</summary>
    public static string Spell(this TcbComponent component) => component switch
    {
        TcbComponent.Fmc => "fmc",
        TcbComponent.Bootloader => "bootloader",
        TcbComponent.Tee => "tee",
        TcbComponent.Snp => "snp",
        TcbComponent.Microcode => "microcode",
        _ => $"spl{(int)component}",
    };
}
