// spec/gateway.md section 8 rule 1.
using System.Net;

namespace ConfidentialChat.Hosting.Connections;

/// <summary>Addresses from which many strangers come at once, and of which none can be told from another by its address.</summary>
internal sealed class TrustedProxies
{
    private readonly IPNetwork[] networks;

    private TrustedProxies(IPNetwork[] networks) => this.networks = networks;

    /// <summary>This machine: a proxy beside the server is usual, and who can connect from here could do worse.</summary>
    public static TrustedProxies Loopback { get; } = new([IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("::1/128")]);

    /// <summary>Reads networks like 10.0.0.0/8 and single addresses; null where <paramref name="odd"/> is neither.</summary>
    public static TrustedProxies? From(IEnumerable<string> texts, out string? odd)
    {
        var networks = new List<IPNetwork>();
        foreach (var text in texts)
        {
            if (IPAddress.TryParse(text, out var address))
            {
                address = Plain(address);
                networks.Add(new IPNetwork(address, address.GetAddressBytes().Length * 8));
            }
            else if (IPNetwork.TryParse(text, out var network) && !network.BaseAddress.IsIPv4MappedToIPv6
                // 10.0.0.1/8 may be meant for 10.0.0.1
                && IPAddress.TryParse(text.AsSpan(0, text.IndexOf('/')), out var first) && first.Equals(network.BaseAddress))
            {
                networks.Add(network);
            }
            else
            {
                odd = text;
                return null;
            }
        }

        odd = null;
        return new TrustedProxies([.. networks]);
    }

    public bool Holds(IPAddress address)
    {
        address = Plain(address);
        foreach (var network in networks)
        {
            if (network.Contains(address))
                return true;
        }

        return false;
    }

    /// <summary>A socket for both families shows IPv4 addresses inside IPv6 ones.</summary>
    public static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
