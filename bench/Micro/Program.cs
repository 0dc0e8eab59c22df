// dotnet run --project bench/Micro -c Release -- --filter '*'            all of it, several minutes
// dotnet run --project bench/Micro -c Release -- --filter '*' --job short  roughly, a minute or two
using BenchmarkDotNet.Running;

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
