using System.CommandLine;
using ConfidentialChat.Cli;
using ConfidentialChat.Cli.Commands;

PlainWriter.TakeOver();
var root = new RootCommand("ConfidentialChat: chat completions sealed between client and node, which is verified before anything is sealed to it.")
{
    DemoCommand.Create(),
    UpCommand.Create(),
    AskCommand.Create(),
    ChatCommand.Create(),
    ModelsCommand.Create(),
    BalanceCommand.Create(),
    UsageCommand.Create(),
    ProxyCommand.Create(),
    ConnectCommand.Create(),
    DisconnectCommand.Create(),
    RunCommand.Create(),
    StatusCommand.Create(),
    VerifyCommand.Create(),
    ReceiptCommand.Create(),
    PolicyCommand.Create(),
    GatewayCommand.Create(),
    KeysCommand.Create(),
    AdminCommand.Create(),
    NodeCommand.Create(),
    NodesCommand.Create(),
    VersionCommand.Create(),
};
HelpWidth.Bound(root);
return await Invocation.RunAsync(root, args);
