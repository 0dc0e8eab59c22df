namespace ConfidentialChat.Protocol;

/// <summary>A stack: the prepaid allotment of one user on one node for one model. On the wire <c>stack_small_id</c>.</summary>
public readonly record struct StackId(long Value)
{
    public override string ToString() => Value.ToString();
}
