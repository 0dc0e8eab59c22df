// One target under afl++: test/Fuzz/fuzz.sh starts it. Without afl++ it reads one input from standard input.
using ConfidentialChat.Fuzz.Evidence;
using ConfidentialChat.Fuzz.Messages;
using SharpFuzz;

var targets = EvidenceTargets.All.Concat(MessageTargets.All).ToDictionary();
if (args is not [var name] || !targets.TryGetValue(name, out var target))
{
    Console.Error.WriteLine($"usage: ConfidentialChat.Fuzz TARGET, one of {string.Join(", ", targets.Keys)}");
    return 2;
}

Fuzzer.OutOfProcess.Run(stream =>
{
    using var input = new MemoryStream();
    stream.CopyTo(input);
    target(input.ToArray());
});
return 0;
