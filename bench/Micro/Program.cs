// dotnet run --project bench/Micro -c Release -- --filter '*'            all of it, several minutes
// dotnet run --project bench/Micro -c Release -- --filter '*' --job short  roughly, a minute or two
// dotnet run --project bench/Micro -c Release -- calls                   what the SDK spends on a call
using BenchmarkDotNet.Running;
using ConfidentialChat.Bench.Micro;

switch (args)
{
    case [CallCost.Name]:
        await CallCost.RunAsync();
        break;
    case [LoopbackGateway.Name]:
        await LoopbackGateway.RunAsync();
        break;
    default:
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
        break;
}
