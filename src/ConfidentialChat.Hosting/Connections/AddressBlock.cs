// spec/gateway.md section 8 rule 1.
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace ConfidentialChat.Hosting.Connections;

/// <summary>What one stranger has: an IPv4 address, or the /64 of an IPv6 address, in which every home has as many addresses as it likes.</summary>
internal readonly record struct AddressBlock
{
    private readonly ulong bits;
    private readonly bool isV6;

    private AddressBlock(ulong bits, bool isV6) => (this.bits, this.isV6) = (bits, isV6);

    public static AddressBlock Of(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address = TrustedProxies.Plain(address);
        address.TryWriteBytes(bytes, out _);
        return address.AddressFamily is AddressFamily.InterNetworkV6
            ? new AddressBlock(BinaryPrimitives.ReadUInt64BigEndian(bytes), isV6: true)
            : new AddressBlock(BinaryPrimitives.ReadUInt32BigEndian(bytes), isV6: false);
    }
}
