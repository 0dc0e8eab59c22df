using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.Tests.Postgres;
using ConfidentialChat.Hosting;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>What several make at once in one directory, as at the first start of a gateway and of its commands.</summary>
[OfSqliteFile]
public sealed class DataDirectoryTests : IDisposable
{
    private const int Rounds = 100;
    private const int Makers = 8;

    private readonly string directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public void Of_several_that_make_a_file_one_does_and_it_stays()
    {
        for (var round = 0; round < Rounds; round++)
        {
            var path = Path.Combine(directory, $"file-{round}");
            var made = AtOnce(maker => PrivateFile.TryCreate(path, [(byte)maker]));
            made.Count(isMade => isMade).ShouldBe(1);
            File.ReadAllBytes(path).ShouldBe([(byte)Array.IndexOf(made, true)]);
        }

        Directory.GetFiles(directory).Length.ShouldBe(Rounds); // and nothing beside them
    }

    [Fact]
    public void Who_starts_with_others_has_the_key_that_stays()
    {
        for (var round = 0; round < Rounds; round++)
        {
            var place = Path.Combine(directory, $"{round}");
            var keys = AtOnce(_ =>
            {
                using var key = DataDirectory.Open(place).LoadOrCreateKey();
                return key.Identity.PublicKey;
            });
            using var kept = DataDirectory.Open(place).LoadOrCreateKey();
            keys.ShouldAllBe(key => key.Equals(kept.Identity.PublicKey));
        }
    }

    private static T[] AtOnce<T>(Func<int, T> make)
    {
        using var start = new Barrier(Makers);
        var made = new T[Makers];
        var threads = Enumerable.Range(0, Makers).Select(maker => new Thread(() =>
        {
            start.SignalAndWait();
            made[maker] = make(maker);
        })).ToArray();
        foreach (var thread in threads)
            thread.Start();
        foreach (var thread in threads)
            thread.Join();
        return made;
    }
}
