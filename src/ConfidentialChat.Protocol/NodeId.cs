namespace ConfidentialChat.Protocol;

/// <summary>A node, as its gateway numbers it. On the wire <c>node_small_id</c>.</summary>
public readonly record struct NodeId(long Value)
{
    public override string ToString() => Value.ToString();
}
