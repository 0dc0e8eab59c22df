namespace ConfidentialChat.Gateway;

/// <summary>A user of this gateway.</summary>
internal readonly record struct UserId(long Value)
{
    public override string ToString() => Value.ToString();
}
