using System.CommandLine;
using ConfidentialChat.Cli;
using ConfidentialChat.Cli.Commands;

var root = new RootCommand("ConfidentialChat: chat completions that only the model's own enclave can read.")
{
    DemoCommand.Create(),
    UpCommand.Create(),
    AskCommand.Create(),
    GatewayCommand.Create(),
    NodeCommand.Create(),
};
return await Invocation.RunAsync(root, args);
