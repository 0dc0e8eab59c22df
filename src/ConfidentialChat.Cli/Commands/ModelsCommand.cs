using System.CommandLine;
using System.Text;
using ConfidentialChat.Client;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat models</c>: what can be asked.</summary>
internal static class ModelsCommand
{
    private static readonly Option<bool> Json = new("--json") { Description = "Print the list as the gateway's JSON object, on one line." };

    public static Command Create()
    {
        var command = new Command("models", "List the models that the gateway offers now, one a line.")
        {
            Asking.Gateway, Asking.Data, Json, Asking.DangerousPlainHttp,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        using var client = new ConfidentialChatClient(Asking.Options(parsed)); // nothing is sealed
        var models = await client.Models.ListAsync(cancellation);
        if (parsed.GetValue(Json))
            Console.Out.WriteLine(Encoding.UTF8.GetString(models.ToJson()));
        else
            foreach (var model in models.Data)
                Console.Out.WriteLine(ForeignText.Line(model.Id, ModelNames.MaxLength));
        return ExitCode.Success;
    }
}
