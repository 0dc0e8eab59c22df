using ConfidentialChat.Node.Keys;

namespace ConfidentialChat.Node.Tests.Keys;

public sealed class ReplayMemoryTests
{
    [Fact]
    public void A_request_is_marked_once_and_served_again_only_after_it_was_taken_back()
    {
        var memory = new ReplayMemory(10);
        memory.Mark(1).ShouldBe(ReplayMark.Marked);
        memory.Mark(1).ShouldBe(ReplayMark.Replayed);
        memory.Unmark(1);
        memory.Mark(1).ShouldBe(ReplayMark.Marked);
    }

    [Fact]
    public void A_full_memory_refuses_the_new_and_never_forgets_the_old()
    {
        var memory = new ReplayMemory(3);
        for (UInt128 tag = 0; tag < 3; tag++)
            memory.Mark(tag).ShouldBe(ReplayMark.Marked);

        memory.Mark(3).ShouldBe(ReplayMark.Full);
        for (UInt128 tag = 0; tag < 3; tag++)
            memory.Mark(tag).ShouldBe(ReplayMark.Replayed);
    }

    [Fact]
    public void Of_many_copies_sent_at_once_one_is_served()
    {
        var memory = new ReplayMemory(10);
        var marked = 0;
        Parallel.For(0, 1000, _ =>
        {
            if (memory.Mark(7) == ReplayMark.Marked)
                Interlocked.Increment(ref marked);
        });

        marked.ShouldBe(1);
    }
}
